//! SIGTERM and Ctrl-C: the first one asks for a graceful shutdown, the second one exits immediately.

use std::{future::Future, process::ExitCode};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What a shell reports of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Cancelled at the first signal. At the second one the process ends at once.
pub(crate) fn stop() -> std::io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
        };
        next().await;
        tracing::info!("shutdown requested; a second signal exits immediately");
        token.cancel();
        next().await;
        tracing::warn!("immediate exit requested; unfinished work is left to other processes");
        std::process::exit(1);
    });
    Ok(stop)
}

/// Does `work` until it is done or Ctrl-C is pressed.
pub(crate) async fn unless_interrupted(
    work: impl Future<Output = anyhow::Result<ExitCode>>,
) -> anyhow::Result<ExitCode> {
    tokio::select! {
        done = work => done,
        pressed = tokio::signal::ctrl_c() => {
            pressed?;
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}
