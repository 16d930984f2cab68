//! The daemon, and the rules for everything that we make there: names, labels, removal.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{RemoveContainerOptions, RemoveVolumeOptions};
use jobs::settings::GITFAAS_DOCKER_HOST;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::program::JobTag;
use super::{Doing, SandboxConfig, SandboxError};

/// The label that tells which installation a thing belongs to. Nothing without ours is touched.
pub(crate) const INSTANCE: &str = "gitfaas.instance";
/// The label that tells which worker made it.
pub(crate) const WORKER: &str = "gitfaas.worker";
/// The label that tells what it is for.
pub(crate) const ROLE: &str = "gitfaas.role";
const JOB: &str = "gitfaas.job";
const ATTEMPT: &str = "gitfaas.attempt";

/// How often a removal is tried; Docker sometimes needs a moment for the last file system.
const REMOVALS: usize = 5;
const REMOVE_AGAIN: Duration = Duration::from_millis(300);

/// For an answer of the daemon. Pulling has its own.
const TIMEOUT_S: u64 = 120;

/// What a container or volume is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Pause,
    Launcher,
    Waiting,
    Prepare,
    Run,
    Cache,
}

impl Role {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            // The label's value from before the container had this name; workers of other versions read it.
            Self::Pause => "holder",
            Self::Launcher => "launcher",
            Self::Waiting => "waiting",
            Self::Prepare => "prepare",
            Self::Run => "run",
            Self::Cache => "cache",
        }
    }
}

/// The daemon and what we are to it.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) docker: Docker,
    pub(crate) config: SandboxConfig,
    /// Holds the launcher, and the certificates if there are any.
    pub(crate) launcher_volume: String,
    /// Thousandths of processors that the daemon has.
    pub(crate) cpu_millis: u64,
    /// Removals and creations under way. They are never cancelled.
    pub(crate) tasks: TaskTracker,
    pub(crate) handle: Handle,
}

/// Connects, and speaks the daemon's own version of the API.
pub(crate) async fn connect(config: &SandboxConfig) -> Result<Docker, SandboxError> {
    let path = config.docker_host.as_deref().or(GITFAAS_DOCKER_HOST.default.value()).unwrap_or_default();
    if !path.starts_with("unix://") && !path.starts_with('/') {
        return Err(SandboxError::Unusable(format!("{path} is not a unix socket")));
    }
    Docker::connect_with_unix(path, TIMEOUT_S, bollard::API_DEFAULT_VERSION)
        .doing("use its socket")?
        .negotiate_version()
        .await
        .doing("reach the daemon")
}

impl Engine {
    /// The labels of something of ours.
    pub(crate) fn labels(&self, role: Role, tag: Option<&JobTag>) -> HashMap<String, String> {
        let mut labels = HashMap::from([
            (INSTANCE.to_owned(), self.config.instance.clone()),
            (WORKER.to_owned(), self.config.worker.clone()),
            (ROLE.to_owned(), role.as_str().to_owned()),
        ]);
        if let Some(tag) = tag {
            labels.insert(JOB.to_owned(), tag.job.to_string());
            labels.insert(ATTEMPT.to_owned(), tag.attempt.to_string());
        }
        labels
    }

    /// A filter for lists: what is our installation's.
    pub(crate) fn ours(&self) -> HashMap<String, Vec<String>> {
        let label = format!("{INSTANCE}={}", self.config.instance);
        HashMap::from([("label".to_owned(), vec![label])])
    }

    /// A container name that nobody else has.
    pub(crate) fn fresh_name(role: Role) -> String {
        format!("gitfaas-{}-{}", role.as_str(), uuid::Uuid::now_v7().simple())
    }

    /// Removes a container and waits until it is gone. One that is not there is gone.
    pub(crate) async fn remove(&self, container: &str) {
        let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
        for _ in 0..REMOVALS {
            match self.docker.remove_container(container, Some(options.clone())).await {
                Ok(()) => return,
                Err(error) if status(&error) == Some(404) => return,
                // 409: somebody else removes it; 404 tells when it is done.
                Err(error) if status(&error) == Some(409) => {}
                Err(error) => tracing::debug!(%error, container, "container removal retried"),
            }
            tokio::time::sleep(REMOVE_AGAIN).await;
        }
        tracing::warn!(container, "container removal failed");
    }

    /// Removes a volume, once the containers that have it are gone. One that stays in use is removed
    /// at the next start.
    pub(crate) async fn remove_volume(&self, volume: &str) {
        for _ in 0..REMOVALS {
            let options = RemoveVolumeOptions { force: false };
            match self.docker.remove_volume(volume, Some(options)).await {
                Ok(()) => return,
                Err(error) if status(&error) == Some(404) => return,
                Err(error) => tracing::debug!(%error, volume, "volume removal retried"),
            }
            tokio::time::sleep(REMOVE_AGAIN).await;
        }
        tracing::warn!(volume, "volume removal failed");
    }
}

/// The daemon's HTTP status, if it answered with one.
pub(crate) fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// The name of a job's container, which also tells the reaper whose it is.
pub(crate) fn container_name(tag: &JobTag, role: Role) -> String {
    let suffix = if role == Role::Prepare { "-prepare" } else { "" };
    format!("gitfaas-{}-{}{suffix}", tag.job, tag.attempt)
}

/// Reads [`container_name`] back. Docker puts a slash before names.
pub(crate) fn tag_of(name: &str) -> Option<JobTag> {
    let rest = name.trim_start_matches('/').strip_prefix("gitfaas-")?;
    let rest = rest.strip_suffix("-prepare").unwrap_or(rest);
    let (job, attempt) = rest.rsplit_once('-')?;
    Some(JobTag { job: job.parse().ok()?, attempt: attempt.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_whose_container_it_is() {
        let tag = JobTag { job: jobs::JobId::new(), attempt: 3 };
        for role in [Role::Run, Role::Prepare] {
            let name = format!("/{}", container_name(&tag, role));
            assert_eq!(tag_of(&name), Some(tag), "{name}");
        }
        assert_eq!(tag_of(&Engine::fresh_name(Role::Waiting)), None);
        assert_eq!(tag_of("/nginx"), None);
    }
}
