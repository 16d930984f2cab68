//! Outages of the fake forge: which requests fail and how, and the connections that this needs.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

/// The part of the forge that an outage affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Statuses and check runs that are posted.
    Posts,
    /// Tokens of installations.
    Mint,
    /// Webhooks of repositories.
    Hooks,
    /// What a repository is.
    LookUp,
}

impl Part {
    /// The part that a path of the API belongs to.
    pub(super) fn of(path: &[&str]) -> Option<Self> {
        match path {
            ["repos", _, _, "statuses" | "check-runs", ..] => Some(Self::Posts),
            ["app", "installations", _, "access_tokens"] => Some(Self::Mint),
            ["repos", _, _, "hooks", ..] => Some(Self::Hooks),
            ["repos", _, _] => Some(Self::LookUp),
            _ => None,
        }
    }
}

/// How a request to a part of the forge fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outage {
    /// It is answered with this code and these headers, and not taken.
    Answer(u16, Vec<(&'static str, &'static str)>),
    /// It is never answered.
    Hang,
    /// The connection is reset.
    Reset,
    /// It is taken, and the connection reset before the answer.
    Lost,
    /// It is taken after so long, also when nobody waits for the answer any more.
    Late(Duration),
}

/// What comes next.
#[derive(Debug, Default)]
pub(super) struct Outages {
    once: VecDeque<Outage>,
    lasting: Vec<Outage>,
    until: Option<Instant>,
    /// Requests that met one.
    pub(super) met: usize,
}

impl Outages {
    pub(super) fn add(&mut self, outages: impl IntoIterator<Item = Outage>) {
        self.once.extend(outages);
    }

    pub(super) fn last(&mut self, time: Duration, outages: &[Outage]) {
        self.lasting = outages.to_vec();
        self.until = Some(Instant::now() + time);
    }

    /// What the next request meets: what was asked for once, else the lasting ones in turn.
    pub(super) fn next(&mut self) -> Option<Outage> {
        let lasts = self.until.is_some_and(|until| Instant::now() < until) && !self.lasting.is_empty();
        let turn = lasts.then(|| self.lasting[self.met % self.lasting.len()].clone());
        let next = self.once.pop_front().or(turn);
        self.met += usize::from(next.is_some());
        next
    }
}

/// Cuts one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Cut(Arc<AtomicBool>);

impl Cut {
    /// Nothing more is sent: the other end finds the connection reset.
    pub(super) fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A listener whose connections can be cut.
pub(super) struct Lines(pub(super) TcpListener);

/// A connection that can be cut.
pub(super) struct Line {
    stream: TcpStream,
    cut: Cut,
}

impl Listener for Lines {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        loop {
            if let Ok((stream, address)) = self.0.accept().await {
                // As forges do: else git's answers, of a head and a little body, wait 40 ms for a delayed
                // ACK.
                let _ = stream.set_nodelay(true);
                return (Line { stream, cut: Cut::default() }, address);
            }
            tokio::task::yield_now().await;
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, Lines>> for Cut {
    fn connect_info(stream: IncomingStream<'_, Lines>) -> Self {
        stream.io().cut.clone()
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if self.cut.0.load(Ordering::Relaxed) {
            // Closed like this, the kernel sends a reset.
            let _ = self.stream.set_zero_linger();
            return Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if self.cut.0.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
