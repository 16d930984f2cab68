//! Prepared environments: which volume holds what, found again after a restart.
//!
//! The index is a file in the data directory. A volume is entered only once it is complete, and a
//! volume that is not in the index is removed at start. One that somebody uses or may use is never
//! evicted: every [`Environment`] counts.
//!
//! Of an owner over quota ([`DiskQuota`]) the least recently used ones are evicted first; of too many in
//! all, those of the owner that has most. Nobody's go because of what another one has.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::disk_quota::{CacheKind, DiskQuota};
use crate::sandbox::{CacheScope, Expiry};

/// How many are kept, each a volume of Docker's; of more the least recently used go first.
const MAX_ENVIRONMENTS: usize = 100;

/// How long one without a lockfile is used.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The present form of the index.
const VERSION: u32 = 1;

/// A volume to be mounted at `/env`. Cheap to clone; the volume stays as long as there is one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Environment(Arc<str>);

impl Environment {
    pub(crate) fn new(volume: &str) -> Self {
        Self(volume.into())
    }

    /// The name of its volume.
    pub fn volume(&self) -> &str {
        &self.0
    }

    fn is_used(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

/// What an environment was made from. Equal keys are interchangeable.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct CacheKey(String);

impl CacheKey {
    pub(crate) fn new(language: &str, image_id: &str, inputs: [u8; 32], cache_scope: &CacheScope) -> Self {
        let mut digest = Sha256::new();
        for part in [language.as_bytes(), image_id.as_bytes(), &inputs, cache_scope.scope().as_bytes()] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Self(hex::encode(digest.finalize()))
    }
}

#[derive(Serialize, Deserialize)]
struct File {
    v: u32,
    environments: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    key: CacheKey,
    volume: String,
    made_at_s: u64,
    used_at_s: u64,
    /// Absent where it was made before owners had shares.
    #[serde(default)]
    owner: String,
    #[serde(default)]
    bytes: u64,
}

#[derive(Debug)]
struct CachedEnvironment {
    environment: Environment,
    made_at_s: u64,
    used_at_s: u64,
    owner: String,
    bytes: u64,
}

/// An environment that is complete.
#[derive(Debug, Clone)]
pub(crate) struct NewEnvironment {
    pub(crate) key: CacheKey,
    pub(crate) environment: Environment,
    /// The owner whose quota is charged.
    pub(crate) owner: String,
    pub(crate) bytes: u64,
}

/// The index, and the keys that are being prepared.
#[derive(Debug)]
pub(crate) struct Environments {
    path: PathBuf,
    kept: Mutex<HashMap<CacheKey, CachedEnvironment>>,
    locks: Mutex<HashMap<CacheKey, Arc<tokio::sync::Mutex<()>>>>,
    disk: DiskQuota,
}

impl Environments {
    /// Reads the index. One that cannot be understood is as good as none: everything is made anew.
    pub(crate) fn load(path: PathBuf, disk: DiskQuota) -> Self {
        let file = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<File>(&bytes).ok());
        let entries = file.filter(|file| file.v == VERSION).map(|file| file.environments).unwrap_or_default();
        let kept = entries.into_iter().map(|entry| {
            let Entry { key, volume, made_at_s, used_at_s, owner, bytes } = entry;
            (
                key,
                CachedEnvironment {
                    environment: Environment::new(&volume),
                    made_at_s,
                    used_at_s,
                    owner,
                    bytes,
                },
            )
        });
        let kept: HashMap<_, _> = kept.collect();
        for owner in kept.values().map(|kept| &kept.owner) {
            disk.set(owner, CacheKind::Environments, bytes_of(&kept, owner));
        }
        Self { path, kept: Mutex::new(kept), locks: Mutex::default(), disk }
    }

    /// Forgets what is not there any more, and tells which of `volumes` are of no use.
    pub(crate) fn reconcile(&self, volumes: Vec<String>) -> Vec<String> {
        let mut kept = self.kept();
        let mut gone = Vec::new();
        kept.retain(|_, kept| {
            let is_there = volumes.iter().any(|volume| volume == kept.environment.volume());
            if !is_there {
                gone.push(kept.owner.clone());
            }
            is_there
        });
        gone.iter().for_each(|owner| self.disk.set(owner, CacheKind::Environments, bytes_of(&kept, owner)));
        let known = |volume: &String| kept.values().any(|kept| kept.environment.volume() == volume.as_str());
        volumes.into_iter().filter(|volume| !known(volume)).collect()
    }

    /// The environment of this key, if it may still be used.
    pub(crate) fn find(&self, key: &CacheKey, expiry: Expiry) -> Option<Environment> {
        let now_s = now_s();
        let mut kept = self.kept();
        let kept = kept.get_mut(key)?;
        let is_old = now_s.saturating_sub(kept.made_at_s) > DAY.as_secs();
        if expiry == Expiry::Daily && is_old {
            return None;
        }
        kept.used_at_s = now_s;
        Some(kept.environment.clone())
    }

    /// Enters a complete environment; returns the volumes that were evicted for it.
    pub(crate) fn insert(&self, made: NewEnvironment) -> io::Result<Vec<String>> {
        let NewEnvironment { key, environment, owner, bytes } = made;
        let now_s = now_s();
        let mut kept = self.kept();
        let mut evicted = Vec::new();
        let entry = CachedEnvironment {
            environment,
            made_at_s: now_s,
            used_at_s: now_s,
            owner: owner.clone(),
            bytes,
        };
        if let Some(old) = kept.insert(key.clone(), entry) {
            evicted.push(old.environment.volume().to_owned());
        }
        let available = self.disk.available_bytes(&owner, CacheKind::Environments);
        while bytes_of(&kept, &owner) > available {
            // What was just made is about to be used.
            let Some(oldest) = oldest(&kept, &owner, Some(&key)) else { break };
            evicted.extend(kept.remove(&oldest).map(|kept| kept.environment.volume().to_owned()));
        }
        self.disk.set(&owner, CacheKind::Environments, bytes_of(&kept, &owner));
        while kept.len() > MAX_ENVIRONMENTS {
            let Some((key, owner)) = oldest_of_largest_owner(&kept) else { break };
            evicted.extend(kept.remove(&key).map(|kept| kept.environment.volume().to_owned()));
            self.disk.set(&owner, CacheKind::Environments, bytes_of(&kept, &owner));
        }
        self.write(&kept).map(|()| evicted)
    }

    /// Removes an environment whose volume is not there.
    pub(crate) fn remove(&self, key: &CacheKey) {
        let mut kept = self.kept();
        if let Some(gone) = kept.remove(key) {
            self.disk.set(&gone.owner, CacheKind::Environments, bytes_of(&kept, &gone.owner));
        }
    }

    /// Locks this key for preparing it; others wait and then find the environment.
    pub(crate) async fn lock_key(&self, key: &CacheKey) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock();
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            locks.entry(key.clone()).or_default().clone()
        };
        lock.lock_owned().await
    }

    fn kept(&self) -> parking_lot::MutexGuard<'_, HashMap<CacheKey, CachedEnvironment>> {
        self.kept.lock()
    }

    fn write(&self, kept: &HashMap<CacheKey, CachedEnvironment>) -> io::Result<()> {
        let mut environments: Vec<_> = kept
            .iter()
            .map(|(key, kept)| Entry {
                key: key.clone(),
                volume: kept.environment.volume().to_owned(),
                made_at_s: kept.made_at_s,
                used_at_s: kept.used_at_s,
                owner: kept.owner.clone(),
                bytes: kept.bytes,
            })
            .collect();
        environments.sort_by_key(|entry| entry.made_at_s);
        let json = serde_json::to_vec(&File { v: VERSION, environments })?;
        let new = self.path.with_extension("json.new");
        std::fs::write(&new, json)?;
        std::fs::File::open(&new)?.sync_all()?;
        std::fs::rename(&new, &self.path)
    }
}

fn bytes_of(kept: &HashMap<CacheKey, CachedEnvironment>, owner: &str) -> u64 {
    kept.values().filter(|kept| kept.owner == owner).map(|kept| kept.bytes).sum()
}

/// An owner's one that is not in use and was used least recently, but for `except`.
fn oldest(
    kept: &HashMap<CacheKey, CachedEnvironment>,
    owner: &str,
    except: Option<&CacheKey>,
) -> Option<CacheKey> {
    let unused = kept
        .iter()
        .filter(|(key, kept)| kept.owner == owner && !kept.environment.is_used() && Some(*key) != except);
    unused.min_by_key(|(_, kept)| kept.used_at_s).map(|(key, _)| key.clone())
}

/// The oldest one of the owner with most of them, where any is not in use.
fn oldest_of_largest_owner(kept: &HashMap<CacheKey, CachedEnvironment>) -> Option<(CacheKey, String)> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for kept in kept.values() {
        *counts.entry(&kept.owner).or_default() += 1;
    }
    let mut owners: Vec<_> = counts.into_iter().collect();
    owners.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    owners.into_iter().find_map(|(owner, _)| Some((oldest(kept, owner, None)?, owner.to_owned())))
}

/// This machine's clock, which is compared with itself only: it must outlast a restart.
fn now_s() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> CacheKey {
        CacheKey::new("python", "sha256:1", [0; 32], &CacheScope::new("a", text.to_owned()))
    }

    fn made(owner: &str, name: &str, bytes: u64) -> NewEnvironment {
        NewEnvironment { key: key(name), environment: Environment::new(name), owner: owner.to_owned(), bytes }
    }

    fn load(dir: &tempfile::TempDir) -> Environments {
        Environments::load(dir.path().join("environments.json"), DiskQuota::new(1000))
    }

    #[test]
    fn what_was_entered_is_found_after_a_restart_and_by_its_own_trust_only() {
        let dir = tempfile::tempdir().unwrap();
        load(&dir).insert(made("o", "a", 700)).unwrap();
        let again = load(&dir);
        assert_eq!(again.find(&key("a"), Expiry::Daily).unwrap().volume(), "a");
        assert_eq!(again.find(&key("b"), Expiry::Daily), None);
        assert_eq!(again.disk.available_bytes("o", CacheKind::Mirrors), 300, "it is charged again");
        again.reconcile(Vec::new());
        assert_eq!(again.disk.available_bytes("o", CacheKind::Mirrors), 1000);
    }

    #[test]
    fn a_volume_without_an_entry_and_an_entry_without_a_volume_both_go() {
        let dir = tempfile::tempdir().unwrap();
        let index = load(&dir);
        index.insert(made("o", "a", 1)).unwrap();
        index.insert(made("o", "b", 1)).unwrap();
        assert_eq!(index.reconcile(vec!["b".into(), "half".into()]), ["half"]);
        assert_eq!(index.find(&key("a"), Expiry::Never), None);
    }

    #[test]
    fn the_owner_with_most_loses_the_least_recently_used_but_never_one_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let index = load(&dir);
        let used = Environment::new("used");
        index.insert(NewEnvironment { environment: used.clone(), ..made("o", "used", 1) }).unwrap();
        index.insert(made("neighbour", "neighbour's", 1)).unwrap();
        let mut evicted = Vec::new();
        for n in 0..MAX_ENVIRONMENTS {
            evicted.extend(index.insert(made("o", &n.to_string(), 1)).unwrap());
        }
        assert_eq!(evicted.len(), 2);
        assert!(!evicted.contains(&"used".to_owned()));
        assert!(!evicted.contains(&"neighbour's".to_owned()), "it is older than all others");
    }

    #[test]
    fn an_owner_over_its_share_loses_its_own_oldest_and_nobody_else_loses_any() {
        let dir = tempfile::tempdir().unwrap();
        let index = load(&dir);
        index.insert(made("neighbour", "n", 1000)).unwrap();
        index.disk.set("o", CacheKind::Mirrors, 300);
        assert_eq!(index.insert(made("o", "1", 400)).unwrap(), [""; 0]);
        assert_eq!(index.insert(made("o", "2", 400)).unwrap(), ["1"]);
        assert_eq!(index.insert(made("o", "3", 2000)).unwrap(), ["2"], "what was just made stays");
        assert_eq!(index.disk.available_bytes("o", CacheKind::Mirrors), 0);
        assert!(index.find(&key("n"), Expiry::Never).is_some());
    }

    #[test]
    fn an_index_of_before_owners_had_shares_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let old = r#"{"v":1,"environments":[{"key":"k","volume":"v","made_at_s":1,"used_at_s":2}]}"#;
        std::fs::write(dir.path().join("environments.json"), old).unwrap();
        assert!(load(&dir).find(&CacheKey("k".to_owned()), Expiry::Never).is_some());
    }
}
