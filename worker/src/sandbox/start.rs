//! Starts a sandbox: images, launcher volume, egress proxies and pause containers.

use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::CreateImageOptions;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::env_vars::Certificates;
use super::pause_container::{PauseContainer, ProxySockets};
use super::slot::{Slot, SlotResources};
use super::{Doing, ENVIRONMENTS, Engine, Inner, Sandbox, SandboxConfig, SandboxError, engine, volume};
use crate::environments::Environments;
use crate::pool::Pool;
use crate::runner::Runner;
use crate::{images, reaper};

/// As many as the daemon makes at once without each taking longer.
const REFILLS: usize = 2;

/// For pulling one image.
const PULL_TIMEOUT: Duration = Duration::from_secs(600);

pub(super) async fn start(config: SandboxConfig) -> Result<Sandbox, SandboxError> {
    let runners = images::load(config.runner_images.as_deref(), &config.image_prefix)?;
    let ca = read_ca(&config).await?;
    let docker = engine::connect(&config).await?;
    let info = docker.info().await.doing("ask the daemon about itself")?;
    let engine = Arc::new(Engine {
        launcher_volume: launcher_volume(&config, ca.as_deref()),
        cpu_millis: info.ncpu.and_then(|cpus| u64::try_from(cpus).ok()).unwrap_or(1).max(1) * 1000,
        docker,
        config,
        tasks: TaskTracker::new(),
        handle: Handle::current(),
    });
    let (runners, missing) = present(&engine.docker, runners, &engine.config.image_prefix).await;

    let index = engine.config.data_dir.join(ENVIRONMENTS);
    let environments = Environments::load(index, engine.config.disk.clone());
    reaper::clear_own(&engine, &environments).await?;

    // Without any image there is nothing to run, and no pause container can be made.
    let image = runners.first().map(|runner| runner.image_id.clone());
    if let Some(image) = &image {
        volume::put_launcher(&engine, image, ca.as_deref()).await?;
    }
    let sockets = Arc::new(ProxySockets::prepare(&engine).await?);
    let mut slots = Vec::new();
    for index in 0..engine.config.slots {
        let usual = runners.iter().map(|runner| Slot::usual(&engine, runner));
        let slot = SlotResources {
            index,
            proxy: sockets.serve(index).await?,
            pause: PauseContainer::new(index, image.clone().unwrap_or_default(), sockets.clone()),
            pool: Pool::new(usual.collect()),
            busy: Arc::default(),
            refilling: tokio::sync::Mutex::default(),
        };
        if image.is_some() {
            slot.pause.id(&engine).await?;
        }
        slots.push(Arc::new(slot));
    }
    let sandbox = Sandbox(Arc::new(Inner {
        engine,
        environments,
        slots,
        certificates: if ca.is_some() { Certificates::Bundle } else { Certificates::OfImage },
        stopped: CancellationToken::new(),
        refills: Semaphore::new(REFILLS),
        runners,
        missing,
    }));
    for index in 0..sandbox.0.slots.len() {
        sandbox.slot(index).refill();
    }
    Ok(sandbox)
}

async fn read_ca(config: &SandboxConfig) -> Result<Option<Vec<u8>>, SandboxError> {
    let Some(path) = &config.ca_bundle else { return Ok(None) };
    let bytes = tokio::fs::read(path).await;
    bytes.map(Some).map_err(|source| SandboxError::File { path: path.clone(), source })
}

/// One volume for each content and installation, so that two workers of one name on one daemon (in
/// two installations) have nothing in common.
fn launcher_volume(config: &SandboxConfig, ca: Option<&[u8]>) -> String {
    let mut digest = Sha256::new();
    for part in [volume::LAUNCHER, ca.unwrap_or_default(), config.instance.as_bytes()] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    format!("gitfaas-launcher-{}-{}", config.worker, hex::encode(&digest.finalize()[..6]))
}

/// Divides the languages into those whose image is there, and what to do for the others.
async fn present(
    docker: &Docker,
    runners: Vec<Runner>,
    prefix: &str,
) -> (Vec<Arc<Runner>>, Vec<(String, String)>) {
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    for mut runner in runners {
        let found = match find(docker, &mut runner).await {
            Ok(()) => Ok(()),
            Err(_) if is_registry(prefix) => match pull(docker, &runner.image).await {
                Ok(()) => find(docker, &mut runner).await.map_err(|error| error.to_string()),
                Err(error) => Err(error),
            },
            Err(error) => Err(error.to_string()),
        };
        match found {
            Ok(()) => there.push(Arc::new(runner)),
            Err(error) => {
                tracing::debug!(error, image = runner.image, "runner image missing");
                let command = if is_registry(prefix) {
                    format!("docker pull {} ({error})", runner.image)
                } else {
                    format!("scripts/images {}", runner.language)
                };
                missing.push((runner.language, command));
            }
        }
    }
    (there, missing)
}

async fn find(docker: &Docker, runner: &mut Runner) -> Result<(), bollard::errors::Error> {
    let image = docker.inspect_image(&runner.image).await?;
    let env = image.config.and_then(|config| config.env).unwrap_or_default();
    if let Some(path) = env.iter().find_map(|variable| variable.strip_prefix("PATH=")) {
        runner.path = path.to_owned();
    }
    runner.image_id = image.id.unwrap_or_else(|| runner.image.clone());
    Ok(())
}

/// Whether images can be pulled: what stands before the first slash is a host.
fn is_registry(prefix: &str) -> bool {
    prefix.split_once('/').is_some_and(|(host, _)| host.contains(['.', ':']) || host == "localhost")
}

async fn pull(docker: &Docker, image: &str) -> Result<(), String> {
    let options = CreateImageOptions { from_image: Some(image.to_owned()), ..Default::default() };
    let pulling = async {
        let mut steps = docker.create_image(Some(options), None, None);
        while let Some(step) = steps.next().await {
            step.map_err(|error| error.to_string())?;
        }
        Ok(())
    };
    tokio::time::timeout(PULL_TIMEOUT, pulling).await.unwrap_or_else(|_| Err("it took too long".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::is_registry;
    use test_case::test_case;

    #[test_case("gitfaas" => false)]
    #[test_case("acme/gitfaas" => false; "an organisation is not a host")]
    #[test_case("registry.example/gitfaas" => true)]
    #[test_case("localhost:5000/gitfaas" => true)]
    fn images_can_be_pulled(prefix: &str) -> bool {
        is_registry(prefix)
    }
}
