//! Requests to a gateway, and what went wrong with them in a sentence.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use jobs::JobId;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use url::{Host, Url};

use crate::config::{self, Client};

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
    /// 404.
    #[error("there is no such {what} (or it is not yours)")]
    NotFound { what: &'static str },
    /// Anything else, with the gateway's own words.
    #[error("{message} ({status})")]
    Refused { status: StatusCode, message: String },
    /// The connection broke in the middle of an answer.
    #[error("the answer of {url} broke off")]
    Broken {
        url: Url,
        #[source]
        source: reqwest::Error,
    },
}

/// A gateway, and who we are there.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    settings: Client,
}

impl Api {
    /// The gateway that the environment names.
    pub(crate) fn from_env() -> anyhow::Result<Self> {
        Self::new(Client::read(&config::var)?)
    }

    fn new(settings: Client) -> anyhow::Result<Self> {
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
        Ok(Self { http: builder.build().context("cannot make an HTTP client")?, settings })
    }

    /// A request to `/api/v1/<path>`.
    pub(crate) fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.settings.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        self.http.request(method, url).bearer_auth(self.settings.token.expose())
    }

    /// Sends a request; an answer that is not a success becomes an error. `what` is the thing that a
    /// 404 would say is not there.
    pub(crate) async fn send(
        &self,
        request: RequestBuilder,
        what: &'static str,
    ) -> Result<Response, ApiError> {
        let url = self.settings.url.clone();
        let unreachable = |source| ApiError::Unreachable { url: url.clone(), source };
        let response = request.send().await.map_err(unreachable)?;
        match response.status() {
            status if status.is_success() => Ok(response),
            StatusCode::UNAUTHORIZED => Err(ApiError::Unauthorized { url }),
            StatusCode::NOT_FOUND => Err(ApiError::NotFound { what }),
            status => {
                let text = response.text().await.unwrap_or_default();
                Err(ApiError::Refused { status, message: words(&text) })
            }
        }
    }

    /// A request whose answer is JSON.
    pub(crate) async fn json(&self, request: RequestBuilder, what: &'static str) -> anyhow::Result<Value> {
        let response = self.send(request.timeout(REQUEST_TIMEOUT), what).await?;
        let bytes = response.bytes().await.map_err(|source| self.broken(source))?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).with_context(|| format!("{} is not a gitfaas", self.settings.url))
    }

    /// One job.
    pub(crate) async fn job(&self, id: JobId) -> anyhow::Result<Value> {
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

/// The gateway's own words, from either of the two shapes of its errors.
fn words(text: &str) -> String {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let found = value.pointer("/error/message").or(value.get("error")).or(value.get("message"));
    match found.and_then(Value::as_str) {
        Some(words) => words.to_owned(),
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

    #[test]
    fn a_path_below_which_the_service_lies_is_kept() {
        let settings = Client {
            url: "https://example.com/faas/".parse().unwrap(),
            token: "t".parse().unwrap(),
            ca_bundle: None,
        };
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let request = Api::new(settings).unwrap().request(Method::GET, &["jobs", "x/y"]).build().unwrap();
        assert_eq!(request.url().as_str(), "https://example.com/faas/api/v1/jobs/x%2Fy");
    }
}
