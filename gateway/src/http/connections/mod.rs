//! Connections: limits on their number, per address and in all, timeouts, and graceful shutdown.
//!
//! A client that sends its headers slowly, or none, is disconnected; so is one that does not read its
//! response (`write_timeout.rs`). Slow request bodies are the business of [`crate::extract`]. When the limit
//! is reached, the connection that has been idle longest is closed for a new one (`table.rs`); when every
//! connection is answering a request, new ones wait in the kernel's queue.

mod table;
mod tracked_body;
mod write_timeout;

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::{Router, body::Body, response::IntoResponse as _};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
pub(crate) use table::Connections;
use table::{Admission, ConnectionHandle, ConnectionPermit};
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;
pub(crate) use tracked_body::SendGuard;
use tracked_body::{RequestBody, ResponseBody};
use write_timeout::WriteTimeout;

use crate::{
    error::ApiError,
    http::client_ip::{Client, PeerAddress},
};

/// Timeout for all headers of a request, and so for an idle connection too: hyper's own default.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest request line with headers, in bytes; nginx allows 32 KiB.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Before the next accept after the kernel could not give a connection (no free descriptors).
const ACCEPT_RETRY_DELAY: Duration = Duration::from_secs(1);
/// The answer to a connection whose address is being answered on all the connections that it may have.
const OVER_SHARE: &str = "too many connections of this address are open; close one";

/// Serves until `stop`; then open requests may end. Dropping the future closes every connection.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    connections: Arc<Connections>,
    stop: CancellationToken,
) {
    let open = TaskTracker::new();
    // Dropped with this function: then every connection is closed.
    let aborted = CancellationToken::new();
    let _ends = aborted.clone().drop_guard();
    let accepting = async {
        loop {
            let (stream, peer) = accept(&listener).await;
            let Some(permit) = admit(&connections, peer).await else {
                reject(stream);
                continue;
            };
            let connection = serve_connection(stream, PeerAddress(peer), app.clone(), permit, stop.clone());
            let aborted = aborted.clone();
            open.spawn(async move { aborted.run_until_cancelled(connection).await });
        }
    };
    stop.run_until_cancelled(accepting).await;
    drop(listener);
    open.close();
    open.wait().await;
}

/// Waits until the connection is admitted; `None` when its address has its share.
async fn admit(connections: &Arc<Connections>, peer: std::net::SocketAddr) -> Option<ConnectionPermit> {
    loop {
        match connections.admit(peer.ip()) {
            Admission::Granted(permit) => return Some(permit),
            Admission::OverShare => return None,
            Admission::Full => connections.changed().await,
        }
    }
}

/// Answers 429 and closes the connection, without waiting for anything.
fn reject(stream: TcpStream) {
    use std::io::Write as _;
    let body = format!(r#"{{"error":{{"code":"too_many","message":"{OVER_SHARE}"}}}}"#);
    let answer = format!(
        "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         retry-after: 5\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    // The send buffer of a fresh connection holds this; if it does not, the client sees that it is closed.
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write_all(answer.as_bytes());
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, std::net::SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // The client closed it before it was accepted.
            Err(error) if is_client_abort(&error) => {}
            Err(error) => {
                tracing::error!(%error, "accept failed");
                sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

fn is_client_abort(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn serve_connection(
    stream: TcpStream,
    peer: PeerAddress,
    app: Router,
    permit: ConnectionPermit,
    stop: CancellationToken,
) {
    // A log line must not wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let handle = permit.handle.clone();
    let service = service_fn(move |request| handle_request(request, peer, app.clone(), handle.clone()));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(WriteTimeout::new(stream)), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        () = permit.evicted() => return,
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection error");
    }
}

/// Answers one request, and keeps the connection's phase in the table.
async fn handle_request(
    mut request: http::Request<Incoming>,
    peer: PeerAddress,
    app: Router,
    handle: ConnectionHandle,
) -> Result<http::Response<ResponseBody>, Infallible> {
    request.extensions_mut().insert(peer);
    let client = Client::of(request.extensions(), request.headers(), handle.trusted());
    let mut response = match handle.request_started(client.address) {
        Ok(()) => {
            let request = request.map(|body| Body::new(RequestBody::new(body, handle.clone())));
            app.oneshot(request).await.unwrap_or_else(|never| match never {})
        }
        Err(_) => ApiError::TooMany(OVER_SHARE.to_owned()).into_response(),
    };
    let counted = response.extensions_mut().remove::<SendGuard>();
    Ok(response.map(|body| ResponseBody::new(body, handle, counted)))
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        task::JoinHandle,
        time::Instant,
    };

    use super::*;
    use crate::http::rate_limit::Settings;

    struct Served {
        address: std::net::SocketAddr,
        stop: CancellationToken,
        serving: JoinHandle<()>,
    }

    async fn served(app: Router, most: usize) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let settings = Settings { max_connections: most, ..Settings::default() };
        let connections = Connections::new(&settings);
        let serving = tokio::spawn(serve(listener, app, connections, stop.clone()));
        Served { address, stop, serving }
    }

    async fn asks(address: std::net::SocketAddr) -> TcpStream {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        client
    }

    async fn first_line(client: &mut TcpStream) -> String {
        let mut line = Vec::new();
        while let Ok(byte) = client.read_u8().await {
            if byte == b'\r' {
                break;
            }
            line.push(byte);
        }
        String::from_utf8(line).unwrap()
    }

    #[tokio::test]
    async fn the_request_that_is_open_at_the_end_is_answered() {
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (go_on, may_go_on) = tokio::sync::oneshot::channel::<()>();
        let once = Arc::new(std::sync::Mutex::new(Some((begun, may_go_on))));
        let app = Router::new().route(
            "/",
            get(move || {
                let (begun, may_go_on) = once.lock().unwrap().take().unwrap();
                async move {
                    begun.send(()).unwrap();
                    may_go_on.await.unwrap();
                    "done"
                }
            }),
        );
        let served = served(app, 10).await;
        let mut client = asks(served.address).await;
        has_begun.await.unwrap();
        served.stop.cancel();
        go_on.send(()).unwrap();
        assert_eq!(first_line(&mut client).await, "HTTP/1.1 200 OK");
        served.serving.await.unwrap();
    }

    #[tokio::test]
    async fn beyond_the_limit_an_idle_connection_makes_room() {
        let served = served(Router::new().route("/", get(|| async { "ok" })), 1).await;
        let mut first = asks(served.address).await;
        assert_eq!(first_line(&mut first).await, "HTTP/1.1 200 OK");
        let mut second = asks(served.address).await;
        assert_eq!(first_line(&mut second).await, "HTTP/1.1 200 OK");
        let mut rest = Vec::new();
        // All of the answer, and then the end.
        first.read_to_end(&mut rest).await.unwrap();
        assert!(rest.ends_with(b"ok"));
        served.stop.cancel();
    }

    #[tokio::test]
    async fn an_address_that_is_being_answered_on_all_it_may_have_hears_so() {
        let (begun, mut has_begun) = tokio::sync::mpsc::unbounded_channel();
        let app = Router::new().route(
            "/",
            get(move || {
                begun.send(()).unwrap();
                std::future::pending::<&str>()
            }),
        );
        let served = served(app, 1).await;
        let _waits = asks(served.address).await;
        has_begun.recv().await.unwrap();
        let mut second = TcpStream::connect(served.address).await.unwrap();
        assert_eq!(first_line(&mut second).await, "HTTP/1.1 429 Too Many Requests");
        served.stop.cancel();
    }

    #[tokio::test(start_paused = true)]
    async fn headers_that_do_not_come_to_an_end_close_the_connection() {
        let served = served(Router::new().route("/", get(|| async { "ok" })), 1).await;
        let mut client = TcpStream::connect(served.address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
        let began = Instant::now();
        let mut rest = Vec::new();
        // The clock runs on by itself while everybody waits.
        client.read_to_end(&mut rest).await.unwrap();
        assert!(began.elapsed() >= HEADER_TIMEOUT);
    }
}
