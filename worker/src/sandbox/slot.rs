//! A slot runs one job at a time, with its own network namespace, uid and pool of waiting containers.
//!
//! It is given to the next job only when nothing of the last one can be alive: at once when the launcher
//! reported the end, else when the container is removed.

use std::sync::Arc;
use std::time::Duration;

use jobs::Phase;
use launcher::ProgramSpec;
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};
use tokio_util::sync::CancellationToken;

use super::container::Container;
use super::engine::{Engine, Role, container_name};
use super::env_vars::variables;
use super::pause_container::PauseContainer;
use super::program::{Chunk, End, JobTag, Network, Program};
use super::session::{SessionEnd, SessionRequest};
use super::spec::{Spec, WORK};
use super::start_gate::StartGate;
use super::{Inner, SandboxError};
use crate::egress::{EgressProxy, Policy};
use crate::pool::Pool;

/// The resources of a slot.
#[derive(Debug)]
pub(crate) struct SlotResources {
    pub(crate) index: usize,
    pub(crate) proxy: EgressProxy,
    pub(crate) pause: PauseContainer,
    pub(crate) pool: Pool,
    /// Held while something of a job may be alive.
    pub(crate) busy: Arc<Mutex<()>>,
    /// Held while waiting containers are made.
    pub(crate) refilling: Mutex<()>,
}

/// Runs one job at a time. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Slot {
    pub(super) inner: Arc<Inner>,
    pub(super) resources: Arc<SlotResources>,
}

/// One program for one container.
pub(super) struct Task<'a, 'g> {
    pub(super) tag: &'a JobTag,
    pub(super) role: Role,
    pub(super) spec: Spec,
    pub(super) session: SessionRequest<'a, 'g>,
}

impl Slot {
    /// Runs a program to its end. The container is removed whatever happened, also when the caller
    /// stops waiting; `stop` ends it early. What it writes goes to `output` as it comes, also while
    /// nobody reads: then the program waits, but its time goes on. A `gate` is asked before the program begins; one
    /// that refuses ends it as `stop` does.
    pub async fn run(
        &self,
        tag: &JobTag,
        program: Program,
        output: mpsc::Sender<Chunk>,
        stop: CancellationToken,
        gate: Option<&StartGate<'_>>,
    ) -> Result<End, SandboxError> {
        let Program { runner, argv, env, tree, input, environment, limits } = program;
        let busy = self.resources.busy.clone();
        let Some(guard) = stop.run_until_cancelled(busy.lock_owned()).await else {
            return Ok(End { stopped: true, ..End::unknown(Duration::ZERO) });
        };
        let policy = match limits.network {
            Network::Egress => Policy::Public { allow: self.engine().config.run_allow.clone() },
            Network::None => Policy::DenyAll,
        };
        let admitted = self.resources.proxy.admit(policy, Phase::Run, output.clone());
        let program = ProgramSpec {
            argv,
            env: variables(&runner, self.inner.certificates, &env),
            cwd: WORK.into(),
            deadline_ms: as_ms(limits.time),
            output_bytes: limits.output_bytes,
            links: Vec::new(),
            fill: None,
        };
        let spec = Spec::run(self.engine(), &runner, environment, &limits);
        let session = SessionRequest {
            program: &program,
            tree: &tree,
            input: &input,
            gate,
            phase: Phase::Run,
            output: &output,
            stop: &stop,
        };
        let end = self.execute(Task { tag, role: Role::Run, spec, session }, guard).await;
        drop(admitted);
        self.refill();
        end
    }

    /// The slot's number.
    pub fn index(&self) -> usize {
        self.resources.index
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.inner.engine
    }

    /// Runs the task in a waiting container, or in a fresh one. A waiting one may have died meanwhile.
    pub(super) async fn execute(
        &self,
        task: Task<'_, '_>,
        guard: OwnedMutexGuard<()>,
    ) -> Result<End, SandboxError> {
        let mut guard = Some(guard);
        let waiting = match task.role {
            Role::Run => self.resources.pool.take(&task.spec).await,
            Role::Pause | Role::Launcher | Role::Waiting | Role::Prepare | Role::Cache => None,
        };
        // The next one can be made while this one is used.
        self.refill();
        if let Some(mut waiting) = waiting {
            waiting.rename(container_name(task.tag, task.role));
            waiting.hold_slot(&mut guard);
            match waiting.run(&task.session).await? {
                SessionEnd::Ended(end) => {
                    drop(waiting.release_slot());
                    return Ok(end);
                }
                SessionEnd::Aborted(end) => return Ok(end),
                SessionEnd::NeverStarted => guard = waiting.release_slot(),
            }
            // Docker may have been restarted: then nothing of the slot is left.
            self.resources.pool.clear();
            self.resources.pause.check(self.engine()).await;
        }
        let mut fresh = self.fresh(&task.spec, task.role, Some(task.tag)).await?;
        fresh.hold_slot(&mut guard);
        match fresh.run(&task.session).await? {
            SessionEnd::Ended(end) => {
                drop(fresh.release_slot());
                Ok(end)
            }
            SessionEnd::Aborted(end) => Ok(end),
            SessionEnd::NeverStarted => Ok(End::unknown(Duration::ZERO)),
        }
    }

    /// Makes a container; once more with another pause container if the slot's is gone.
    async fn fresh(&self, spec: &Spec, role: Role, tag: Option<&JobTag>) -> Result<Container, SandboxError> {
        match self.make(spec, role, tag).await {
            Ok(container) => Ok(container),
            Err(error) => {
                tracing::debug!(%error, slot = self.index(), "container creation failed, retrying");
                self.resources.pause.check(self.engine()).await;
                self.make(spec, role, tag).await
            }
        }
    }

    pub(super) async fn make(
        &self,
        spec: &Spec,
        role: Role,
        tag: Option<&JobTag>,
    ) -> Result<Container, SandboxError> {
        let engine = self.engine();
        let pause = self.resources.pause.id(engine).await?;
        let body = spec.body(engine, self.resources.index, &pause, role, tag);
        let name = tag.map_or_else(|| Engine::fresh_name(role), |tag| container_name(tag, role));
        Container::start(engine, name, body).await
    }
}

/// In the unit of the launcher's deadline.
pub(super) fn as_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 4)
}
