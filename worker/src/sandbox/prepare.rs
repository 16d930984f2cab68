//! The prepare phase: one container fills a volume, which enters the index once it is complete.

use std::sync::Arc;

use jobs::Phase;
use launcher::{Fill, ProgramSpec};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::engine::{Engine, Role};
use super::env_vars::variables;
use super::program::{Chunk, End, Exit, JobTag, PrepareRequest, Prepared};
use super::session::SessionRequest;
use super::slot::{Task, as_ms};
use super::spec::{self, ENV, Spec, WORK};
use super::{PrepareError, SandboxConfig, SandboxError, Slot, volume};
use crate::egress::Policy;
use crate::environments::{CacheKey, Environment, NewEnvironment};

impl Slot {
    /// The environment for these inputs, made now or found. One fill per key at a time: others with
    /// the same key wait and get what was made.
    pub async fn prepare(
        &self,
        tag: &JobTag,
        request: PrepareRequest,
        output: mpsc::Sender<Chunk>,
        stop: CancellationToken,
    ) -> Result<Prepared, PrepareError> {
        let PrepareRequest { runner, inputs, env, cache_scope, expiry } = request;
        let command = runner.prepare.as_ref().map(|prepare| prepare.command.clone());
        let command = command.ok_or_else(|| SandboxError::NothingToPrepare(runner.language.clone()))?;
        let key = CacheKey::new(&runner.language, &runner.image_id, inputs.sha256(), &cache_scope);
        let environments = &self.inner.environments;
        let filling =
            stop.run_until_cancelled(environments.lock_key(&key)).await.ok_or(PrepareError::Stopped)?;
        if let Some(environment) = environments.find(&key, expiry) {
            if self.engine().docker.inspect_volume(environment.volume()).await.is_ok() {
                return Ok(Prepared { environment, reused: true });
            }
            environments.remove(&key);
        }

        let fresh = FreshVolume::make(self.engine(), &runner.image_id, self.resources.index).await?;
        let config = &self.engine().config;
        let busy = self.resources.busy.clone();
        let guard = stop.run_until_cancelled(busy.lock_owned()).await.ok_or(PrepareError::Stopped)?;
        let hosts = config.prepare_hosts.clone();
        let policy = Policy::Packages { hosts, allow: config.prepare_allow.clone() };
        let admitted = self.resources.proxy.admit(policy, Phase::Prepare, output.clone());
        let program = ProgramSpec {
            argv: command,
            env: variables(&runner, self.inner.certificates, &env),
            cwd: WORK.into(),
            deadline_ms: as_ms(config.prepare_timeout),
            output_bytes: config.max_output_bytes,
            links: Vec::new(),
            fill: Some(Fill { path: ENV.into(), limit_bytes: config.prepare_disk_bytes }),
        };
        let spec = Spec::fill(self.engine(), &runner, fresh.environment.clone());
        let session = SessionRequest {
            program: &program,
            tree: &inputs,
            input: &[],
            gate: None,
            phase: Phase::Prepare,
            output: &output,
            stop: &stop,
        };
        let end = self.execute(Task { tag, role: Role::Prepare, spec, session }, guard).await;
        drop(admitted);
        self.refill();

        let end = end?;
        if end.stopped {
            return Err(PrepareError::Stopped);
        }
        if let Some(sentence) = end.prepare_failure(config) {
            return Err(PrepareError::Function { sentence, end: Box::new(end) });
        }
        if end.exit == Exit::Unknown {
            return Err(SandboxError::Launcher("the container vanished".to_owned()).into());
        }
        let environment = fresh.keep();
        let bytes = end.filled_bytes.unwrap_or(config.prepare_disk_bytes);
        self.insert(NewEnvironment {
            key,
            environment: environment.clone(),
            owner: cache_scope.owner().to_owned(),
            bytes,
        })?;
        drop(filling);
        Ok(Prepared { environment, reused: false })
    }

    /// Inserts an environment into the index, and removes the volumes that were evicted for it.
    fn insert(&self, made: NewEnvironment) -> Result<(), SandboxError> {
        let environments = &self.inner.environments;
        let evicted = environments.insert(made).map_err(|source| SandboxError::File {
            path: self.engine().config.data_dir.join(super::ENVIRONMENTS),
            source,
        })?;
        for volume in evicted {
            for slot in &self.inner.slots {
                slot.pool.forget_volume(&volume);
            }
            let engine = self.engine().clone();
            self.engine().tasks.spawn(async move { engine.remove_volume(&volume).await });
        }
        Ok(())
    }
}

/// A volume that is removed again unless it is kept.
struct FreshVolume {
    engine: Arc<Engine>,
    environment: Environment,
    on_drop: OnDrop,
}

enum OnDrop {
    Remove,
    Keep,
}

impl FreshVolume {
    async fn make(engine: &Arc<Engine>, image: &str, slot: usize) -> Result<Self, SandboxError> {
        let name = Engine::fresh_name(Role::Cache);
        let fresh =
            Self { engine: engine.clone(), environment: Environment::new(&name), on_drop: OnDrop::Remove };
        volume::make(engine, &name, Role::Cache).await?;
        volume::give(engine, image, &name, spec::uid(slot)).await?;
        Ok(fresh)
    }

    fn keep(mut self) -> Environment {
        self.on_drop = OnDrop::Keep;
        self.environment.clone()
    }
}

impl Drop for FreshVolume {
    fn drop(&mut self) {
        match self.on_drop {
            OnDrop::Keep => {}
            OnDrop::Remove => {
                let (engine, environment) = (self.engine.clone(), self.environment.clone());
                let removal = async move { engine.remove_volume(environment.volume()).await };
                self.engine.tasks.spawn_on(removal, &self.engine.handle);
            }
        }
    }
}

impl End {
    /// Why nothing was prepared, if that is the repository's fault.
    fn prepare_failure(&self, config: &SandboxConfig) -> Option<String> {
        let limit = |what: &str, bytes: u64| {
            Some(format!("preparing took more {what} than the {} MiB it may", bytes >> 20))
        };
        if self.timed_out {
            return Some(format!(
                "preparing took longer than the {} s it may",
                config.prepare_timeout.as_secs()
            ));
        }
        if self.output_exceeded {
            return Some("preparing wrote more output than it may".to_owned());
        }
        if self.is_success() {
            return None;
        }
        if self.oom_kills > 0 {
            return limit("memory", config.prepare_memory_bytes);
        }
        if self.disk_full {
            return limit("disk", config.prepare_disk_bytes);
        }
        match (self.exit, &self.sentence) {
            (Exit::Unknown, _) => None,
            (Exit::NotStarted | Exit::Code(0), Some(sentence)) => Some(sentence.clone()),
            (Exit::Code(code), _) => Some(format!("preparing failed with exit code {code}")),
            (Exit::Signal(signal), _) => Some(format!("preparing was ended by signal {signal}")),
            (Exit::NotStarted, None) => Some("preparing could not be started".to_owned()),
        }
    }
}
