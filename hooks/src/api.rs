//! HTTP requests to the APIs of forges, through octocrab over our own connections.
//!
//! octocrab's own client is not used: it repeats a POST three times within milliseconds, has no time
//! limit, loses a POST at a redirect, and connects to any address. Its answers' types are not used
//! either, because Gitea's differ.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, HeaderName, HeaderValue, LOCATION};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use octocrab::{AuthState, Octocrab, OctocrabBuilder};
use serde::Serialize;
use url::Url;

use crate::address::{AddressError, Allow, ClientError, Timeouts, builder, check_url, may_send_credential};
use crate::budget::{Budget, Budgets};
use crate::status::StatusError;

/// A worker that posts a status holds its entry for 30 s and starts no request after 10 s; so a request has
/// 10 s.
const WHOLE: Duration = Duration::from_secs(10);
/// A forge that does not even take the connection in this time is down.
const CONNECT: Duration = Duration::from_secs(5);
/// A renamed repository is one redirect away; twice renamed, two.
const MAX_REDIRECTS: usize = 3;
/// How much of an answer is read, in bytes; a status is 2 KiB.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// How much of a list is read, in bytes: a hundred check runs with texts of full length.
const MAX_LIST_BYTES: usize = 16 << 20;

/// Why a credential is not sent to an http URL; the same message as for a clone.
pub(crate) const IN_CLEAR: &str = "a credential is never sent over http: register the https URL, or have the operator name the host in GITFAAS_CLONE_ALLOW";

/// A header that proves who we are; its value is marked as sensitive.
pub(crate) type Credential = (HeaderName, HeaderValue);

/// Marks a token as sensitive and refuses what no header can hold.
pub(crate) fn credential(name: HeaderName, value: String) -> Result<Credential, StatusError> {
    let mut value = HeaderValue::try_from(value).map_err(|_| StatusError::Unauthorized {
        reason: "the token holds characters that no token has".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// The response of a forge, after redirects.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Empty when it was too long or broke off.
    pub(crate) body: Bytes,
}

/// Connections to forges. One for the whole process.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    octocrab: Octocrab,
    allow: Allow,
    budgets: Budgets,
}

impl Api {
    /// Reaches public addresses and what `allow` adds. Needs a running tokio.
    pub(crate) fn new(allow: &Allow, ca: Option<&Path>) -> Result<Self, ClientError> {
        let timeouts = Timeouts { connect: CONNECT, read: WHOLE, whole: WHOLE };
        // Redirects are followed here, where a POST stays one.
        let builder = builder(allow, ca, timeouts)?.redirect(reqwest::redirect::Policy::none());
        let client = builder.build().map_err(ClientError::Build)?;
        let service = tower::service_fn(move |request| send(client.clone(), request));
        match OctocrabBuilder::new_empty().with_service(service).with_auth(AuthState::None).build() {
            Ok(octocrab) => Ok(Self { octocrab, allow: allow.clone(), budgets: Budgets::default() }),
            Err(never) => match never {},
        }
    }

    /// Sends once, in at most ten seconds with all redirects. The credential goes to the host of
    /// `url` and nowhere else.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: Url,
        credential: &Credential,
        body: &impl Serialize,
    ) -> Result<Answer, StatusError> {
        let following = self.follow(method, url, Some(credential), Some(body), MAX_ANSWER_BYTES);
        tokio::time::timeout(WHOLE, following).await.unwrap_or_else(|_| Err(silent()))
    }

    /// Reads a list, under the same rules as [`Api::send`].
    pub(crate) async fn list(&self, url: Url, credential: &Credential) -> Result<Answer, StatusError> {
        self.ask(Method::GET, url, credential).await
    }

    /// Sends without a body, to read or to delete, under the same rules as [`Api::send`].
    pub(crate) async fn ask(
        &self,
        method: Method,
        url: Url,
        credential: &Credential,
    ) -> Result<Answer, StatusError> {
        let following = self.follow(method, url, Some(credential), None::<&()>, MAX_LIST_BYTES);
        tokio::time::timeout(WHOLE, following).await.unwrap_or_else(|_| Err(silent()))
    }

    /// Reads without a credential, under the same rules as [`Api::send`].
    pub(crate) async fn ask_anonymously(&self, method: Method, url: Url) -> Result<Answer, StatusError> {
        let following = self.follow(method, url, None, None::<&()>, MAX_ANSWER_BYTES);
        tokio::time::timeout(WHOLE, following).await.unwrap_or_else(|_| Err(silent()))
    }

    /// The remaining request budget that the host of `url` last reported for this credential.
    pub(crate) fn budget(&self, url: &Url, credential: &Credential) -> Option<Budget> {
        self.budgets.left(url, credential.1.as_bytes(), Instant::now())
    }

    async fn follow(
        &self,
        method: Method,
        mut url: Url,
        credential: Option<&Credential>,
        body: Option<&impl Serialize>,
        max_bytes: usize,
    ) -> Result<Answer, StatusError> {
        check_url(&url, &self.allow).map_err(|error| StatusError::Refused { reason: error.to_string() })?;
        if credential.is_some() && !may_send_credential(&url, &self.allow) {
            return Err(StatusError::Refused { reason: IN_CLEAR.to_owned() });
        }
        for _ in 0..=MAX_REDIRECTS {
            let mut request = http::Request::builder()
                .method(method.clone())
                .uri(url.as_str())
                .header(ACCEPT, "application/json");
            if let Some((name, value)) = credential {
                request = request.header(name, value);
            }
            let request = self.octocrab.build_request(request, body);
            let request = request.map_err(|error| StatusError::Refused { reason: root(&error) })?;
            let answer = self.octocrab.execute(request).await.map_err(|error| unreachable(&error))?;
            let (parts, body) = answer.into_parts();
            if let Some((_, value)) = credential {
                self.budgets.note(&url, value.as_bytes(), &parts.headers, Instant::now());
            }
            if matches!(parts.status.as_u16(), 301 | 302 | 307 | 308) {
                url = onward(&url, parts.headers.get(LOCATION))?;
                continue;
            }
            let body = Limited::new(body, max_bytes).collect().await;
            let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            return Ok(Answer { status: parts.status, headers: parts.headers, body });
        }
        Err(StatusError::Moved { to: url.to_string() })
    }
}

fn silent() -> StatusError {
    StatusError::Retry { reason: format!("the forge did not answer within {} s", WHOLE.as_secs()) }
}

/// `base` with these segments added, each encoded.
pub(crate) fn below<'a>(base: &Url, path: impl IntoIterator<Item = &'a str>) -> Result<Url, StatusError> {
    let mut url = base.clone();
    match url.path_segments_mut() {
        Ok(mut segments) => drop(segments.pop_if_empty().extend(path)),
        Err(()) => {
            return Err(StatusError::Refused { reason: format!("{base} is not the address of an API") });
        }
    }
    Ok(url)
}

/// octocrab's requests over reqwest's connections.
async fn send(
    client: reqwest::Client,
    request: http::Request<octocrab::OctoBody>,
) -> Result<http::Response<reqwest::Body>, Box<dyn std::error::Error + Send + Sync>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let request = reqwest::Request::try_from(http::Request::from_parts(parts, body))?;
    Ok(client.execute(request).await?.into())
}

/// The redirect's target, if it is the same host, port and scheme: the token is sent there too.
fn onward(from: &Url, location: Option<&HeaderValue>) -> Result<Url, StatusError> {
    let location = location.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let to = from.join(location).ok().filter(|_| !location.is_empty());
    let to = to.ok_or_else(|| StatusError::Retry { reason: "a redirect to nowhere".to_owned() })?;
    if to.origin() == from.origin() { Ok(to) } else { Err(StatusError::Moved { to: to.to_string() }) }
}

/// The error of a request without a response: a refused address is final, anything else may be temporary.
fn unreachable(error: &(dyn std::error::Error + 'static)) -> StatusError {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<AddressError>().filter(|refused| !refused.may_pass()) {
            return StatusError::Refused { reason: refused.to_string() };
        }
        cause = error.source();
    }
    StatusError::Retry { reason: root(error) }
}

/// The message of the innermost error of a chain; the outer ones add nothing.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), root)
}
