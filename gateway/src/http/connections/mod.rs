//! Connections: how many, whose, how slow, and how they end.
//!
//! A client that sends its headers slowly, or none, is sent away; so is one that does not take its
//! answer (`moving.rs`). What of a body comes slowly is [`crate::extract`]'s. When the limit is reached, the
//! connection that has been idle longest makes room for a newcomer (`table.rs`); where every one is being
//! answered, newcomers wait in the kernel's queue.

mod moving;
mod table;
mod watched;

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::{Router, body::Body, response::IntoResponse as _};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use moving::Moving;
pub(crate) use table::Connections;
use table::{Admission, Place, Ticket};
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;
pub(crate) use watched::UntilSent;
use watched::{Answer, Asked};

use crate::{
    error::ApiError,
    http::client_ip::{Client, Peer},
};

/// For all headers of a request, and so for an idle connection too: hyper's own default.
const HEADERS: Duration = Duration::from_secs(30);
/// What a request line with its headers may have, in bytes; nginx allows 32 KiB.
const HEADER_BYTES: usize = 64 * 1024;
/// Before the next connection is accepted after the kernel could not give one (no free descriptors).
const PAUSE: Duration = Duration::from_secs(1);
/// What a newcomer hears whose address is being answered on all the connections that it may have.
const OVER_SHARE: &str = "too many connections of this address are open; close one";

/// Serves until `stop`; then open requests may end. Whoever is tired of waiting drops this.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    connections: Arc<Connections>,
    stop: CancellationToken,
) {
    let open = TaskTracker::new();
    // Dropped with this function: then every connection is closed.
    let given_up = CancellationToken::new();
    let _ends = given_up.clone().drop_guard();
    let accepting = async {
        loop {
            let (stream, peer) = accepted(&listener).await;
            let Some(place) = admitted(&connections, peer).await else {
                turn_away(stream);
                continue;
            };
            let connection = connection(stream, Peer(peer), app.clone(), place, stop.clone());
            let given_up = given_up.clone();
            open.spawn(async move { given_up.run_until_cancelled(connection).await });
        }
    };
    stop.run_until_cancelled(accepting).await;
    drop(listener);
    open.close();
    open.wait().await;
}

/// A place for a newcomer, as soon as there is one; `None` when its address has its share.
async fn admitted(connections: &Arc<Connections>, peer: std::net::SocketAddr) -> Option<Place> {
    loop {
        match connections.admit(peer.ip()) {
            Admission::Granted(place) => return Some(place),
            Admission::OverShare => return None,
            Admission::Full => connections.stirred().await,
        }
    }
}

/// Says in passing why nobody is served, without waiting for anything.
fn turn_away(stream: TcpStream) {
    use std::io::Write as _;
    let body = format!(r#"{{"error":{{"code":"too_many","message":"{OVER_SHARE}"}}}}"#);
    let answer = format!(
        "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         retry-after: 5\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    // A fresh connection has room for so little; where it has not, the client sees that it is closed.
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write_all(answer.as_bytes());
    }
}

async fn accepted(listener: &TcpListener) -> (TcpStream, std::net::SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // It went away again before it was served.
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connection(stream: TcpStream, peer: Peer, app: Router, place: Place, stop: CancellationToken) {
    // A log line must not wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let ticket = place.ticket.clone();
    let service = service_fn(move |request| answered(request, peer, app.clone(), ticket.clone()));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(Moving::new(stream)), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        () = place.is_taken() => return,
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// Answers one request, and tells the table how far it is.
async fn answered(
    mut request: http::Request<Incoming>,
    peer: Peer,
    app: Router,
    ticket: Ticket,
) -> Result<http::Response<Answer>, Infallible> {
    request.extensions_mut().insert(peer);
    let client = Client::of(request.extensions(), request.headers(), ticket.trusted());
    let mut response = match ticket.begins(client.address) {
        Ok(()) => {
            let request = request.map(|body| Body::new(Asked::new(body, ticket.clone())));
            app.oneshot(request).await.unwrap_or_else(|never| match never {})
        }
        Err(_) => ApiError::TooMany(OVER_SHARE.to_owned()).into_response(),
    };
    let counted = response.extensions_mut().remove::<UntilSent>();
    Ok(response.map(|body| Answer::new(body, ticket, counted)))
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
        assert!(began.elapsed() >= HEADERS);
    }
}
