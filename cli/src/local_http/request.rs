//! The request, as the program is told it: its body and its variables.

use std::{net::SocketAddr, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header, request::Parts, uri::Authority},
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use jobs::{cgi, manifest, units::show_bytes};
use tokio::time::timeout;

use super::answer::Failure;

/// The longest body, in bytes: what a service takes unless its operator says otherwise (`GITFAAS_MAX_INPUT`).
const MAX_BODY_BYTES: usize = 1 << 20;
/// How much of a body that is too long is read and dropped, in bytes, and for how long: a client that is still sending
/// when the connection is closed sees a reset instead of the answer (RFC 9112, section 9.6).
const DISCARD_BYTES: usize = 32 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(2);
/// The port of a request whose host names none (RFC 9110, section 4.2.1).
const HTTP_PORT: u16 = 80;

/// The body, within the limit.
pub(super) async fn read(parts: &Parts, body: Body) -> Result<Bytes, Failure> {
    let said =
        parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let mut chunks = body.into_data_stream();
    let mut read = Vec::new();
    let mut is_too_long = said.is_some_and(|bytes: usize| bytes > MAX_BODY_BYTES);
    while !is_too_long && let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            Failure::new(StatusCode::BAD_REQUEST, format!("the body could not be read: {error}"))
        })?;
        is_too_long = read.len() + chunk.len() > MAX_BODY_BYTES;
        if !is_too_long {
            read.extend_from_slice(&chunk);
        }
    }
    if !is_too_long {
        return Ok(read.into());
    }
    let discarding = async {
        let mut dropped = 0;
        while dropped < DISCARD_BYTES
            && let Some(Ok(chunk)) = chunks.next().await
        {
            dropped += chunk.len();
        }
    };
    // Whether it came to its end or not, the answer is the same.
    let _: Result<(), tokio::time::error::Elapsed> = timeout(DISCARD_TIME, discarding).await;
    let limit = show_bytes(MAX_BODY_BYTES as u64);
    Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {limit}")))
}

/// The variables of a request at `/`. `Authorization` is among them, as of a public function: no token of ours is
/// asked for here.
pub(super) fn variables(
    parts: &Parts,
    client: SocketAddr,
    body_bytes: u64,
) -> Result<Vec<(String, String)>, Failure> {
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let authority = text(header::HOST).and_then(|host| host.parse::<Authority>().ok());
    let mut headers = Vec::with_capacity(parts.headers.len());
    for (name, value) in &parts.headers {
        headers
            .push((name.to_string(), cgi::header_value(name.as_str(), value.as_bytes()).map_err(refused)?));
    }
    let has_body = body_bytes > 0 || parts.headers.contains_key(header::CONTENT_LENGTH);
    let request = cgi::Request {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        script_name: String::new(),
        headers,
        content_type: text(header::CONTENT_TYPE).map(str::to_owned),
        content_length: has_body.then_some(body_bytes),
        server_name: authority.as_ref().map(|authority| authority.host().to_owned()).unwrap_or_default(),
        server_port: authority.and_then(|authority| authority.port_u16()).unwrap_or(HTTP_PORT),
        is_https: false,
        remote_addr: client.ip(),
        remote_user: None,
        keep_authorization: true,
    };
    cgi::variables(&request, &[]).map_err(refused)
}

fn refused(error: cgi::RequestError) -> Failure {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    Failure::new(status, error.to_string())
}

/// The origin that a page of another site sends.
pub(super) fn origin(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::ORIGIN)?.to_str().ok()
}

pub(super) fn is_preflight(parts: &Parts) -> bool {
    let wanted =
        parts.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD).and_then(|wanted| wanted.to_str().ok());
    manifest::is_preflight(parts.method.as_str(), origin(&parts.headers), wanted)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::post("/a%20b?c=1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_folder_lies_at_the_root_and_authorization_is_its_own_affair() {
        let headers =
            [("host", "localhost:8080"), ("content-type", "text/plain"), ("authorization", "Basic x")];
        let variables = variables(&parts(&headers), "127.0.0.1:9".parse().unwrap(), 3).unwrap();
        let shown: String = variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        insta::assert_snapshot!(shown, @"
        GATEWAY_INTERFACE=CGI/1.1
        SERVER_SOFTWARE=gitfaas
        SERVER_PROTOCOL=HTTP/1.1
        SERVER_NAME=localhost
        SERVER_PORT=8080
        REQUEST_METHOD=POST
        REQUEST_URI=/a%20b?c=1
        SCRIPT_NAME=
        PATH_INFO=/a b
        QUERY_STRING=c=1
        REMOTE_ADDR=127.0.0.1
        CONTENT_TYPE=text/plain
        CONTENT_LENGTH=3
        HTTP_AUTHORIZATION=Basic x
        HTTP_HOST=localhost:8080
        ");
    }

    #[tokio::test]
    async fn a_body_of_a_mebibyte_is_read_and_one_byte_more_is_413() {
        let body = |length| Body::from(vec![b'x'; length]);
        let read_of = read(&parts(&[]), body(MAX_BODY_BYTES)).await;
        assert_eq!(read_of.map(|bytes| bytes.len()).ok(), Some(MAX_BODY_BYTES));
        let status = |refused: Result<Bytes, Failure>| refused.map(|_| ()).unwrap_err().status();
        assert_eq!(status(read(&parts(&[]), body(MAX_BODY_BYTES + 1)).await), 413);
        assert_eq!(status(read(&parts(&[("content-length", "1048577")]), Body::empty()).await), 413);
    }
}
