//! The identity of a worker: its name and data directory, locked against other processes.

use std::{
    fs::{File, TryLockError},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use jobs::WorkerName;

/// Local runs at once on one data directory, each a worker of its own.
const MAX_LOCAL_RUNS: usize = 64;

/// A worker's name, and the lock that keeps every other process from using it.
#[derive(Debug)]
pub struct WorkerIdentity {
    /// This installation.
    pub instance: String,
    /// The worker.
    pub name: WorkerName,
    /// Its data directory.
    pub directory: PathBuf,
    _lock: File,
}

impl WorkerIdentity {
    /// The worker of a data directory; its name is made once and kept there.
    ///
    /// # Errors
    /// Another process is this worker, or the disk.
    pub fn open(data_dir: &Path, instance: String, given: Option<&WorkerName>) -> anyhow::Result<Self> {
        let directory = data_dir.join("worker");
        let Some(lock) = lock(&directory)? else {
            bail!("another worker uses {}; give each its own GITFAAS_DATA_DIR", directory.display());
        };
        let name = match given {
            Some(name) => name.clone(),
            None => read_or_create(&directory.join("name"), || {
                format!("w{}", hex::encode(rand::random::<[u8; 5]>()))
            })?
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
        let instance = read_or_create(&root.join("instance"), || uuid::Uuid::now_v7().to_string())?;
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

/// The value in a file, which is created on first use.
fn read_or_create(path: &Path, make: impl FnOnce() -> String) -> anyhow::Result<String> {
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
