//! Builds what a worker needs before its first job: containers and mirrors.

use std::sync::Arc;

use anyhow::Context as _;

use crate::{
    checkout::{MirrorSettings, Mirrors},
    config::Config,
    disk_quota::DiskQuota,
    execute::Executor,
    identity::WorkerIdentity,
    sandbox::{Sandbox, SandboxConfig},
};

/// An executor with its containers and mirrors.
///
/// # Errors
/// Docker cannot be used, or the disk.
pub async fn build_executor(config: &Config, identity: &WorkerIdentity) -> anyhow::Result<Executor> {
    let spool = config.data_dir.join("spool");
    // Files of an earlier process have no reader.
    let _ = std::fs::remove_dir_all(&spool);
    std::fs::create_dir_all(&spool).with_context(|| format!("cannot use {}", spool.display()))?;
    let disk = DiskQuota::new(config.owner_disk_bytes);
    let sandbox = Sandbox::start(SandboxConfig {
        docker_host: config.docker_host.clone(),
        runtime: config.runtime.clone(),
        instance: identity.instance.clone(),
        worker: identity.name.to_string(),
        data_dir: identity.directory.clone(),
        proxy_volume: config.proxy_volume.clone(),
        slots: config.slots,
        image_prefix: config.image_prefix.clone(),
        runner_images: config.runner_images.clone(),
        ca_bundle: config.ca_bundle.clone(),
        prepare_allow: config.prepare_allow.clone(),
        run_allow: config.run_allow.clone(),
        prepare_hosts: config.prepare_hosts.clone(),
        prepare_timeout: config.prepare_timeout,
        prepare_memory_bytes: config.prepare_memory_bytes,
        prepare_disk_bytes: config.prepare_disk_bytes,
        max_output_bytes: config.max_output_bytes,
        disk: disk.clone(),
    })
    .await?;
    for (language, how) in sandbox.missing() {
        tracing::warn!(language, fix = how, "language unavailable");
    }
    let mirrors = Mirrors::open(MirrorSettings {
        directory: identity.directory.join("mirrors"),
        allow: config.clone_allow.clone(),
        ca_bundle: config.ca_bundle.clone(),
        max_bytes: config.max_repo_bytes,
        timeout: config.fetch_timeout,
        disk,
    })?;
    Ok(Executor { sandbox, mirrors, config: Arc::new(config.clone()) })
}
