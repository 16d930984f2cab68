//! Connections: how many, how slow, and how they end.
//!
//! A client that sends its headers slowly, or none, is sent away; so is one that does not take its
//! answer. What of a body comes slowly is [`crate::body`]'s. When the limit is reached new connections
//! wait in the kernel's queue; none that is open is closed for a new one.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{Router, body::Body};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use crate::client::Peer;

/// For all headers of a request, and so for an idle connection too: hyper's own default.
const HEADERS: Duration = Duration::from_secs(30);
/// What a request line with its headers may have, in bytes; nginx allows 32 KiB.
const HEADER_BYTES: usize = 64 * 1024;
/// A client that takes not one byte for this long is gone. Live streams say something every 15 s.
const STALLED: Duration = Duration::from_secs(60);
/// Before the next connection is accepted after the kernel could not give one (no free descriptors).
const PAUSE: Duration = Duration::from_secs(1);

/// Serves until `stop`; then open requests may end. Whoever is tired of waiting drops this.
pub(crate) async fn serve(listener: TcpListener, app: Router, most: usize, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)));
    let open = TaskTracker::new();
    // Dropped with this function: then every connection is closed.
    let given_up = CancellationToken::new();
    let _ends = given_up.clone().drop_guard();
    let accepting = async {
        loop {
            let place =
                Arc::clone(&room).acquire_owned().await.expect("nobody closes the semaphore of places");
            let (stream, peer) = accepted(&listener).await;
            let app = app.clone();
            let connection = connection(stream, Peer(peer), app, place, stop.clone());
            let given_up = given_up.clone();
            open.spawn(async move { given_up.run_until_cancelled(connection).await });
        }
    };
    stop.run_until_cancelled(accepting).await;
    drop(listener);
    open.close();
    open.wait().await;
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

async fn connection(
    stream: TcpStream,
    peer: Peer,
    app: Router,
    _place: OwnedSemaphorePermit,
    stop: CancellationToken,
) {
    // A log line must not wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let app = app.clone();
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            Ok::<_, Infallible>(app.oneshot(request).await.unwrap_or_else(|never| match never {}))
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(Moving::new(stream)), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
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

/// A connection on which something must move when something is to be written.
struct Moving {
    stream: TcpStream,
    stalled: Pin<Box<Sleep>>,
    waits: bool,
}

impl Moving {
    fn new(stream: TcpStream) -> Self {
        Self { stream, stalled: Box::pin(sleep(STALLED)), waits: false }
    }

    /// What a write came to, unless nothing moved for too long.
    fn moved<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waits = false;
            return written;
        }
        if !self.waits {
            self.waits = true;
            self.stalled.as_mut().reset(Instant::now() + STALLED);
        }
        ready!(self.stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Moving {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Moving {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.moved(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.moved(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        task::JoinHandle,
    };

    use super::*;

    struct Served {
        address: std::net::SocketAddr,
        stop: CancellationToken,
        serving: JoinHandle<()>,
    }

    async fn served(app: Router, most: usize) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, app, most, stop.clone()));
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
    async fn beyond_the_limit_a_connection_waits_for_another_to_end() {
        let served = served(Router::new().route("/", get(|| async { "ok" })), 1).await;
        let mut first = asks(served.address).await;
        assert_eq!(first_line(&mut first).await, "HTTP/1.1 200 OK");
        let mut second = asks(served.address).await;
        let mut byte = [0];
        tokio::task::yield_now().await;
        let early = second.try_read(&mut byte);
        assert!(matches!(early, Err(error) if error.kind() == io::ErrorKind::WouldBlock));
        drop(first);
        assert_eq!(first_line(&mut second).await, "HTTP/1.1 200 OK");
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
