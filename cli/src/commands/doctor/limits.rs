//! Whether limits really hold: a daemon may accept a limit that its kernel does not know.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as DockerError;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptions, RemoveContainerOptionsBuilder, WaitContainerOptions,
};
use futures_util::StreamExt as _;

use super::Check;
use crate::docker::DockerSettings;

/// The limit, and what a program then asks for: well beyond it, and little enough to do no harm
/// where the limit does not hold.
const MEMORY_BYTES: i64 = 32 << 20;
const ASK_FOR_MEMORY: &str = "head -c 134217728 /dev/zero | tail -c 134217728 >/dev/null";
/// Processes; enough for the shell itself.
const PROCESSES: i64 = 8;
const ASK_FOR_PROCESSES: &str = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do sleep 2 & done; exit 0";
/// A trial that takes longer has gone wrong in another way.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn checks(docker: &Docker, settings: &DockerSettings, image: &str) -> Vec<Check> {
    let trials = [
        ("memory limit", ASK_FOR_MEMORY, "a program that takes more than its memory"),
        ("process limit", ASK_FOR_PROCESSES, "a program that starts more processes than it may"),
    ];
    let mut checks = Vec::new();
    for (what, script, who) in trials {
        let tried = tokio::time::timeout(PATIENCE, exit_code(docker, settings, image, script)).await;
        checks.push(match tried {
            Ok(Ok(0)) => Check::fail(
                what,
                format!("{who} is not stopped: the kernel lacks this cgroup controller; see `docker info`"),
            ),
            Ok(Ok(_)) => Check::ok(what, format!("{who} is stopped")),
            Ok(Err(error)) => Check::fail(what, format!("cannot be tried: {error:#}")),
            Err(_) => Check::fail(what, "cannot be tried: the container does not end"),
        });
    }
    checks
}

/// Runs a script under limits in a container that is gone afterwards.
async fn exit_code(
    docker: &Docker,
    settings: &DockerSettings,
    image: &str,
    script: &str,
) -> anyhow::Result<i64> {
    let config = ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: Some(["sh", "-c", script].map(str::to_owned).into()),
        labels: Some(HashMap::from([("gitfaas.role".to_owned(), "doctor".to_owned())])),
        host_config: Some(HostConfig {
            memory: Some(MEMORY_BYTES),
            memory_swap: Some(MEMORY_BYTES),
            pids_limit: Some(PROCESSES),
            network_mode: Some("none".to_owned()),
            runtime: settings.runtime.clone(),
            cap_drop: Some(vec!["ALL".to_owned()]),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let id = docker.create_container(None::<CreateContainerOptions>, config).await?.id;
    let ran = run(docker, &id).await;
    let options = RemoveContainerOptionsBuilder::new().force(true).build();
    docker.remove_container(&id, Some(options)).await?;
    ran
}

async fn run(docker: &Docker, id: &str) -> anyhow::Result<i64> {
    docker.start_container(id, None).await?;
    let mut waiting = std::pin::pin!(docker.wait_container(id, None::<WaitContainerOptions>));
    match waiting.next().await {
        Some(Ok(ended)) => Ok(ended.status_code),
        // A code other than 0 arrives as an error.
        Some(Err(DockerError::DockerContainerWaitError { code, .. })) => Ok(code),
        Some(Err(error)) => Err(error.into()),
        None => anyhow::bail!("Docker ended the connection"),
    }
}
