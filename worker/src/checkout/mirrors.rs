//! Mirrors on disk: one folder for each clone URL, used least recently, removed first.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use hooks::{address::Allow, forge::CloneUrl};
use sha2::{Digest as _, Sha256};

/// Mirrors kept; a fresh clone of what was dropped costs a second.
const MAX_MIRRORS: usize = 200;

/// How mirrors are filled.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) directory: PathBuf,
    pub(super) allow: Allow,
    pub(super) ca_bundle: Option<PathBuf>,
    pub(super) max_bytes: u64,
}

/// All mirrors of this worker. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Mirrors {
    pub(super) settings: Arc<Settings>,
    locks: Arc<Mutex<HashMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>>,
}

/// One mirror and the right to write to it.
pub(super) struct Mirror {
    pub(super) path: PathBuf,
    pub(super) lock: Arc<tokio::sync::Mutex<()>>,
}

impl Mirrors {
    /// Mirrors below `directory`, filled from public addresses and what `allow` adds, each from at
    /// most `max_bytes` a fetch. What was used least recently is removed here, at start.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(
        directory: PathBuf,
        allow: Allow,
        ca_bundle: Option<PathBuf>,
        max_bytes: u64,
    ) -> std::io::Result<Self> {
        std::fs::create_dir_all(&directory)?;
        remove_oldest(&directory)?;
        let settings = Settings { directory, allow, ca_bundle, max_bytes };
        Ok(Self { settings: Arc::new(settings), locks: Arc::default() })
    }

    /// The mirror of a URL. The folder's name is a digest: nothing from outside becomes a path.
    pub(super) fn mirror(&self, url: &CloneUrl) -> Mirror {
        let path =
            self.settings.directory.join(&hex::encode(Sha256::digest(url.identity().as_bytes()))[..32]);
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = Arc::clone(locks.entry(path.clone()).or_default());
        Mirror { path, lock }
    }
}

fn remove_oldest(directory: &Path) -> std::io::Result<()> {
    let mut mirrors: Vec<(SystemTime, PathBuf)> = std::fs::read_dir(directory)?
        .filter_map(Result::ok)
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    mirrors.sort();
    let surplus = mirrors.len().saturating_sub(MAX_MIRRORS);
    for (_, path) in &mirrors[..surplus] {
        std::fs::remove_dir_all(path)?;
    }
    Ok(())
}
