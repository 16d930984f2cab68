//! A container as a value with an owner: started, used for one session, removed whatever happened.
//!
//! Nothing here is cancelled with the caller. A creation that no caller waits for any more is finished
//! and removed; dropping a [`Container`] closes its input, which ends everything in it, and removes
//! it in a task of its own.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    AttachContainerOptions, CreateContainerOptions, InspectContainerOptions, RenameContainerOptions,
    StartContainerOptions, WaitContainerOptions,
};
use futures_util::{Stream, StreamExt};
use launcher::{Decoder, Frame};
use tokio::io::AsyncWrite;
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use super::engine::{Engine, status};
use super::{Doing, SandboxError};

/// From the start of a container until its launcher speaks. It takes 100 ms; a machine that is busy
/// with something else may take long.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// From the end of a container's output until Docker reports that it ended.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Something that exists at the daemon and is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Owned {
    engine: Arc<Engine>,
    id: String,
    /// Held as long as something of the job may still be alive.
    slot_guard: Option<OwnedMutexGuard<()>>,
}

impl Drop for Owned {
    fn drop(&mut self) {
        let engine = self.engine.clone();
        let (id, slot_guard) = (std::mem::take(&mut self.id), self.slot_guard.take());
        let removal = async move {
            engine.remove(&id).await;
            drop(slot_guard);
        };
        self.engine.tasks.spawn_on(removal, &self.engine.handle);
    }
}

/// Why a container ended without an end frame of its launcher, as far as Docker knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LossReason {
    OutOfMemory,
    Unknown,
}

/// A running container whose launcher waits for its program, or has it.
pub(crate) struct Container {
    owned: Owned,
    pub(super) output: Frames,
    pub(super) input: Pin<Box<dyn AsyncWrite + Send>>,
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Container").field(&self.owned.id).finish()
    }
}

/// What the launcher sends, frame by frame.
pub(super) struct Frames {
    output: Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>,
    decoder: Decoder,
    /// The last that it wrote to its own error output: why it failed.
    pub(super) last_stderr: String,
}

impl Frames {
    /// The next frame; `None` when the launcher is gone. Nothing is lost when this is cancelled.
    pub(super) async fn next(&mut self) -> Result<Option<Frame>, SandboxError> {
        loop {
            let malformed = |error: launcher::Malformed| SandboxError::Launcher(error.to_string());
            if let Some(frame) = self.decoder.take().map_err(malformed)? {
                return Ok(Some(frame));
            }
            match self.output.next().await {
                Some(Ok(LogOutput::StdOut { message })) => self.decoder.push(&message),
                Some(Ok(LogOutput::StdErr { message })) => {
                    self.last_stderr =
                        String::from_utf8_lossy(&message[..message.len().min(512)]).trim().to_owned();
                }
                Some(Ok(LogOutput::StdIn { .. } | LogOutput::Console { .. })) => {}
                // The connection broke: the same as an end without a word.
                Some(Err(_)) | None => return Ok(None),
            }
        }
    }
}

impl Container {
    /// Makes and starts a container, and returns it once its launcher is ready.
    pub(crate) async fn start(
        engine: &Arc<Engine>,
        name: String,
        body: ContainerCreateBody,
    ) -> Result<Self, SandboxError> {
        let task = engine.tasks.spawn_on(start(engine.clone(), name, body), &engine.handle);
        task.await.unwrap_or_else(|_| Err(SandboxError::Launcher("its start was interrupted".to_owned())))
    }

    /// Gives a waiting container its job's name, in the background.
    pub(crate) fn rename(&self, name: String) {
        let (engine, id) = (self.owned.engine.clone(), self.owned.id.clone());
        self.owned.engine.tasks.spawn(async move {
            let options = RenameContainerOptions { name };
            if let Err(error) = engine.docker.rename_container(&id, options).await
                && status(&error) != Some(404)
            {
                tracing::debug!(%error, container = id, "container rename failed");
            }
        });
    }

    /// Holds the slot until this container is removed, or the slot is released.
    pub(crate) fn hold_slot(&mut self, guard: &mut Option<OwnedMutexGuard<()>>) {
        self.owned.slot_guard = guard.take();
    }

    /// Returns the slot: the launcher reported that nothing of the job is alive. A caller that starts
    /// another container in its place keeps the guard.
    pub(crate) fn release_slot(&mut self) -> Option<OwnedMutexGuard<()>> {
        self.owned.slot_guard.take()
    }

    /// Asks Docker about an end that the launcher did not report.
    /// Holds no borrow of the container, whose streams cannot be shared between threads.
    pub(crate) fn loss_reason(&self) -> impl Future<Output = LossReason> + Send + use<> {
        let (engine, id) = (self.owned.engine.clone(), self.owned.id.clone());
        async move {
            let mut waiting = std::pin::pin!(engine.docker.wait_container(&id, None::<WaitContainerOptions>));
            let _ = timeout(EXIT_TIMEOUT, waiting.next()).await;
            let inspected = engine.docker.inspect_container(&id, None::<InspectContainerOptions>).await;
            let state = inspected.ok().and_then(|container| container.state);
            match state.and_then(|state| state.oom_killed) {
                Some(true) => LossReason::OutOfMemory,
                Some(false) | None => LossReason::Unknown,
            }
        }
    }
}

/// Makes and starts a container without a session.
pub(crate) async fn start_detached(
    engine: &Arc<Engine>,
    name: String,
    body: ContainerCreateBody,
) -> Result<Owned, SandboxError> {
    let task = engine.clone();
    let started = engine.tasks.spawn_on(
        async move {
            let owned = create(&task, name, body).await?;
            let start = task.docker.start_container(&owned.id, None::<StartContainerOptions>);
            start.await.doing("start a container")?;
            Ok(owned)
        },
        &engine.handle,
    );
    started.await.unwrap_or_else(|_| Err(SandboxError::Launcher("its start was interrupted".to_owned())))
}

/// Makes a container. One of the same name is an earlier try of ours and goes first.
pub(crate) async fn create(
    engine: &Arc<Engine>,
    name: String,
    body: ContainerCreateBody,
) -> Result<Owned, SandboxError> {
    let options = CreateContainerOptions { name: Some(name.clone()), ..Default::default() };
    let create = || engine.docker.create_container(Some(options.clone()), body.clone());
    let mut created = create().await;
    if created.as_ref().is_err_and(|error| status(error) == Some(409)) {
        engine.remove(&name).await;
        created = create().await;
    }
    let id = created.doing("create a container")?.id;
    Ok(Owned { engine: engine.clone(), id, slot_guard: None })
}

impl Owned {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

async fn start(
    engine: Arc<Engine>,
    name: String,
    body: ContainerCreateBody,
) -> Result<Container, SandboxError> {
    let owned = create(&engine, name, body).await?;
    let options = AttachContainerOptions {
        stream: true,
        stdin: true,
        stdout: true,
        stderr: true,
        ..Default::default()
    };
    // Attached before it is started: the daemon keeps no output from before.
    let attached =
        engine.docker.attach_container(&owned.id, Some(options)).await.doing("attach to a container")?;
    let start = engine.docker.start_container(&owned.id, None::<StartContainerOptions>);
    start.await.doing("start a container")?;
    let output = Frames { output: attached.output, decoder: Decoder::default(), last_stderr: String::new() };
    let mut container = Container { owned, output, input: attached.input };
    let ready = timeout(READY_TIMEOUT, container.output.next()).await;
    match ready {
        Ok(Ok(Some(Frame::Ready))) => Ok(container),
        Ok(Ok(Some(_))) => Err(SandboxError::Launcher("it spoke out of turn".to_owned())),
        Ok(Ok(None)) => {
            Err(SandboxError::Launcher(format!("it ended at once: {}", container.output.last_stderr)))
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(SandboxError::Launcher("it is silent".to_owned())),
    }
}
