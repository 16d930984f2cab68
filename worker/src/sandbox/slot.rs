//! One place for one job at a time: its network, its uid, its waiting containers.
//!
//! The slot is given to the next job only when nothing of the last one can be alive: at once when
//! the launcher told the end, else when the container is removed.

use std::sync::Arc;
use std::time::Duration;

use jobs::Phase;
use launcher::Orders;
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};
use tokio_util::sync::CancellationToken;

use super::container::Container;
use super::engine::{Engine, Role, container_name};
use super::environment::variables;
use super::program::{Chunk, End, JobTag, Network, Program};
use super::spec::{Spec, WORK};
use super::talk::{Call, Told};
use super::{Inner, SandboxError};
use crate::egress::{Door, Policy};
use crate::pool::Pool;

/// What a slot stands on.
#[derive(Debug)]
pub(crate) struct Stand {
    pub(crate) index: usize,
    pub(crate) door: Door,
    pub(crate) holder: super::holder::Holder,
    pub(crate) pool: Pool,
    /// Held while something of a job may be alive.
    pub(crate) busy: Arc<Mutex<()>>,
    /// Held by the one who makes waiting containers.
    pub(crate) refilling: Mutex<()>,
}

/// A place for one job at a time. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Slot {
    pub(super) inner: Arc<Inner>,
    pub(super) stand: Arc<Stand>,
}

/// One program for one container.
pub(super) struct Task<'a> {
    pub(super) tag: &'a JobTag,
    pub(super) role: Role,
    pub(super) spec: Spec,
    pub(super) call: Call<'a>,
}

impl Slot {
    /// Runs a program to its end. The container is removed whatever happened, also when the caller
    /// stops waiting; `stop` ends it early. What it writes goes to `output` as it comes, also while
    /// nobody reads: then the program waits, but its time goes on.
    pub async fn run(
        &self,
        tag: &JobTag,
        program: Program,
        output: mpsc::Sender<Chunk>,
        stop: CancellationToken,
    ) -> Result<End, SandboxError> {
        let Program { runner, argv, env, tree, environment, limits } = program;
        let busy = self.stand.busy.clone();
        let Some(hold) = stop.run_until_cancelled(busy.lock_owned()).await else {
            return Ok(End { stopped: true, ..End::unknown(Duration::ZERO) });
        };
        let policy = match limits.network {
            Network::Egress => Policy::Public { allow: self.engine().config.run_allow.clone() },
            Network::None => Policy::Nobody,
        };
        let opened = self.stand.door.open(policy, Phase::Run, output.clone());
        let orders = Orders {
            argv,
            env: variables(&runner, self.inner.certificates, &env),
            cwd: WORK.into(),
            deadline_ms: as_ms(limits.time),
            output_bytes: limits.output_bytes,
            links: Vec::new(),
            fill: None,
        };
        let spec = Spec::run(self.engine(), &runner, environment, &limits);
        let call = Call { orders: &orders, tree: &tree, phase: Phase::Run, output: &output, stop: &stop };
        let end = self.execute(Task { tag, role: Role::Run, spec, call }, hold).await;
        drop(opened);
        self.refill();
        end
    }

    /// The slot's number.
    pub fn index(&self) -> usize {
        self.stand.index
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.inner.engine
    }

    /// Has a waiting container do it, or a fresh one. A waiting one may have died meanwhile.
    pub(super) async fn execute(
        &self,
        task: Task<'_>,
        hold: OwnedMutexGuard<()>,
    ) -> Result<End, SandboxError> {
        let mut hold = Some(hold);
        let waiting = match task.role {
            Role::Run => self.stand.pool.take(&task.spec).await,
            Role::Holder | Role::Launcher | Role::Waiting | Role::Prepare | Role::Cache => None,
        };
        // The next one can be made while this one is used.
        self.refill();
        if let Some(mut waiting) = waiting {
            waiting.rename(container_name(task.tag, task.role));
            waiting.keep(&mut hold);
            match waiting.obey(&task.call).await? {
                Told::End(end) => {
                    drop(waiting.release());
                    return Ok(end);
                }
                Told::Cut(end) => return Ok(end),
                Told::NeverStarted => hold = waiting.release(),
            }
            // Docker may have been restarted: then nothing of the slot is left.
            self.stand.pool.clear();
            self.stand.holder.check(self.engine()).await;
        }
        let mut fresh = self.fresh(&task.spec, task.role, Some(task.tag)).await?;
        fresh.keep(&mut hold);
        match fresh.obey(&task.call).await? {
            Told::End(end) => {
                drop(fresh.release());
                Ok(end)
            }
            Told::Cut(end) => Ok(end),
            Told::NeverStarted => Ok(End::unknown(Duration::ZERO)),
        }
    }

    /// Makes a container; once more with another holder if the slot's is gone.
    async fn fresh(&self, spec: &Spec, role: Role, tag: Option<&JobTag>) -> Result<Container, SandboxError> {
        match self.make(spec, role, tag).await {
            Ok(container) => Ok(container),
            Err(error) => {
                tracing::debug!(%error, "a container could not be made; looking at its holder");
                self.stand.holder.check(self.engine()).await;
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
        let holder = self.stand.holder.id(engine).await?;
        let body = spec.body(engine, self.stand.index, &holder, role, tag);
        let name = tag.map_or_else(|| Engine::fresh_name(role), |tag| container_name(tag, role));
        Container::start(engine, name, body).await
    }
}

/// For the launcher, which counts in milliseconds.
pub(super) fn as_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 4)
}
