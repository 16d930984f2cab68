//! HTTP client of identity providers: bounded in time and size, to permitted addresses only, without
//! redirects, since requests carry secrets.

use std::{path::Path, time::Duration};

use hooks::address::{Allow, ClientError, Timeouts, builder};
use http::{HeaderValue, StatusCode, header};
use oauth2::{HttpRequest, HttpResponse};
use serde::de::DeserializeOwned;
use url::Url;

/// The largest response, in bytes: key sets and token responses are a few KiB.
const MAX_BYTES: usize = 1 << 20;
/// A user waits in a browser for two or three of these in a row.
const TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(5), read: Duration::from_secs(5), whole: Duration::from_secs(8) };

/// Why a provider's response cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("no answer from {host}")]
    Unreachable {
        host: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{host} answered {status}")]
    Status { host: String, status: StatusCode },
    #[error("the answer of {host} is longer than {MAX_BYTES} bytes")]
    TooLong { host: String },
    #[error("the answer of {host} cannot be understood")]
    Malformed {
        host: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("not a request that can be sent")]
    Request(#[source] http::Error),
}

/// HTTP client of identity providers.
#[derive(Debug, Clone)]
pub(crate) struct Http(reqwest::Client);

fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

impl Http {
    pub(crate) fn new(allow: &Allow, ca: Option<&Path>) -> Result<Self, ClientError> {
        let builder = builder(allow, ca, TIMEOUTS)?.redirect(reqwest::redirect::Policy::none());
        builder.build().map(Self).map_err(ClientError::Build)
    }

    /// `GET`, answered with 200 and JSON.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        url: &Url,
        bearer: Option<&str>,
    ) -> Result<T, HttpError> {
        let mut request = self.0.get(url.clone()).header(header::ACCEPT, "application/json");
        if let Some(token) = bearer {
            request = request.bearer_auth(token);
        }
        let response =
            request.send().await.map_err(|source| HttpError::Unreachable { host: host(url), source })?;
        let status = response.status();
        let body = body(response, url).await?;
        if status != StatusCode::OK {
            return Err(HttpError::Status { host: host(url), status });
        }
        serde_json::from_slice(&body).map_err(|source| HttpError::Malformed { host: host(url), source })
    }

    /// Sends a request of `oauth2`; the response in the standard's shape.
    pub(crate) async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let url: Url =
            request.uri().to_string().parse().map_err(|_| HttpError::TooLong { host: String::new() })?;
        let unreachable = |source| HttpError::Unreachable { host: host(&url), source };
        let request = reqwest::Request::try_from(request).map_err(unreachable)?;
        let response = self.0.execute(request).await.map_err(unreachable)?;
        let status = response.status();
        let kind = response.headers().get(header::CONTENT_TYPE).cloned();
        let body = body(response, &url).await?;
        let (status, body) = as_standard(status, kind.as_ref(), body);
        let answer = http::Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        answer.body(body).map_err(HttpError::Request)
    }
}

async fn body(mut response: reqwest::Response, url: &Url) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|source| HttpError::Unreachable { host: host(url), source })?
    {
        if body.len() + chunk.len() > MAX_BYTES {
            return Err(HttpError::TooLong { host: host(url) });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// GitHub answers form-encoded where it overlooks `Accept`, and errors with 200; RFC 6749, section 5, has
/// JSON, and 400 for errors.
fn as_standard(status: StatusCode, kind: Option<&HeaderValue>, body: Vec<u8>) -> (StatusCode, Vec<u8>) {
    let is_form = kind.and_then(|kind| kind.to_str().ok()).is_some_and(|kind| {
        kind.trim_start().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded")
    });
    let body = if is_form {
        let fields: serde_json::Map<String, serde_json::Value> = url::form_urlencoded::parse(&body)
            .map(|(name, value)| (name.into_owned(), value.into_owned().into()))
            .collect();
        serde_json::Value::Object(fields).to_string().into_bytes()
    } else {
        body
    };
    let says_error = || {
        let value: Result<serde_json::Value, _> = serde_json::from_slice(&body);
        value.is_ok_and(|value| value.get("error").is_some_and(serde_json::Value::is_string))
    };
    let status = if status == StatusCode::OK && says_error() { StatusCode::BAD_REQUEST } else { status };
    (status, body)
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
    const JSON: &str = "application/json";

    #[test_case(JSON, r#"{"access_token":"a"}"# => (200, r#"{"access_token":"a"}"#.to_owned()))]
    #[test_case(FORM, "access_token=a%2Bb&token_type=bearer" => (200, r#"{"access_token":"a+b","token_type":"bearer"}"#.to_owned()) ; "a form")]
    #[test_case(JSON, r#"{"error":"bad_verification_code"}"# => (400, r#"{"error":"bad_verification_code"}"#.to_owned()) ; "an error")]
    #[test_case(FORM, "error=bad_verification_code" => (400, r#"{"error":"bad_verification_code"}"#.to_owned()) ; "an error as a form")]
    #[test_case("text/html", "<html>" => (200, "<html>".to_owned()) ; "neither")]
    fn what_a_provider_says_in_the_standard_shape(kind: &str, body: &str) -> (u16, String) {
        let kind = kind.parse().unwrap();
        let (status, body) = as_standard(StatusCode::OK, Some(&kind), body.as_bytes().to_vec());
        (status.as_u16(), String::from_utf8(body).unwrap())
    }
}
