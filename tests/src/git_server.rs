//! Git over HTTP: the real `git http-backend` behind a small server that injects faults.
//!
//! The protocol's version is passed on, and any commit can be fetched by its id.

use std::{convert::Infallible, path::Path, process::Stdio};

use axum::{
    body::{Body, Bytes},
    extract::Request,
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
};
use tokio_util::io::ReaderStream;

/// The largest request taken, in bytes: a fetch asks for little.
const MAX_REQUEST_BYTES: usize = 16 << 20;

/// How a repository misbehaves.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Never answers.
    Hang,
    /// Sends the head of its answer and then nothing more.
    Stall,
    /// Ends its answer after so many bytes.
    Truncate(usize),
    /// Answers with this status alone.
    Status(u16),
    /// Points to the same path at another server.
    Redirect(String),
    /// Wants this user and password.
    Private(String, String),
}

/// Answers a request for a repository under `root`.
pub(crate) async fn serve(root: &Path, fault: Option<&Fault>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match fault {
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Status(status)) => StatusCode::from_u16(*status).expect("a status").into_response(),
        Some(Fault::Redirect(to)) => {
            let to = format!("{to}{}", parts.uri);
            (StatusCode::FOUND, [(header::LOCATION, to)]).into_response()
        }
        Some(Fault::Private(user, password)) if !may_enter(&parts.headers, user, password) => {
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")]).into_response()
        }
        Some(Fault::Stall) => {
            let head = Bytes::from_static(b"001e# service=git-upload-pack\n");
            let then_nothing = stream::iter([Ok::<_, Infallible>(head)]).chain(stream::pending());
            let kind = [(header::CONTENT_TYPE, "application/x-git-upload-pack-advertisement")];
            (kind, Body::from_stream(then_nothing)).into_response()
        }
        Some(Fault::Truncate(bytes)) => truncated(backend(root, parts, body).await, *bytes).await,
        Some(Fault::Private(..)) | None => backend(root, parts, body).await,
    }
}

fn may_enter(headers: &HeaderMap, user: &str, password: &str) -> bool {
    let expected = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
    headers.get(header::AUTHORIZATION).is_some_and(|given| given.as_bytes() == expected.as_bytes())
}

async fn truncated(response: Response, bytes: usize) -> Response {
    let (parts, body) = response.into_parts();
    let all = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let some = all.slice(..bytes.min(all.len()));
    let broken = stream::iter([Ok(some), Err(std::io::Error::other("cut off"))]);
    Response::from_parts(parts, Body::from_stream(broken))
}

/// One request through CGI (RFC 3875).
async fn backend(root: &Path, parts: Parts, body: Body) -> Response {
    let body = axum::body::to_bytes(body, MAX_REQUEST_BYTES).await.unwrap_or_default();
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", parts.uri.path())
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", text("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", text("content-encoding"))
        .env("GIT_PROTOCOL", text("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut child = command.spawn().expect("git can be started");
    let mut input = child.stdin.take().expect("its input is piped");
    let mut output = BufReader::new(child.stdout.take().expect("its output is piped"));
    tokio::spawn(async move {
        let _ = input.write_all(&body).await;
        drop(input);
        let _ = child.wait().await;
    });
    let (mut status, mut headers) = (StatusCode::OK, HeaderMap::new());
    loop {
        let mut line = String::new();
        output.read_line(&mut line).await.expect("a pipe can be read");
        let line = line.trim_end();
        let Some((name, value)) = line.split_once(':') else { break };
        if name.eq_ignore_ascii_case("status") {
            let code = value.trim().get(..3).and_then(|code| code.parse().ok());
            status = code.unwrap_or(StatusCode::BAD_GATEWAY);
        } else if let (Ok(name), Ok(value)) =
            (name.parse::<header::HeaderName>(), value.trim().parse::<HeaderValue>())
        {
            headers.append(name, value);
        }
    }
    (status, headers, Body::from_stream(ReaderStream::new(output))).into_response()
}
