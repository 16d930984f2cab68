//! Runs untrusted programs in Docker containers.
//!
//! Bytes go in as a tar, output and an [`End`] come out. Nothing of the repository is looked at
//! here, and no path of the host but the directory of the proxy's sockets is mounted anywhere.
//!
//! Rules that hold because of this folder:
//! * one job at a time per slot, and nothing of it is alive when the next one gets the slot;
//! * a container is used once and removed whatever happened, also when its job is cancelled;
//! * a program's own failure is an [`End`]; a [`SandboxError`] is always our fault;
//! * everything we make carries our labels, and nothing without them is touched.

mod config;
mod container;
mod engine;
mod env_vars;
mod error;
mod pause_container;
mod prepare;
mod program;
mod refill;
mod session;
mod slot;
mod spec;
mod start;
mod start_gate;
mod volume;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use config::SandboxConfig;
pub use error::{PrepareError, SandboxError};
pub use program::{
    CacheScope, Chunk, End, Exit, Expiry, JobTag, Limits, Network, PrepareRequest, Prepared, Program,
};
pub use slot::Slot;
pub use start_gate::StartGate;

pub(crate) use container::Container;
pub(crate) use engine::{Engine, INSTANCE, ROLE, Role, WORKER, tag_of};
pub(crate) use error::Doing;
pub(crate) use spec::Spec;

use crate::environments::Environments;
use crate::reaper;
use crate::runner::Runner;
use env_vars::Certificates;
use slot::SlotResources;

/// The index of prepared environments, in the data directory.
pub(crate) const ENVIRONMENTS: &str = "environments.json";

/// The containers of one worker. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sandbox(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) engine: Arc<Engine>,
    pub(crate) environments: Environments,
    pub(crate) slots: Vec<Arc<SlotResources>>,
    pub(crate) certificates: Certificates,
    pub(crate) stopped: CancellationToken,
    /// Of all slots, so many make a container to keep at once.
    pub(crate) refills: Semaphore,
    runners: Vec<Arc<Runner>>,
    missing: Vec<(String, String)>,
}

impl Sandbox {
    /// Connects to the daemon, removes what an earlier process of the same name left there, and
    /// makes the resources of its slots. Waiting containers are made in the background.
    pub async fn start(config: SandboxConfig) -> Result<Self, SandboxError> {
        start::start(config).await
    }

    /// The languages whose image is there.
    pub fn runners(&self) -> &[Arc<Runner>] {
        &self.0.runners
    }

    /// The language of this name, if its image is there.
    pub fn runner(&self, language: &str) -> Option<&Arc<Runner>> {
        self.runners().iter().find(|runner| runner.language == language)
    }

    /// The other languages, each with what makes it available.
    pub fn missing(&self) -> &[(String, String)] {
        &self.0.missing
    }

    /// The slot of this number, which runs one job at a time.
    ///
    /// # Panics
    /// If `index` is not less than the number of slots.
    pub fn slot(&self, index: usize) -> Slot {
        Slot { inner: self.0.clone(), resources: self.0.slots[index].clone() }
    }

    /// Whether the daemon answers.
    pub async fn ping(&self) -> Result<(), SandboxError> {
        self.0.engine.docker.ping().await.doing("reach the daemon").map(drop)
    }

    /// How many containers wait for a job.
    pub fn waiting(&self) -> usize {
        self.0.slots.iter().map(|slot| slot.pool.len()).sum()
    }

    /// Removes everything of this worker but prepared environments. Jobs that still run are ended.
    pub async fn stop(self) {
        self.0.stopped.cancel();
        let engine = &self.0.engine;
        for slot in &self.0.slots {
            slot.pool.close();
            slot.proxy.close();
            slot.pause.close().await;
        }
        engine.tasks.close();
        engine.tasks.wait().await;
        if let Err(error) = reaper::clear_own(engine, &self.0.environments).await {
            // What is left is removed at the next start.
            tracing::warn!(error = format!("{error:#}"), "sandbox cleanup failed");
        }
    }
}
