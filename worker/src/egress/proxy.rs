//! The HTTP side of the proxy: CONNECT, and plain HTTP in absolute form. Everything else is a bad request.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::UnixStream;
use tokio::sync::OwnedSemaphorePermit;

use super::ActivePhase;
use super::policy::{Refusal, RequestKind};
use super::tunnel;

/// The largest head of a request or an answer.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a host may take until its answer begins.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// Headers that concern one connection only (RFC 9110, 7.6.1) and the proxy's own.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    HeaderName::from_static("proxy-connection"),
];

type Body = BoxBody<Bytes, hyper::Error>;

/// One of the connections that a job may have, also while it is a tunnel.
type Permit = Arc<OwnedSemaphorePermit>;

/// Serves one connection of a job.
pub(crate) async fn serve(stream: UnixStream, active: Arc<ActivePhase>, permit: Permit) {
    let service = service_fn(|request| {
        let (active, permit) = (active.clone(), permit.clone());
        async move { Ok::<_, Infallible>(answer(request, active, permit).await) }
    });
    // A failed connection is the business of the job's program alone.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

async fn answer(request: Request<Incoming>, active: Arc<ActivePhase>, permit: Permit) -> Response<Body> {
    let is_connect = request.method() == Method::CONNECT;
    let way = if is_connect { RequestKind::Connect } else { RequestKind::Http };
    let Some((host, port)) = target(request.uri(), way) else {
        return sentence(StatusCode::BAD_REQUEST, "this is a proxy: CONNECT host:port, or http://host/path");
    };
    let addresses = match active.policy().authorize(way, &host, port).await {
        Ok(addresses) => addresses,
        Err(refusal) => return refused(&active, &refusal),
    };
    let stream = match tunnel::connect(&addresses).await {
        Ok(stream) => stream,
        Err(error) => {
            return sentence(StatusCode::BAD_GATEWAY, &format!("cannot connect to {host}:{port}: {error}"));
        }
    };
    match way {
        RequestKind::Connect => {
            let ended = active.ended().clone();
            tokio::spawn(ended.run_until_cancelled_owned(async move {
                if let Ok(upgraded) = hyper::upgrade::on(request).await {
                    let _ = tunnel::copy_both_ways(TokioIo::new(upgraded), stream).await;
                }
                drop(permit);
            }));
            Response::new(empty())
        }
        RequestKind::Http => match forward(request, stream, &active).await {
            Ok(response) => response,
            Err(error) => {
                sentence(StatusCode::BAD_GATEWAY, &format!("{host}:{port} did not answer: {error}"))
            }
        },
    }
}

/// Host and port that are asked for. Port 80 is HTTP's; CONNECT always names one.
fn target(uri: &Uri, way: RequestKind) -> Option<(String, u16)> {
    let authority = uri.authority()?;
    // The library takes a port that is no number for none, so the text itself is looked at.
    let bare = authority.as_str().rsplit('@').next()?;
    let named = match bare.strip_prefix(authority.host())? {
        "" => None,
        port => Some(port.strip_prefix(':')?.parse().ok()?),
    };
    let port = match (way, uri.scheme_str()) {
        (RequestKind::Connect, None) => named?,
        (RequestKind::Http, Some("http")) => named.unwrap_or(80),
        (RequestKind::Connect | RequestKind::Http, _) => return None,
    };
    Some((authority.host().to_owned(), port))
}

/// Sends a plain request on, in origin form, on a connection of its own.
async fn forward(
    mut request: Request<Incoming>,
    stream: tokio::net::TcpStream,
    active: &ActivePhase,
) -> Result<Response<Body>, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await?;
    let ended = active.ended().clone();
    tokio::spawn(ended.run_until_cancelled_owned(async move { drop(connection.await) }));

    let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
    let authority = authority.unwrap_or_default();
    // What stands before "@" is for us, if for anybody.
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = HeaderValue::from_str(host)?;
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).parse()?;
    *request.uri_mut() = path;
    strip(request.headers_mut());
    request.headers_mut().insert(header::HOST, host);
    request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    let mut response = tokio::time::timeout(ANSWER_TIMEOUT, sender.send_request(request)).await??;
    strip(response.headers_mut());
    Ok(response.map(BodyExt::boxed))
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn refused(active: &ActivePhase, refusal: &Refusal) -> Response<Body> {
    active.log_refusal(refusal);
    sentence(StatusCode::FORBIDDEN, &refusal.to_string())
}

fn sentence(status: StatusCode, text: &str) -> Response<Body> {
    let body = Full::new(Bytes::from(format!("{text}\n"))).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

fn empty() -> Body {
    Full::new(Bytes::new()).map_err(|never| match never {}).boxed()
}
