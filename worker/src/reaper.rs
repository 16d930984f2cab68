//! Removes orphaned containers and volumes.
//!
//! Only what carries our installation's label is ever looked at. At start: everything of this
//! worker's own name but the environments in its index. At intervals: containers of attempts that
//! are over, and what belongs to workers that are gone.

use std::collections::HashMap;
use std::time::Duration;

use bollard::query_parameters::{ListContainersOptions, ListVolumesOptions};
use jobs::JobId;

use crate::environments::Environments;
use crate::sandbox::{Doing, Engine, INSTANCE, ROLE, Role, Sandbox, SandboxError, WORKER, tag_of};

/// A worker that was not seen for so long has no running jobs.
const GONE_AFTER: Duration = Duration::from_secs(60);

/// Its environments may still be of use to it.
const CACHES_GONE_AFTER: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A container or volume of our installation.
#[derive(Debug)]
struct Resource {
    name: String,
    worker: String,
    role: String,
}

impl Resource {
    fn new(name: String, labels: &HashMap<String, String>) -> Self {
        let label = |key: &str| labels.get(key).cloned().unwrap_or_default();
        Self { name, worker: label(WORKER), role: label(ROLE) }
    }
}

impl Sandbox {
    /// Removes what belongs to attempts that are over, and to workers that are gone.
    ///
    /// `unseen_for` tells how long a worker was not seen, as far as the caller can know (which
    /// must have been connected for so long); `None` for one that is present. It is not asked about
    /// this worker.
    pub async fn reap<Over>(
        &self,
        is_over: impl Fn(JobId, u32) -> Over,
        unseen_for: impl Fn(&str) -> Option<Duration>,
    ) -> Result<(), SandboxError>
    where
        Over: Future<Output = bool>,
    {
        let engine = &self.0.engine;
        let gone = |worker: &str, after: Duration| {
            worker != engine.config.worker && unseen_for(worker).is_some_and(|unseen| unseen >= after)
        };
        for found in containers(engine).await? {
            let over = match tag_of(&found.name) {
                Some(tag) => is_over(tag.job, tag.attempt).await,
                None => false,
            };
            if over || gone(&found.worker, GONE_AFTER) {
                tracing::info!(container = found.name, worker = found.worker, "orphaned container removed");
                engine.remove(found.name.trim_start_matches('/')).await;
            }
        }
        for found in volumes(engine).await? {
            let after = if found.role == Role::Cache.as_str() { CACHES_GONE_AFTER } else { GONE_AFTER };
            if gone(&found.worker, after) {
                engine.remove_volume(&found.name).await;
            }
        }
        Ok(())
    }
}

/// Removes everything of this worker's own name but the environments in its index. Only at start
/// and at the end, when none of it is in use.
pub(crate) async fn clear_own(engine: &Engine, environments: &Environments) -> Result<(), SandboxError> {
    let own = |found: &Resource| found.worker == engine.config.worker;
    let left: Vec<_> = containers(engine).await?.into_iter().filter(own).collect();
    futures_util::future::join_all(
        left.iter().map(|found| engine.remove(found.name.trim_start_matches('/'))),
    )
    .await;

    let (caches, others): (Vec<_>, Vec<_>) = volumes(engine)
        .await?
        .into_iter()
        .filter(own)
        .map(|found| (found.role == Role::Cache.as_str(), found.name))
        .partition(|(is_cache, _)| *is_cache);
    let caches = caches.into_iter().map(|(_, name)| name).collect();
    let useless = environments.reconcile(caches).into_iter();
    for volume in useless.chain(others.into_iter().map(|(_, name)| name)) {
        engine.remove_volume(&volume).await;
    }
    Ok(())
}

async fn containers(engine: &Engine) -> Result<Vec<Resource>, SandboxError> {
    let options = ListContainersOptions { all: true, filters: Some(engine.ours()), ..Default::default() };
    let containers = engine.docker.list_containers(Some(options)).await.doing("list containers")?;
    let found = containers.into_iter().filter_map(|container| {
        let labels = container.labels.unwrap_or_default();
        let name = container.names?.into_iter().next()?;
        is_ours(engine, &labels).then(|| Resource::new(name, &labels))
    });
    Ok(found.collect())
}

async fn volumes(engine: &Engine) -> Result<Vec<Resource>, SandboxError> {
    let options = ListVolumesOptions { filters: Some(engine.ours()) };
    let volumes = engine.docker.list_volumes(Some(options)).await.doing("list volumes")?;
    let found = volumes.volumes.unwrap_or_default().into_iter();
    Ok(found
        .filter(|volume| is_ours(engine, &volume.labels))
        .map(|volume| Resource::new(volume.name, &volume.labels))
        .collect())
}

/// The daemon filtered already; this is what removal rests on, so it is looked at again.
fn is_ours(engine: &Engine, labels: &HashMap<String, String>) -> bool {
    labels.get(INSTANCE) == Some(&engine.config.instance)
}
