//! Who this worker is, and what it needs before its first job.

use std::{
    fs::{File, TryLockError},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use jobs::WorkerName;

use crate::{
    checkout::{Mirrors, Settings},
    config::Config,
    disk::Disk,
    execute::Executor,
    sandbox::{Sandbox, SandboxConfig},
};

/// Local runs at once on one data directory, each a worker of its own.
const MAX_LOCAL_RUNS: usize = 64;

/// A worker's name, and the lock that says that no other process bears it.
#[derive(Debug)]
pub struct Identity {
    /// This installation.
    pub instance: String,
    /// The worker.
    pub name: WorkerName,
    /// Where it keeps its things.
    pub directory: PathBuf,
    _lock: File,
}

impl Identity {
    /// The worker of a data directory; its name is made once and kept there.
    ///
    /// # Errors
    /// Another process is this worker, or the disk.
    pub fn of(data_dir: &Path, instance: String, given: Option<&WorkerName>) -> anyhow::Result<Self> {
        let directory = data_dir.join("worker");
        let Some(lock) = lock(&directory)? else {
            bail!("another worker uses {}; give each its own GITFAAS_DATA_DIR", directory.display());
        };
        let name = match given {
            Some(name) => name.clone(),
            None => kept(&directory.join("name"), || format!("w{}", hex::encode(rand::random::<[u8; 5]>())))?
                .parse()
                .context("the worker's name cannot be read")?,
        };
        Ok(Self { instance, name, directory, _lock: lock })
    }

    /// The first free of the workers for local runs: an installation of its own, made once.
    ///
    /// # Errors
    /// Too many local runs at once, or the disk.
    pub fn local(data_dir: &Path) -> anyhow::Result<Self> {
        let root = data_dir.join("run");
        std::fs::create_dir_all(&root).with_context(|| format!("cannot use {}", root.display()))?;
        let instance = kept(&root.join("instance"), || uuid::Uuid::now_v7().to_string())?;
        for number in 0..MAX_LOCAL_RUNS {
            let directory = root.join(number.to_string());
            if let Some(lock) = lock(&directory)? {
                let name = format!("run-{number}").parse().expect("a number is a word");
                return Ok(Self { instance, name, directory, _lock: lock });
            }
        }
        bail!("{MAX_LOCAL_RUNS} local runs are under way already");
    }
}

/// Takes the directory's lock, which goes with the process; `None` when another has it.
fn lock(directory: &Path) -> anyhow::Result<Option<File>> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot use {}", directory.display()))?;
    let path = directory.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot use {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// A word that is made once and then kept in a file.
fn kept(path: &Path, make: impl FnOnce() -> String) -> anyhow::Result<String> {
    let cannot = || format!("cannot use {}", path.display());
    let mut text = String::new();
    if let Ok(mut file) = File::open(path) {
        file.read_to_string(&mut text).with_context(cannot)?;
    }
    if text.trim().is_empty() {
        text = make();
        let parent = path.parent().context("a file has a folder")?;
        let mut file = tempfile::NamedTempFile::new_in(parent).with_context(cannot)?;
        file.write_all(text.as_bytes()).with_context(cannot)?;
        match file.persist_noclobber(path) {
            Ok(_) => {}
            // Another process made it at the same moment.
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {
                text = std::fs::read_to_string(path).with_context(cannot)?
            }
            Err(error) => return Err(error.error).with_context(cannot),
        }
    }
    Ok(text.trim().to_owned())
}

/// Containers and mirrors, ready.
///
/// # Errors
/// Docker cannot be used, or the disk.
pub async fn executor(config: &Config, identity: &Identity) -> anyhow::Result<Executor> {
    let spool = config.data_dir.join("spool");
    // What an earlier process left there has no reader.
    let _ = std::fs::remove_dir_all(&spool);
    std::fs::create_dir_all(&spool).with_context(|| format!("cannot use {}", spool.display()))?;
    let disk = Disk::new(config.owner_disk_bytes);
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
        tracing::warn!("{language} is not offered: {how}");
    }
    let mirrors = Mirrors::open(Settings {
        directory: identity.directory.join("mirrors"),
        allow: config.clone_allow.clone(),
        ca_bundle: config.ca_bundle.clone(),
        max_bytes: config.max_repo_bytes,
        timeout: config.fetch_timeout,
        disk,
    })?;
    Ok(Executor { sandbox, mirrors, config: Arc::new(config.clone()) })
}
