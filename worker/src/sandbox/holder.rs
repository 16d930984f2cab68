//! A slot's standing parts: the door's socket, and the container that keeps the network namespace.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bollard::models::{Mount, MountType};
use bollard::query_parameters::InspectContainerOptions;
use tokio::sync::Mutex;

use super::container::{self, Owned};
use super::engine::{Engine, Role};
use super::{SandboxError, spec};
use crate::egress::Door;

/// Where a worker in a container has the volume that its holders have as well.
const DOOR_VOLUME_DIR: &str = "/run/gitfaas";

/// Where holders have the door's sockets.
const DOOR_DIR: &str = "/door";

/// Where the sockets lie: for us, and for holders.
#[derive(Debug)]
pub(crate) struct Sockets {
    dir: PathBuf,
    mount: Mount,
    inside: String,
}

impl Sockets {
    /// Makes the directory: everybody may use a socket whose name he knows, nobody may list them.
    pub(crate) async fn prepare(engine: &Engine) -> Result<Self, SandboxError> {
        let config = &engine.config;
        let (dir, typ, source, inside) = match &config.door_volume {
            Some(volume) => (
                Path::new(DOOR_VOLUME_DIR).join(&config.worker),
                MountType::VOLUME,
                volume.clone(),
                format!("{DOOR_DIR}/{}", config.worker),
            ),
            None => {
                let dir = config.data_dir.join("door");
                let dir =
                    std::path::absolute(&dir).map_err(|source| SandboxError::File { path: dir, source })?;
                let source = dir.to_string_lossy().into_owned();
                (dir, MountType::BIND, source, DOOR_DIR.to_owned())
            }
        };
        let failed = |source| SandboxError::File { path: dir.clone(), source };
        tokio::fs::create_dir_all(&dir).await.map_err(failed)?;
        let mode = PermissionsExt::from_mode(0o711);
        tokio::fs::set_permissions(&dir, mode).await.map_err(failed)?;
        let mount = Mount {
            typ: Some(typ),
            source: Some(source),
            target: Some(DOOR_DIR.to_owned()),
            read_only: Some(true),
            ..Default::default()
        };
        Ok(Self { dir, mount, inside })
    }

    /// Opens the socket of a slot.
    pub(crate) async fn door(&self, slot: usize) -> Result<Door, SandboxError> {
        let path = self.dir.join(format!("{slot}.sock"));
        Door::serve(&path).await.map_err(|source| SandboxError::File { path, source })
    }
}

/// The holder of one slot. It is made again when it is gone, as after a restart of Docker.
#[derive(Debug)]
pub(crate) struct Holder {
    slot: usize,
    image: String,
    sockets: Arc<Sockets>,
    container: Mutex<Option<Owned>>,
}

impl Holder {
    pub(crate) fn new(slot: usize, image: String, sockets: Arc<Sockets>) -> Self {
        Self { slot, image, sockets, container: Mutex::new(None) }
    }

    /// The id of the holder, started now if it was not.
    pub(crate) async fn id(&self, engine: &Arc<Engine>) -> Result<String, SandboxError> {
        let mut container = self.container.lock().await;
        if let Some(owned) = container.as_ref() {
            return Ok(owned.id().to_owned());
        }
        let socket = format!("{}/{}.sock", self.sockets.inside, self.slot);
        let body = spec::holder_body(engine, &self.image, &socket, self.sockets.mount.clone());
        let started = container::start_silent(engine, Engine::fresh_name(Role::Holder), body).await?;
        Ok(container.insert(started).id().to_owned())
    }

    /// Looks whether it still runs, and lets it go if not.
    pub(crate) async fn check(&self, engine: &Engine) {
        let mut container = self.container.lock().await;
        let Some(owned) = container.as_ref() else { return };
        let inspected = engine.docker.inspect_container(owned.id(), None::<InspectContainerOptions>).await;
        let state = inspected.ok().and_then(|inspected| inspected.state);
        if state.and_then(|state| state.running) != Some(true) {
            tracing::warn!(slot = self.slot, "the network holder of a slot is gone; making another one");
            *container = None;
        }
    }

    /// Removes it.
    pub(crate) async fn close(&self) {
        *self.container.lock().await = None;
    }
}
