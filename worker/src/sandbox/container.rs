//! A container as a value with an owner: started, spoken to once, removed whatever happened.
//!
//! Nothing here is cancelled with the caller. A creation that nobody waits for any more is finished
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

/// From the end of a container's output until Docker knows that it ended.
const FATE_TIMEOUT: Duration = Duration::from_secs(5);

/// Something that exists at the daemon and is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Owned {
    engine: Arc<Engine>,
    id: String,
    /// The slot, as long as something of the job may still be alive.
    hold: Option<OwnedMutexGuard<()>>,
}

impl Drop for Owned {
    fn drop(&mut self) {
        let (engine, id, hold) = (self.engine.clone(), std::mem::take(&mut self.id), self.hold.take());
        let removal = async move {
            engine.remove(&id).await;
            drop(hold);
        };
        self.engine.tasks.spawn_on(removal, &self.engine.handle);
    }
}

/// What Docker knows about a container that ended without a word of its launcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    OutOfMemory,
    Unknown,
}

/// A running container whose launcher waits for orders, or was given them.
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

/// What the launcher says, frame by frame.
pub(super) struct Frames {
    output: Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>,
    decoder: Decoder,
    /// The last that it wrote to its own error output: why it could not do its work.
    pub(super) complaint: String,
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
                    self.complaint =
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
    /// Makes and starts a container, and returns it once its launcher waits for orders.
    pub(crate) async fn start(
        engine: &Arc<Engine>,
        name: String,
        body: ContainerCreateBody,
    ) -> Result<Self, SandboxError> {
        let task = engine.tasks.spawn_on(start(engine.clone(), name, body), &engine.handle);
        task.await.unwrap_or_else(|_| Err(SandboxError::Launcher("its start was interrupted".to_owned())))
    }

    /// Gives a waiting container its job's name. Nobody waits for that.
    pub(crate) fn rename(&self, name: String) {
        let (engine, id) = (self.owned.engine.clone(), self.owned.id.clone());
        self.owned.engine.tasks.spawn(async move {
            let options = RenameContainerOptions { name };
            if let Err(error) = engine.docker.rename_container(&id, options).await
                && status(&error) != Some(404)
            {
                tracing::debug!(%error, "a container could not be renamed");
            }
        });
    }

    /// Takes the slot and keeps it until this container is removed, or released.
    pub(crate) fn keep(&mut self, hold: &mut Option<OwnedMutexGuard<()>>) {
        self.owned.hold = hold.take();
    }

    /// Gives the slot back: the launcher told that nothing of the job is alive. For one who starts
    /// another container in its place, so that the slot stays his.
    pub(crate) fn release(&mut self) -> Option<OwnedMutexGuard<()>> {
        self.owned.hold.take()
    }

    /// What Docker says about an end that the launcher did not tell.
    /// Holds no borrow of the container, whose streams cannot be shared between threads.
    pub(crate) fn fate(&self) -> impl Future<Output = Fate> + Send + use<> {
        let (engine, id) = (self.owned.engine.clone(), self.owned.id.clone());
        async move {
            let mut waiting = std::pin::pin!(engine.docker.wait_container(&id, None::<WaitContainerOptions>));
            let _ = timeout(FATE_TIMEOUT, waiting.next()).await;
            let inspected = engine.docker.inspect_container(&id, None::<InspectContainerOptions>).await;
            let state = inspected.ok().and_then(|container| container.state);
            match state.and_then(|state| state.oom_killed) {
                Some(true) => Fate::OutOfMemory,
                Some(false) | None => Fate::Unknown,
            }
        }
    }
}

/// Makes and starts a container that nobody speaks to.
pub(crate) async fn start_silent(
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
    Ok(Owned { engine: engine.clone(), id, hold: None })
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
    // Attached before it is started: the daemon keeps nothing of what is said before.
    let attached =
        engine.docker.attach_container(&owned.id, Some(options)).await.doing("attach to a container")?;
    let start = engine.docker.start_container(&owned.id, None::<StartContainerOptions>);
    start.await.doing("start a container")?;
    let output = Frames { output: attached.output, decoder: Decoder::default(), complaint: String::new() };
    let mut container = Container { owned, output, input: attached.input };
    let ready = timeout(READY_TIMEOUT, container.output.next()).await;
    match ready {
        Ok(Ok(Some(Frame::Ready))) => Ok(container),
        Ok(Ok(Some(_))) => Err(SandboxError::Launcher("it spoke out of turn".to_owned())),
        Ok(Ok(None)) => {
            Err(SandboxError::Launcher(format!("it ended at once: {}", container.output.complaint)))
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(SandboxError::Launcher("it is silent".to_owned())),
    }
}
