//! `gitfaas up`: gateway, one worker and observer in one process, with a NATS of its own if it is
//! given none.
//!
//! It shuts down in the order of dependencies: the worker first (its jobs may still ask the gateway for a
//! grant, and their logs are followed there), then gateway and observer, then NATS.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use jobs::settings::{GITFAAS_LISTEN, GITFAAS_OBSERVER_LISTEN, Problems, Reader};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{self, merge_problems},
    docker::DockerSettings,
    exit::CommandResult,
    local_nats::LocalNats,
    nats::Nats,
    out::Stdout,
    serve, signals,
};

/// The configuration of every service.
struct UpConfig {
    data_dir: PathBuf,
    gateway: ::gateway::Config,
    worker: ::worker::Config,
    observer: ::observer::Config,
    docker: DockerSettings,
    /// `None`: we run our own.
    nats: Option<Nats>,
}

/// The running services, with the tokens that stop them.
struct Services {
    worker: JoinHandle<anyhow::Result<()>>,
    gateway: JoinHandle<anyhow::Result<()>>,
    observer: JoinHandle<anyhow::Result<()>>,
    stop_worker: CancellationToken,
    stop_rest: CancellationToken,
}

pub(super) async fn up() -> CommandResult {
    let data_dir = config::data_dir(&config::var)?;
    let configured = UpConfig::read(&config::var, data_dir)?;
    let _lock = lock(&configured.data_dir)?;
    let stop = signals::stop()?;
    let listener = serve::listen(configured.gateway.listen, GITFAAS_LISTEN).await?;
    let (nats, local) = match &configured.nats {
        Some(given) => (given.clone(), None),
        None => {
            let local = LocalNats::start(&configured.data_dir, &configured.docker).await?;
            (local.nats(), Some(local))
        }
    };
    let stop_nats = CancellationToken::new();
    let supervisor = local.map(|local| tokio::spawn(local.supervise(stop_nats.clone())));
    let served = run_services(configured, listener, &nats, stop).await;
    stop_nats.cancel();
    if let Some(supervisor) = supervisor {
        supervisor.await.context("the supervisor of NATS panicked")?;
    }
    served?;
    Ok(ExitCode::SUCCESS)
}

impl UpConfig {
    fn read(var: &dyn Fn(&str) -> Option<String>, data_dir: PathBuf) -> Result<Self, Problems> {
        let mut env = Reader::new(var);
        let nats = Nats::external(&mut env);
        let nats = env.finish(|| Some(nats));
        let gateway = ::gateway::Config::read(var, data_dir.clone());
        let worker = ::worker::Config::read(var, &data_dir);
        let observer = ::observer::Config::read(var);
        let docker = DockerSettings::read(var);
        match (gateway, worker, observer, docker, nats) {
            (Ok(gateway), Ok(worker), Ok(observer), Ok(docker), Ok(nats)) => {
                Ok(Self { data_dir, gateway, worker, observer, docker, nats })
            }
            (gateway, worker, observer, docker, nats) => {
                let parts = [gateway.err(), worker.err(), observer.err(), docker.err(), nats.err()];
                Err(merge_problems(parts.into()))
            }
        }
    }
}

/// One `up` at a time in a data directory. The kernel gives the lock back when we end, however.
fn lock(data_dir: &Path) -> anyhow::Result<File> {
    let path = data_dir.join("up.lock");
    let file = File::options().create(true).append(true).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(anyhow::anyhow!(
            "another `gitfaas up` is running on {}; stop it, or set GITFAAS_DATA_DIR to another folder",
            data_dir.display()
        )),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// Runs the three services until `stop`, or until one of them ends by itself.
async fn run_services(
    configured: UpConfig,
    listener: TcpListener,
    nats: &Nats,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let url = serve::url(&listener)?;
    let metrics = observer_listener(&configured.observer).await?;
    let Some(gateway) = serve::connect(nats, "gateway", &stop).await? else { return Ok(()) };
    let Some(worker) = serve::connect(nats, "worker", &stop).await? else { return Ok(()) };
    let Some(observer) = serve::connect(nats, "observer", &stop).await? else { return Ok(()) };
    let (stop_worker, stop_rest) = (CancellationToken::new(), CancellationToken::new());
    let (gateway_ready, gateway_is_ready) = oneshot::channel();
    let (worker_ready, worker_is_ready) = oneshot::channel();
    let mut running = Services {
        gateway: tokio::spawn(::gateway::serve(
            configured.gateway,
            gateway,
            listener,
            move |_| {
                // Nobody waits any more when we were told to stop meanwhile.
                let _ = gateway_ready.send(());
            },
            stop_rest.clone(),
        )),
        worker: tokio::spawn(::worker::serve(configured.worker, worker, worker_ready, stop_worker.clone())),
        observer: tokio::spawn(::observer::serve(
            configured.observer,
            observer,
            Some(metrics),
            stop_rest.clone(),
        )),
        stop_worker,
        stop_rest,
    };
    let announcing = async {
        // A part that ends before it is ready drops its sender, and is noticed below.
        if gateway_is_ready.await.is_ok() && worker_is_ready.await.is_ok() {
            Stdout::new().line(&format!("ready {url}"))?;
        }
        std::future::pending::<anyhow::Result<()>>().await
    };
    let first = tokio::select! {
        () = stop.cancelled() => Ok(()),
        announced = announcing => announced,
        ended = running.first_exit() => ended,
    };
    let drained = running.drain().await;
    first.and(drained)
}

/// In one process the observer's address is only a convenience: where the usual one is taken, by
/// another `up` perhaps, it takes a free one.
async fn observer_listener(config: &::observer::Config) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(config.listen).await {
        Ok(listener) => Ok(listener),
        Err(_) if GITFAAS_OBSERVER_LISTEN.set_as(&config::var).is_none() => {
            let listener = TcpListener::bind((config.listen.ip(), 0)).await?;
            tracing::info!(address = %config.listen, url = serve::url(&listener)?, "observer address in use; listening on a free port");
            Ok(listener)
        }
        Err(error) => Err(error).with_context(|| {
            format!(
                "cannot listen on {}; {} names another address",
                config.listen, GITFAAS_OBSERVER_LISTEN.name
            )
        }),
    }
}

impl Services {
    /// Waits until a service exits by itself, which none should.
    async fn first_exit(&mut self) -> anyhow::Result<()> {
        let (part, ended) = tokio::select! {
            ended = &mut self.gateway => ("gateway", ended),
            ended = &mut self.worker => ("worker", ended),
            ended = &mut self.observer => ("observer", ended),
        };
        ended.with_context(|| format!("the {part} broke"))??;
        anyhow::bail!("the {part} ended by itself")
    }

    /// Stops what still runs, in order, and waits for it. Each part holds its own grace.
    async fn drain(self) -> anyhow::Result<()> {
        self.stop_worker.cancel();
        let worker = end(self.worker).await;
        self.stop_rest.cancel();
        let gateway = end(self.gateway).await;
        worker.and(gateway).and(end(self.observer).await)
    }
}

/// The end of a part. One that has been waited for to its end before is not waited for again.
async fn end(part: JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    if part.is_finished() {
        return Ok(());
    }
    part.await.context("a part of the service broke")?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_up_on_the_same_directory_stops_with_a_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let first = lock(dir.path()).unwrap();
        let refused = lock(dir.path()).unwrap_err().to_string();
        assert!(refused.starts_with("another `gitfaas up` is running on"), "{refused}");
        drop(first);
        lock(dir.path()).unwrap();
    }

    #[test]
    fn what_all_parts_find_wrong_is_named_once() {
        let var = |name: &str| match name {
            "GITFAAS_LISTEN" | "GITFAAS_OBSERVER_LISTEN" => Some("here".to_owned()),
            "GITFAAS_SHUTDOWN_GRACE" => Some("soon".to_owned()),
            _ => None,
        };
        let problems = UpConfig::read(&var, "/nowhere".into()).err().unwrap();
        insta::assert_snapshot!(problems, @r"
        3 environment variables are wrong:
          GITFAAS_LISTEN: invalid socket address syntax
          GITFAAS_SHUTDOWN_GRACE: must be seconds, or a number with `ms`, `s`, `m`, `h` or `d`
          GITFAAS_OBSERVER_LISTEN: invalid socket address syntax
        ");
    }
}
