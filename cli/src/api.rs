//! Requests to a gateway, and what went wrong with them in a sentence.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use jobs::{
    JobId, Secret,
    api::{self, ErrorCode, Job, OpenEnum, RefreshRequest, SignedIn, WhoAmI},
};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use url::{Host, Url};

use crate::{
    answer::Answer,
    config::{self, Client},
    credentials::{Credentials, SignIn},
};

/// Connecting takes longer than this only where nobody answers.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Nothing that is asked here takes longer; live streams are bounded by their heartbeats.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// What a gateway did not do for us.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// Nobody answers.
    #[error(
        "no answer at {url}: is `gitfaas up` or a gateway running there? (GITFAAS_URL says where to look)"
    )]
    Unreachable {
        url: Url,
        #[source]
        source: reqwest::Error,
    },
    /// 401.
    #[error(
        "the token in GITFAAS_TOKEN is not accepted at {url}; make one with `gitfaas token create --user EMAIL`"
    )]
    Unauthorized { url: Url },
    /// 401, where the token came from `gitfaas login`.
    #[error("the sign-in at {url} has ended; sign in again with `gitfaas login`")]
    SignedOut { url: Url },
    /// The sign-in cannot be read, or kept.
    #[error("{0:#}")]
    Credentials(anyhow::Error),
    /// 404.
    #[error("there is no such {what} (or it is not yours)")]
    NotFound { what: &'static str },
    /// Anything else, with the gateway's own words.
    #[error("{message} ({status})")]
    Refused {
        status: StatusCode,
        /// What programs tell it by, where the gateway says it.
        code: Option<OpenEnum<ErrorCode>>,
        message: String,
    },
    /// The connection broke in the middle of an answer.
    #[error("the answer of {url} broke off")]
    Broken {
        url: Url,
        #[source]
        source: reqwest::Error,
    },
}

/// Who we are.
#[derive(Debug, Clone)]
enum Who {
    /// `GITFAAS_TOKEN`.
    Token(Secret),
    /// What `gitfaas login` keeps.
    SignedIn(Credentials),
    /// Before that.
    Nobody,
}

/// A gateway, and who we are there.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    settings: Client,
    who: Who,
}

impl Api {
    /// The gateway that the environment names, with its token, else with the sign-in that is kept.
    pub(crate) fn from_env() -> anyhow::Result<Self> {
        let settings = Client::read(&config::var)?;
        match settings.token.clone() {
            Some(token) => Self::new(settings, Who::Token(token)),
            None => Self::stored(),
        }
    }

    /// The same with the sign-in that is kept, whatever the environment says.
    pub(crate) fn stored() -> anyhow::Result<Self> {
        let settings = Client::read(&config::var)?;
        let credentials = config::credentials().map_err(|_| Client::missing_token())?;
        if credentials.get(&settings.url)?.is_none() {
            return Err(Client::missing_token().into());
        }
        Self::new(settings, Who::SignedIn(credentials))
    }

    /// The same before anybody signed in.
    pub(crate) fn anonymous() -> anyhow::Result<Self> {
        Self::new(Client::read(&config::var)?, Who::Nobody)
    }

    fn new(settings: Client, who: Who) -> anyhow::Result<Self> {
        let mut builder =
            reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).user_agent("gitfaas-cli");
        if is_loopback(&settings.url) {
            // A proxy for the world does not know this machine.
            builder = builder.no_proxy();
        }
        if let Some(path) = &settings.ca_bundle {
            let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            builder = builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(&pem)?);
        }
        Ok(Self { http: builder.build().context("cannot make an HTTP client")?, settings, who })
    }

    /// Where the gateway is.
    pub(crate) fn url(&self) -> &Url {
        &self.settings.url
    }

    /// A request to `/api/v1/<path>`; who asks is put in when it is sent.
    pub(crate) fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.outside(method, &[&["api", "v1"], path].concat())
    }

    /// A request to `/<path>`.
    pub(crate) fn outside(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.settings.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        self.http.request(method, url)
    }

    /// A request to what stands at `path` below the gateway's address: escaped already, and with a query if need be.
    pub(crate) fn at(&self, method: Method, path: &str) -> anyhow::Result<RequestBuilder> {
        let mut base = self.settings.url.clone();
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let url = base.join(path).with_context(|| format!("{path}: not an address"))?;
        Ok(self.http.request(method, url))
    }

    /// The token to send, renewed first where it is about to expire.
    async fn token(&self) -> Result<Option<String>, ApiError> {
        let credentials = match &self.who {
            Who::Token(token) => return Ok(Some(token.expose().to_owned())),
            Who::Nobody => return Ok(None),
            Who::SignedIn(credentials) => credentials,
        };
        let url = &self.settings.url;
        let over = || ApiError::SignedOut { url: url.clone() };
        let kept = credentials.get(url).map_err(ApiError::Credentials)?.ok_or_else(over)?;
        if kept.is_fresh() {
            return Ok(Some(kept.token));
        }
        let locked = credentials.lock().await.map_err(ApiError::Credentials)?;
        // Another command may have renewed it meanwhile.
        let kept = locked.get(url).map_err(ApiError::Credentials)?.ok_or_else(over)?;
        if kept.is_fresh() {
            return Ok(Some(kept.token));
        }
        let body = RefreshRequest { refresh_token: kept.refresh_token };
        let request = self.request(Method::POST, &["auth", "refresh"]).json(&body).timeout(REQUEST_TIMEOUT);
        let unreachable = |source| ApiError::Unreachable { url: url.clone(), source };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let text = response.text().await.map_err(|source| self.broken(source))?;
        if status == StatusCode::UNAUTHORIZED {
            locked.remove(url).map_err(ApiError::Credentials)?;
            return Err(over());
        }
        let SignedIn { token, refresh_token, expires_in } =
            serde_json::from_str(&text).map_err(|_| refused(status, &text))?;
        let renewed = SignIn::new(&token, &refresh_token, expires_in);
        locked.put(url, renewed).map_err(ApiError::Credentials)?;
        Ok(Some(token))
    }

    /// Who the gateway says we are.
    pub(crate) async fn whoami(&self) -> anyhow::Result<Answer<WhoAmI>> {
        self.json(self.request(Method::GET, &["whoami"]), "user").await
    }

    /// Sends a request; an answer that is not a success becomes an error. `what` is the thing that a
    /// 404 would say is not there.
    pub(crate) async fn send(
        &self,
        request: RequestBuilder,
        what: &'static str,
    ) -> Result<Response, ApiError> {
        let response = self.send_any(request).await?;
        let url = self.settings.url.clone();
        match response.status() {
            status if status.is_success() => Ok(response),
            StatusCode::UNAUTHORIZED => Err(match &self.who {
                Who::Token(_) | Who::Nobody => ApiError::Unauthorized { url },
                Who::SignedIn(_) => ApiError::SignedOut { url },
            }),
            StatusCode::NOT_FOUND => Err(ApiError::NotFound { what }),
            status => {
                let text = response.text().await.unwrap_or_default();
                Err(refused(status, &text))
            }
        }
    }

    /// Sends a request; any answer is one.
    pub(crate) async fn send_any(&self, request: RequestBuilder) -> Result<Response, ApiError> {
        let unreachable = |source| ApiError::Unreachable { url: self.settings.url.clone(), source };
        let request = match self.token().await? {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.map_err(unreachable)
    }

    /// A request whose answer is JSON. One without a body is read as null.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        what: &'static str,
    ) -> anyhow::Result<T> {
        let response = self.send(request.timeout(REQUEST_TIMEOUT), what).await?;
        let bytes = response.bytes().await.map_err(|source| self.broken(source))?;
        let bytes = if bytes.is_empty() { b"null" } else { &bytes[..] };
        serde_json::from_slice(bytes).with_context(|| format!("{} is not a gitfaas", self.settings.url))
    }

    /// One job.
    pub(crate) async fn job(&self, id: JobId) -> anyhow::Result<Answer<Job>> {
        self.json(self.request(Method::GET, &["jobs", &id.to_string()]), "job").await
    }

    /// The result of a job, exact to the byte.
    pub(crate) async fn result(&self, id: JobId) -> anyhow::Result<Bytes> {
        let request = self.request(Method::GET, &["jobs", &id.to_string(), "result"]);
        let response = self.send(request, "job").await?;
        Ok(response.bytes().await.map_err(|source| self.broken(source))?)
    }

    /// What an error in the middle of an answer is.
    pub(crate) fn broken(&self, source: reqwest::Error) -> ApiError {
        ApiError::Broken { url: self.settings.url.clone(), source }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn refused(status: StatusCode, text: &str) -> ApiError {
    let code = serde_json::from_str(text).ok().map(|answer: api::Error| answer.error.code);
    ApiError::Refused { status, code, message: words(text) }
}

/// The gateway's own words, from either of the two shapes of its errors.
pub(crate) fn words(text: &str) -> String {
    if let Ok(answer) = serde_json::from_str::<api::Error>(text) {
        return answer.error.message;
    }
    let published = serde_json::from_str::<api::published::Error>(text).unwrap_or_default();
    match published.error.or(published.message) {
        Some(words) => words,
        None if text.trim().is_empty() => "the gateway refused".to_owned(),
        None => text.trim().chars().take(500).collect(),
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case(r#"{"error": {"code": "too_many", "message": "1000 jobs wait"}}"# => "1000 jobs wait")]
    #[test_case(r#"{"error": "jobID: not an id"}"# => "jobID: not an id")]
    #[test_case(r#"{"message": "login is not configured"}"# => "login is not configured")]
    #[test_case("bad gateway\n" => "bad gateway")]
    #[test_case("" => "the gateway refused")]
    fn the_words_of_an_error(text: &str) -> String {
        words(text)
    }

    #[test_case(r#"{"error": {"code": "too_many", "message": "1000 jobs wait"}}"# => Some("too_many".to_owned()))]
    #[test_case(r#"{"error": "jobID: not an id"}"# => None ; "the published shape has none")]
    #[test_case("bad gateway\n" => None)]
    fn the_code_of_an_error(text: &str) -> Option<String> {
        let ApiError::Refused { code, .. } = refused(StatusCode::BAD_REQUEST, text) else {
            panic!("a refusal")
        };
        code.map(|code| code.word())
    }

    #[test]
    fn a_path_below_which_the_service_lies_is_kept() {
        let settings =
            Client { url: "https://example.com/faas/".parse().unwrap(), token: None, ca_bundle: None };
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let request =
            Api::new(settings, Who::Nobody).unwrap().request(Method::GET, &["jobs", "x/y"]).build().unwrap();
        assert_eq!(request.url().as_str(), "https://example.com/faas/api/v1/jobs/x%2Fy");
    }
}
