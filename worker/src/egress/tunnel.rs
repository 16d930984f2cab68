//! Connecting to authorized addresses, and copying bytes both ways.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// For one address; there may be several.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A tunnel that is idle in both directions is closed. Long polls are shorter.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// What one direction holds.
const BUFFER_BYTES: usize = 32 * 1024;

/// The first of the addresses that answers.
pub(crate) async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// Copies both directions until both have ended, one has failed, or nothing moves.
pub(crate) async fn copy_both_ways(job: impl AsyncRead + AsyncWrite, host: TcpStream) -> io::Result<()> {
    let (mut from_job, mut to_job) = tokio::io::split(job);
    let (mut from_host, mut to_host) = host.into_split();
    let moved = tokio::sync::watch::Sender::new(());
    let mut is_moving = moved.subscribe();
    let both = async {
        tokio::try_join!(
            copy_one_way(&mut from_job, &mut to_host, &moved),
            copy_one_way(&mut from_host, &mut to_job, &moved)
        )
    };
    let idle = async { while timeout(IDLE_TIMEOUT, is_moving.changed()).await.is_ok() {} };
    tokio::select! {
        done = both => done.map(drop),
        () = idle => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn copy_one_way(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    moved: &tokio::sync::watch::Sender<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
        moved.send_replace(());
    }
}
