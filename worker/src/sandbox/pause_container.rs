//! A slot's pause container, which keeps its network namespace alive, and the socket of its egress proxy.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bollard::models::{Mount, MountType};
use bollard::query_parameters::InspectContainerOptions;
use tokio::sync::Mutex;

use super::container::{self, Owned};
use super::engine::{Engine, Role};
use super::{SandboxError, spec};
use crate::egress::EgressProxy;

/// Where a worker in a container mounts the volume that its pause containers mount as well.
const PROXY_VOLUME_DIR: &str = "/run/gitfaas";

/// Where pause containers mount the directory of the sockets.
const SOCKETS_DIR: &str = "/egress";

/// The directory of the sockets below the data directory. A short name: the path of a socket has 107 bytes
/// at most.
const DATA_SUBDIR: &str = "door";

/// Where the sockets are: for the worker, and for pause containers.
#[derive(Debug)]
pub(crate) struct ProxySockets {
    dir: PathBuf,
    mount: Mount,
    inside: String,
}

impl ProxySockets {
    /// Makes the directory: every uid may use a socket whose name it knows, and none but ours may list them.
    pub(crate) async fn prepare(engine: &Engine) -> Result<Self, SandboxError> {
        let config = &engine.config;
        let (dir, typ, source, inside) = match &config.proxy_volume {
            Some(volume) => (
                Path::new(PROXY_VOLUME_DIR).join(&config.worker),
                MountType::VOLUME,
                volume.clone(),
                format!("{SOCKETS_DIR}/{}", config.worker),
            ),
            None => {
                let dir = config.data_dir.join(DATA_SUBDIR);
                let dir =
                    std::path::absolute(&dir).map_err(|source| SandboxError::File { path: dir, source })?;
                let source = dir.to_string_lossy().into_owned();
                (dir, MountType::BIND, source, SOCKETS_DIR.to_owned())
            }
        };
        let failed = |source| SandboxError::File { path: dir.clone(), source };
        tokio::fs::create_dir_all(&dir).await.map_err(failed)?;
        let mode = PermissionsExt::from_mode(0o711);
        tokio::fs::set_permissions(&dir, mode).await.map_err(failed)?;
        let mount = Mount {
            typ: Some(typ),
            source: Some(source),
            target: Some(SOCKETS_DIR.to_owned()),
            read_only: Some(true),
            ..Default::default()
        };
        Ok(Self { dir, mount, inside })
    }

    /// Starts the egress proxy of a slot.
    pub(crate) async fn serve(&self, slot: usize) -> Result<EgressProxy, SandboxError> {
        let path = self.dir.join(format!("{slot}.sock"));
        EgressProxy::serve(&path).await.map_err(|source| SandboxError::File { path, source })
    }
}

/// The pause container of one slot. It is recreated when it is gone, as after a restart of Docker.
#[derive(Debug)]
pub(crate) struct PauseContainer {
    slot: usize,
    image: String,
    sockets: Arc<ProxySockets>,
    container: Mutex<Option<Owned>>,
}

impl PauseContainer {
    pub(crate) fn new(slot: usize, image: String, sockets: Arc<ProxySockets>) -> Self {
        Self { slot, image, sockets, container: Mutex::new(None) }
    }

    /// The id of the container, which is started now if it does not run.
    pub(crate) async fn id(&self, engine: &Arc<Engine>) -> Result<String, SandboxError> {
        let mut container = self.container.lock().await;
        if let Some(owned) = container.as_ref() {
            return Ok(owned.id().to_owned());
        }
        let socket = format!("{}/{}.sock", self.sockets.inside, self.slot);
        let body = spec::pause_body(engine, &self.image, &socket, self.sockets.mount.clone());
        let started = container::start_detached(engine, Engine::fresh_name(Role::Pause), body).await?;
        Ok(container.insert(started).id().to_owned())
    }

    /// Checks whether it still runs, and drops it if not; the next [`Self::id`] starts another.
    pub(crate) async fn check(&self, engine: &Engine) {
        let mut container = self.container.lock().await;
        let Some(owned) = container.as_ref() else { return };
        let inspected = engine.docker.inspect_container(owned.id(), None::<InspectContainerOptions>).await;
        let state = inspected.ok().and_then(|inspected| inspected.state);
        if state.and_then(|state| state.running) != Some(true) {
            tracing::warn!(slot = self.slot, "pause container lost");
            *container = None;
        }
    }

    /// Removes it.
    pub(crate) async fn close(&self) {
        *self.container.lock().await = None;
    }
}
