//! The conversation with one launcher: orders and tree down, output and end up.
//!
//! However it goes, it ends: every wait is bounded by the program's deadline and by `stop`, also
//! the wait for a reader of the output.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use jobs::{LogSource, Phase};
use launcher::{Frame, Orders};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::SandboxError;
use super::container::{Container, Fate, Frames};
use super::program::{Chunk, End, Exit};
use crate::source::Tree;

/// For the tree to arrive and be unpacked: 2 GiB at a slow disk's speed.
const UNPACK_TIMEOUT: Duration = Duration::from_secs(120);

/// The launcher holds the deadline; this is for one that cannot.
const BEYOND_DEADLINE: Duration = Duration::from_secs(5);

/// What a kernel that is out of memory sends.
const SIGKILL: i32 = 9;

/// What is said to a launcher, and who listens.
pub(crate) struct Call<'a> {
    pub(crate) orders: &'a Orders,
    pub(crate) tree: &'a Tree,
    pub(crate) phase: Phase,
    pub(crate) output: &'a mpsc::Sender<Chunk>,
    pub(crate) stop: &'a CancellationToken,
}

/// How a conversation ended.
pub(crate) enum Told {
    /// By the launcher's word: nothing of the program is alive.
    End(End),
    /// By us, or by the container's vanishing: something may be alive until it is removed.
    Cut(End),
    /// Before the program was started. Another container may do better.
    NeverStarted,
}

impl Container {
    /// Has one program run. A container is spoken to once.
    pub(crate) async fn obey(&mut self, call: &Call<'_>) -> Result<Told, SandboxError> {
        match converse(&mut self.input, &mut self.output, call).await? {
            Outcome::Told(told) => Ok(told),
            Outcome::Vanished(None) => {
                let complaint = &self.output.complaint;
                tracing::warn!(complaint, "a launcher was gone before its program started");
                Ok(Told::NeverStarted)
            }
            Outcome::Vanished(Some(elapsed)) => {
                let end = End::unknown(elapsed);
                Ok(Told::Cut(match self.fate().await {
                    Fate::OutOfMemory => End { exit: Exit::Signal(SIGKILL), oom_kills: 1, ..end },
                    Fate::Unknown => end,
                }))
            }
        }
    }
}

enum Outcome {
    Told(Told),
    /// Without a last word; how long the program had run, if it had.
    Vanished(Option<Duration>),
}

async fn converse(
    input: &mut (impl AsyncWrite + Unpin),
    frames: &mut Frames,
    call: &Call<'_>,
) -> Result<Outcome, SandboxError> {
    let mut deadline = Instant::now() + UNPACK_TIMEOUT;
    let mut started: Option<Instant> = None;
    let mut is_written = false;
    let mut writing = pin!(write(input, call));
    loop {
        let elapsed = || started.map_or(Duration::ZERO, |at| at.elapsed());
        let cut = |end: End| Ok(Outcome::Told(Told::Cut(end)));
        let frame = tokio::select! {
            biased;
            () = call.stop.cancelled() => return cut(End { stopped: true, ..End::unknown(elapsed()) }),
            () = sleep_until(deadline) => match started {
                Some(_) => return cut(End { timed_out: true, ..End::unknown(elapsed()) }),
                None => return Err(SandboxError::Launcher("the files were not unpacked in time".to_owned())),
            },
            written = &mut writing, if !is_written => {
                // A launcher that reads no more has said why, or is gone.
                if let Err(WriteError::Tree(error)) = written {
                    return Err(SandboxError::Tree(error));
                }
                is_written = true;
                continue;
            }
            frame = frames.next() => frame?,
        };
        let (source, bytes) = match frame {
            Some(Frame::Ready) => continue,
            Some(Frame::Started) => {
                let now = Instant::now();
                started = Some(now);
                deadline = now + Duration::from_millis(call.orders.deadline_ms) + BEYOND_DEADLINE;
                continue;
            }
            Some(Frame::Stdout(bytes)) => (LogSource::Stdout, bytes),
            Some(Frame::Stderr(bytes)) => (LogSource::Stderr, bytes),
            Some(Frame::End(end)) => return Ok(Outcome::Told(Told::End(End::told(end, elapsed())))),
            None => return Ok(Outcome::Vanished(started.map(|at| at.elapsed()))),
        };
        let chunk = Chunk { phase: call.phase, source, bytes: Bytes::from(bytes) };
        tokio::select! {
            biased;
            _ = call.output.send(chunk) => {}
            () = call.stop.cancelled() => {}
            () = sleep_until(deadline) => {}
        }
    }
}

enum WriteError {
    Tree(std::io::Error),
    Launcher,
}

/// Sends orders and tree. The input stays open afterwards: its end would end the program.
async fn write(input: &mut (impl AsyncWrite + Unpin), call: &Call<'_>) -> Result<(), WriteError> {
    let mut head = call.orders.encode();
    head.extend_from_slice(&call.tree.len_bytes().to_be_bytes());
    input.write_all(&head).await.map_err(|_| WriteError::Launcher)?;
    let mut tree = call.tree.reader().await.map_err(WriteError::Tree)?;
    let sent = tokio::io::copy(&mut tree, input).await.map_err(|_| WriteError::Launcher)?;
    if sent != call.tree.len_bytes() {
        return Err(WriteError::Tree(std::io::ErrorKind::UnexpectedEof.into()));
    }
    input.flush().await.map_err(|_| WriteError::Launcher)
}
