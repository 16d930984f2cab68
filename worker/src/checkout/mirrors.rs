//! Mirrors on disk: one folder for each clone URL and cache scope.
//!
//! Of an owner over quota ([`DiskQuota`]) the least recently used mirrors are evicted first; of too many
//! in all, those of the owner that has most. Nobody's mirrors go because of what another one has.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use hooks::address::Allow;
use jobs::CloneUrl;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::fetch::size;
use crate::{
    disk_quota::{CacheKind, DiskQuota},
    sandbox::CacheScope,
};

/// Mirrors kept; a fresh clone of what was dropped costs a second.
const MAX_MIRRORS: usize = 200;
/// The file in a mirror that names its owner.
const OWNER: &str = "gitfaas-owner";
/// An owner's id is shorter; what is longer is not one, in bytes.
const MAX_OWNER_BYTES: usize = 200;

/// How mirrors are filled.
#[derive(Debug)]
pub struct MirrorSettings {
    /// Where they are.
    pub directory: PathBuf,
    /// Reachable besides public addresses.
    pub allow: Allow,
    /// Certificates besides the usual ones.
    pub ca_bundle: Option<PathBuf>,
    /// Of one fetch, as it is sent and once it is inflated.
    pub max_bytes: u64,
    /// Of one fetch.
    pub timeout: Duration,
    /// What each owner may have.
    pub disk: DiskQuota,
}

/// All mirrors of this worker. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Mirrors {
    pub(super) settings: Arc<MirrorSettings>,
    registry: Arc<Mutex<Registry>>,
}

/// Which mirrors are in use, and what is known of each.
#[derive(Debug, Default)]
struct Registry {
    locks: HashMap<PathBuf, Arc<tokio::sync::Mutex<()>>>,
    known: HashMap<PathBuf, MirrorInfo>,
}

#[derive(Debug)]
struct MirrorInfo {
    owner: String,
    bytes: u64,
}

impl MirrorInfo {
    fn read(path: &Path) -> Self {
        let owner = std::fs::read_to_string(path.join(OWNER)).unwrap_or_default();
        let owner = if owner.len() > MAX_OWNER_BYTES { String::new() } else { owner };
        Self { owner, bytes: size(path) }
    }
}

/// One mirror and the right to write to it.
pub(super) struct Mirror {
    pub(super) path: PathBuf,
    pub(super) lock: Arc<tokio::sync::Mutex<()>>,
}

impl Mirrors {
    /// Mirrors that are filled by these settings, and what is there of them already.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(settings: MirrorSettings) -> std::io::Result<Self> {
        std::fs::create_dir_all(&settings.directory)?;
        let mirrors = Self { settings: Arc::new(settings), registry: Arc::default() };
        mirrors.evict();
        Ok(mirrors)
    }

    /// What each owner has on the disk.
    pub fn disk(&self) -> &DiskQuota {
        &self.settings.disk
    }

    /// The mirror of a URL in a cache scope. The folder's name is a digest: nothing from
    /// outside becomes a path.
    pub(super) fn mirror(&self, cache_scope: &CacheScope, url: &CloneUrl) -> Mirror {
        let mut digest = Sha256::new();
        for part in [cache_scope.scope(), url.as_url().scheme(), &url.identity()] {
            digest.update(part.as_bytes());
            digest.update([0]);
        }
        let path = self.settings.directory.join(&hex::encode(digest.finalize())[..32]);
        let mut registry = self.registry.lock();
        let lock = Arc::clone(registry.locks.entry(path.clone()).or_default());
        Mirror { path, lock }
    }

    /// Records the owner and the size of a mirror. Blocking.
    pub(super) fn record_use(&self, path: &Path, cache_scope: &CacheScope) {
        if !path.is_dir() {
            return;
        }
        let file = path.join(OWNER);
        if std::fs::read_to_string(&file).is_ok_and(|owner| owner == cache_scope.owner()) {
            // As it was.
        } else if let Err(error) = std::fs::write(&file, cache_scope.owner()) {
            tracing::warn!(%error, "mirror owner not recorded");
        }
        let known = MirrorInfo { owner: cache_scope.owner().to_owned(), bytes: size(path) };
        self.registry.lock().known.insert(path.to_owned(), known);
    }

    /// Removes what is too much, and forgets whose turn it was where nobody waits. Blocking: mirrors can be
    /// large.
    pub(super) fn evict(&self) {
        let mut registry = self.registry.lock();
        registry.locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        // The locks stay locked meanwhile: a mirror that is removed is not taken into use.
        if let Err(error) = registry.remove_surplus(&self.settings) {
            tracing::warn!(%error, "mirror eviction failed");
        }
    }
}

impl Registry {
    fn remove_surplus(&mut self, settings: &MirrorSettings) -> std::io::Result<()> {
        let mut there: Vec<(SystemTime, PathBuf)> = std::fs::read_dir(&settings.directory)?
            .filter_map(Result::ok)
            .filter_map(|entry| {
                let metadata = entry.metadata().ok().filter(std::fs::Metadata::is_dir)?;
                Some((metadata.modified().ok()?, entry.path()))
            })
            .collect();
        there.sort();
        self.known.retain(|path, known| {
            let is_there = there.iter().any(|(_, other)| other == path);
            if !is_there {
                settings.disk.set(&known.owner, CacheKind::Mirrors, 0);
            }
            is_there
        });
        let mut of_owner: HashMap<String, Vec<PathBuf>> = HashMap::new();
        for (_, path) in there {
            let known = self.known.entry(path.clone()).or_insert_with(|| MirrorInfo::read(&path));
            of_owner.entry(known.owner.clone()).or_default().push(path);
        }
        for (owner, paths) in &mut of_owner {
            self.evict_over_quota(settings, owner, paths)?;
        }
        while of_owner.values().map(Vec::len).sum::<usize>() > MAX_MIRRORS {
            let most = of_owner
                .iter_mut()
                .filter_map(|(owner, paths)| {
                    let unused = paths.iter().position(|path| !self.locks.contains_key(path))?;
                    Some((paths.len(), owner, paths, unused))
                })
                .max_by_key(|(count, ..)| *count);
            let Some((_, owner, paths, unused)) = most else { break };
            self.remove(&paths.remove(unused))?;
            settings.disk.set(owner, CacheKind::Mirrors, self.bytes(paths));
        }
        Ok(())
    }

    /// Removes an owner's oldest ones until the rest fits, but for the newest.
    fn evict_over_quota(
        &mut self,
        settings: &MirrorSettings,
        owner: &str,
        paths: &mut Vec<PathBuf>,
    ) -> std::io::Result<()> {
        let available = settings.disk.available_bytes(owner, CacheKind::Mirrors);
        let mut bytes = self.bytes(paths);
        let mut place = 0;
        while bytes > available && place + 1 < paths.len() {
            if self.locks.contains_key(&paths[place]) {
                place += 1;
                continue;
            }
            let path = paths.remove(place);
            bytes -= self.bytes(std::slice::from_ref(&path));
            self.remove(&path)?;
        }
        settings.disk.set(owner, CacheKind::Mirrors, bytes);
        Ok(())
    }

    fn bytes(&self, paths: &[PathBuf]) -> u64 {
        paths.iter().filter_map(|path| self.known.get(path)).map(|known| known.bytes).sum()
    }

    fn remove(&mut self, path: &Path) -> std::io::Result<()> {
        std::fs::remove_dir_all(path)?;
        self.known.remove(path);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache_scope(whose: &str) -> CacheScope {
        CacheScope::new("someone", whose.to_owned())
    }

    fn mirrors(folder: &Path, quota_bytes: u64) -> Mirrors {
        Mirrors::open(MirrorSettings {
            directory: folder.to_owned(),
            allow: Allow::default(),
            ca_bundle: None,
            max_bytes: 1 << 20,
            timeout: Duration::from_secs(60),
            disk: DiskQuota::new(quota_bytes),
        })
        .unwrap()
    }

    /// A mirror of so many bytes, used at this second.
    fn used(mirrors: &Mirrors, owner: &str, n: u64, bytes: usize) -> PathBuf {
        let cache_scope = CacheScope::new(owner, owner.to_owned());
        let path =
            mirrors.mirror(&cache_scope, &format!("https://example.com/a/{n}.git").parse().unwrap()).path;
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("pack"), vec![0; bytes - owner.len()]).unwrap();
        mirrors.record_use(&path, &cache_scope);
        std::fs::File::open(&path)
            .unwrap()
            .set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(n))
            .unwrap();
        path
    }

    fn left(paths: &[PathBuf]) -> Vec<bool> {
        paths.iter().map(|path| path.exists()).collect()
    }

    #[test]
    fn an_owner_over_its_share_loses_its_own_oldest_and_nobody_else_loses_any() {
        let folder = tempfile::tempdir().unwrap();
        let registry = mirrors(folder.path(), 1000);
        let neighbour = used(&registry, "b", 1, 1000);
        let paths: Vec<_> = (2..7).map(|n| used(&registry, "a", n, 300)).collect();
        registry.evict();
        assert_eq!(left(&paths), [false, false, true, true, true]);
        registry.settings.disk.set("a", CacheKind::Environments, 500);
        registry.evict();
        assert_eq!(left(&paths), [false, false, false, false, true], "the share is one for all");
        // Whose they are and how large is known after a restart as well.
        let again = mirrors(folder.path(), 200);
        assert_eq!((left(&paths[4..]), neighbour.exists()), (vec![true], true), "the newest stays");
        assert_eq!(again.settings.disk.available_bytes("a", CacheKind::Environments), 0);
        let newer = used(&again, "a", 8, 100);
        again.evict();
        assert_eq!((left(&paths[4..]), newer.exists(), neighbour.exists()), (vec![false], true, true));
    }

    #[test]
    fn of_too_many_those_of_the_owner_with_most_go() {
        let folder = tempfile::tempdir().unwrap();
        let mirrors = mirrors(folder.path(), 1 << 30);
        let neighbour = used(&mirrors, "b", 1, 10);
        let paths: Vec<_> = (2..MAX_MIRRORS as u64 + 4).map(|n| used(&mirrors, "a", n, 10)).collect();
        mirrors.evict();
        assert!(neighbour.exists(), "it is the oldest of all");
        assert_eq!(left(&paths)[..5], [false, false, false, true, true]);
    }

    #[test]
    fn what_one_may_fetch_another_does_not_find() {
        let folder = tempfile::tempdir().unwrap();
        let mirrors = mirrors(folder.path(), 1 << 30);
        let of = |whose: &str, url: &str| mirrors.mirror(&cache_scope(whose), &url.parse().unwrap()).path;
        let own = of("a", "https://example.com/a/private.git");
        assert_eq!(own, of("a", "https://EXAMPLE.com/a/private"));
        assert_ne!(own, of("b", "https://example.com/a/private.git"), "another owner");
        assert_ne!(own, of("a refs/pull/5/head", "https://example.com/a/private.git"), "a pull request");
        assert_ne!(own, of("a", "http://example.com/a/private.git"), "whoever is on the way may answer");
    }

    #[test]
    fn the_least_recently_used_go_but_none_that_is_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let mirrors = mirrors(folder.path(), 1 << 30);
        let url = |n: usize| format!("https://example.com/a/{n}.git").parse::<CloneUrl>().unwrap();
        let in_use = mirrors.mirror(&cache_scope("a"), &url(0));
        let mut paths = Vec::new();
        for n in 0..MAX_MIRRORS + 3 {
            let path = mirrors.mirror(&cache_scope("a"), &url(n)).path;
            std::fs::create_dir(&path).unwrap();
            let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(n as u64);
            std::fs::File::open(&path).unwrap().set_modified(at).unwrap();
            paths.push(path);
        }
        mirrors.evict();
        let left: Vec<bool> = paths.iter().map(|path| path.exists()).collect();
        assert_eq!(left[..5], [true, false, false, false, true]);
        assert_eq!(left.iter().filter(|there| **there).count(), MAX_MIRRORS);
        assert_eq!(mirrors.registry.lock().locks.len(), 1);
        drop(in_use);
        mirrors.evict();
        assert!(mirrors.registry.lock().locks.is_empty());
    }
}
