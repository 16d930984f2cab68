//! A session with one launcher: program, files and input down, output and end up.
//!
//! However it goes, it ends: every wait is bounded by the program's deadline and by `stop`, also
//! the wait for a reader of the output.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use jobs::{LogSource, Phase};
use launcher::{Frame, ProgramSpec};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::SandboxError;
use super::container::{Container, Frames, LossReason};
use super::program::{Chunk, End, Exit};
use super::start_gate::StartGate;
use crate::source::Tree;

/// For the tree to arrive and be unpacked: 2 GiB at a slow disk's speed.
const UNPACK_TIMEOUT: Duration = Duration::from_secs(120);

/// The launcher enforces the deadline; this is for one that cannot.
const BEYOND_DEADLINE: Duration = Duration::from_secs(5);

/// What a kernel that is out of memory sends.
const SIGKILL: i32 = 9;

/// What a launcher is to run, and where its output goes.
pub(crate) struct SessionRequest<'a, 'g> {
    pub(crate) program: &'a ProgramSpec,
    pub(crate) tree: &'a Tree,
    /// What the program reads from standard input.
    pub(crate) input: &'a [u8],
    /// Asked before the program may begin; without one it may.
    pub(crate) gate: Option<&'a StartGate<'g>>,
    pub(crate) phase: Phase,
    pub(crate) output: &'a mpsc::Sender<Chunk>,
    pub(crate) stop: &'a CancellationToken,
}

/// How a session ended.
pub(crate) enum SessionEnd {
    /// As the launcher reported: nothing of the program is alive.
    Ended(End),
    /// By us, or because the container vanished: something may be alive until it is removed.
    Aborted(End),
    /// Before the program was started. Another container may do better.
    NeverStarted,
}

impl Container {
    /// Runs one program. A container has one session.
    pub(crate) async fn run(&mut self, request: &SessionRequest<'_, '_>) -> Result<SessionEnd, SandboxError> {
        match exchange(&mut self.input, &mut self.output, request).await? {
            Exchange::Complete(end) => Ok(end),
            // It may have begun all the same: word of that may have been lost with the container.
            Exchange::Vanished(None) if request.gate.is_some_and(StartGate::is_passed) => {
                Ok(SessionEnd::Aborted(End::unknown(Duration::ZERO)))
            }
            Exchange::Vanished(None) => {
                let stderr = &self.output.last_stderr;
                tracing::warn!(stderr, "launcher lost before program start");
                Ok(SessionEnd::NeverStarted)
            }
            Exchange::Vanished(Some(elapsed)) => {
                let end = End::unknown(elapsed);
                Ok(SessionEnd::Aborted(match self.loss_reason().await {
                    LossReason::OutOfMemory => End { exit: Exit::Signal(SIGKILL), oom_kills: 1, ..end },
                    LossReason::Unknown => end,
                }))
            }
        }
    }
}

/// How the exchange of frames ended.
enum Exchange {
    Complete(SessionEnd),
    /// Without an end frame; how long the program had run, if it had.
    Vanished(Option<Duration>),
}

async fn exchange(
    input: &mut (impl AsyncWrite + Unpin),
    frames: &mut Frames,
    request: &SessionRequest<'_, '_>,
) -> Result<Exchange, SandboxError> {
    let mut deadline = Instant::now() + UNPACK_TIMEOUT;
    let mut started: Option<Instant> = None;
    let mut is_written = false;
    let mut writing = pin!(write(input, request));
    loop {
        let elapsed = || started.map_or(Duration::ZERO, |at| at.elapsed());
        let abort = |end: End| Ok(Exchange::Complete(SessionEnd::Aborted(end)));
        let frame = tokio::select! {
            biased;
            () = request.stop.cancelled() => return abort(End { stopped: true, ..End::unknown(elapsed()) }),
            () = sleep_until(deadline) => match started {
                Some(_) => return abort(End { timed_out: true, ..End::unknown(elapsed()) }),
                None => return Err(SandboxError::Launcher("the files were not unpacked in time".to_owned())),
            },
            written = &mut writing, if !is_written => {
                match written {
                    // A launcher that stops reading has reported why, or is gone.
                    Ok(()) | Err(WriteError::Launcher) => {}
                    Err(WriteError::Tree(error)) => return Err(SandboxError::Tree(error)),
                    Err(WriteError::Gate) => return abort(End { stopped: true, ..End::unknown(elapsed()) }),
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
                deadline = now + Duration::from_millis(request.program.deadline_ms) + BEYOND_DEADLINE;
                continue;
            }
            Some(Frame::Stdout(bytes)) => (LogSource::Stdout, bytes),
            Some(Frame::Stderr(bytes)) => (LogSource::Stderr, bytes),
            Some(Frame::End(end)) => {
                return Ok(Exchange::Complete(SessionEnd::Ended(End::reported(end, elapsed()))));
            }
            None => return Ok(Exchange::Vanished(started.map(|at| at.elapsed()))),
        };
        let chunk = Chunk { phase: request.phase, source, bytes: Bytes::from(bytes) };
        tokio::select! {
            biased;
            _ = request.output.send(chunk) => {}
            () = request.stop.cancelled() => {}
            () = sleep_until(deadline) => {}
        }
    }
}

enum WriteError {
    Tree(std::io::Error),
    Launcher,
    /// The program may not begin.
    Gate,
}

/// Sends program, files and the program's input; the last only once the program may begin, which it cannot without
/// it. The launcher's own input stays open afterwards: its end would end the program.
async fn write(
    input: &mut (impl AsyncWrite + Unpin),
    request: &SessionRequest<'_, '_>,
) -> Result<(), WriteError> {
    let mut head = request.program.encode();
    head.extend_from_slice(&request.tree.len_bytes().to_be_bytes());
    input.write_all(&head).await.map_err(|_| WriteError::Launcher)?;
    let mut tree = request.tree.reader().await.map_err(WriteError::Tree)?;
    let sent = tokio::io::copy(&mut tree, input).await.map_err(|_| WriteError::Launcher)?;
    if sent != request.tree.len_bytes() {
        return Err(WriteError::Tree(std::io::ErrorKind::UnexpectedEof.into()));
    }
    if let Some(gate) = request.gate {
        input.flush().await.map_err(|_| WriteError::Launcher)?;
        if !gate.pass().await {
            return Err(WriteError::Gate);
        }
    }
    let program_input = (request.input.len() as u64).to_be_bytes();
    input.write_all(&program_input).await.map_err(|_| WriteError::Launcher)?;
    input.write_all(request.input).await.map_err(|_| WriteError::Launcher)?;
    input.flush().await.map_err(|_| WriteError::Launcher)
}
