//! Mirrors on disk: one folder for each clone URL, used least recently, removed first.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use hooks::{address::Allow, forge::CloneUrl};
use sha2::{Digest as _, Sha256};

use crate::sandbox::Trust;

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
    locks: Arc<Mutex<Locks>>,
}

type Locks = HashMap<PathBuf, Arc<tokio::sync::Mutex<()>>>;

/// One mirror and the right to write to it.
pub(super) struct Mirror {
    pub(super) path: PathBuf,
    pub(super) lock: Arc<tokio::sync::Mutex<()>>,
}

impl Mirrors {
    /// Mirrors below `directory`, filled from public addresses and what `allow` adds, each from at
    /// most `max_bytes` a fetch.
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
        let settings = Settings { directory, allow, ca_bundle, max_bytes };
        let mirrors = Self { settings: Arc::new(settings), locks: Arc::default() };
        mirrors.tidy();
        Ok(mirrors)
    }

    /// The mirror of a URL for those who trust each other. The folder's name is a digest: nothing from
    /// outside becomes a path.
    pub(super) fn mirror(&self, trust: &Trust, url: &CloneUrl) -> Mirror {
        let mut digest = Sha256::new();
        for part in [&trust.0, url.as_url().scheme(), &url.identity()] {
            digest.update(part.as_bytes());
            digest.update([0]);
        }
        let path = self.settings.directory.join(&hex::encode(digest.finalize())[..32]);
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = Arc::clone(locks.entry(path.clone()).or_default());
        Mirror { path, lock }
    }

    /// Removes what was used least recently of more than `MAX_MIRRORS`, and forgets whose turn it was
    /// where nobody waits. Blocking: mirrors can be large.
    pub(super) fn tidy(&self) {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        // The locks stay locked meanwhile: a mirror that is removed is not taken into use.
        if let Err(error) = remove_oldest(&self.settings.directory, &locks) {
            tracing::warn!(error = %error, "old mirrors are not removed");
        }
    }
}

fn remove_oldest(directory: &Path, used: &Locks) -> std::io::Result<()> {
    let mut mirrors: Vec<(SystemTime, PathBuf)> = std::fs::read_dir(directory)?
        .filter_map(Result::ok)
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    let surplus = mirrors.len().saturating_sub(MAX_MIRRORS);
    if surplus == 0 {
        return Ok(());
    }
    mirrors.sort();
    for (_, path) in mirrors.iter().filter(|(_, path)| !used.contains_key(path)).take(surplus) {
        std::fs::remove_dir_all(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(whose: &str) -> Trust {
        Trust(whose.to_owned())
    }

    #[test]
    fn what_one_may_fetch_another_does_not_find() {
        let folder = tempfile::tempdir().unwrap();
        let mirrors = Mirrors::open(folder.path().to_owned(), Allow::default(), None, 1 << 20).unwrap();
        let of = |whose: &str, url: &str| mirrors.mirror(&trust(whose), &url.parse().unwrap()).path;
        let own = of("a", "https://example.com/a/private.git");
        assert_eq!(own, of("a", "https://EXAMPLE.com/a/private"));
        assert_ne!(own, of("b", "https://example.com/a/private.git"), "another owner");
        assert_ne!(own, of("a refs/pull/5/head", "https://example.com/a/private.git"), "a pull request");
        assert_ne!(own, of("a", "http://example.com/a/private.git"), "whoever is on the way may answer");
    }

    #[test]
    fn the_least_recently_used_go_but_none_that_is_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let mirrors = Mirrors::open(folder.path().to_owned(), Allow::default(), None, 1 << 20).unwrap();
        let url = |n: usize| format!("https://example.com/a/{n}.git").parse::<CloneUrl>().unwrap();
        let in_use = mirrors.mirror(&trust("a"), &url(0));
        let mut paths = Vec::new();
        for n in 0..MAX_MIRRORS + 3 {
            let path = mirrors.mirror(&trust("a"), &url(n)).path;
            std::fs::create_dir(&path).unwrap();
            let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(n as u64);
            std::fs::File::open(&path).unwrap().set_modified(at).unwrap();
            paths.push(path);
        }
        mirrors.tidy();
        let left: Vec<bool> = paths.iter().map(|path| path.exists()).collect();
        assert_eq!(left[..5], [true, false, false, false, true]);
        assert_eq!(left.iter().filter(|there| **there).count(), MAX_MIRRORS);
        assert_eq!(mirrors.locks.lock().unwrap().len(), 1);
        drop(in_use);
        mirrors.tidy();
        assert!(mirrors.locks.lock().unwrap().is_empty());
    }
}
