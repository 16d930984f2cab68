//! Prepared environments: which volume holds what, found again after a restart.
//!
//! The index is a file in the data directory. A volume is entered only once it is complete, and a
//! volume that is not in the index is removed at start. One that somebody uses or may use is never
//! given up: every [`Environment`] counts.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::sandbox::{Ages, Trust};

/// How many are kept; the least recently used go first.
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
pub(crate) struct Key(String);

impl Key {
    pub(crate) fn new(language: &str, image_id: &str, inputs: [u8; 32], trust: &Trust) -> Self {
        let mut digest = Sha256::new();
        for part in [language.as_bytes(), image_id.as_bytes(), &inputs, trust.0.as_bytes()] {
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
    key: Key,
    volume: String,
    made_at_s: u64,
    used_at_s: u64,
}

#[derive(Debug)]
struct Kept {
    environment: Environment,
    made_at_s: u64,
    used_at_s: u64,
}

/// The index, and who fills what at the moment.
#[derive(Debug)]
pub(crate) struct Environments {
    path: PathBuf,
    kept: Mutex<HashMap<Key, Kept>>,
    filling: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>,
}

impl Environments {
    /// Reads the index. One that cannot be understood is as good as none: everything is made anew.
    pub(crate) fn load(path: PathBuf) -> Self {
        let file = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<File>(&bytes).ok());
        let entries = file.filter(|file| file.v == VERSION).map(|file| file.environments).unwrap_or_default();
        let kept = entries.into_iter().map(|entry| {
            let Entry { key, volume, made_at_s, used_at_s } = entry;
            (key, Kept { environment: Environment::new(&volume), made_at_s, used_at_s })
        });
        Self { path, kept: Mutex::new(kept.collect()), filling: Mutex::default() }
    }

    /// Forgets what is not there any more, and tells which of `volumes` are of no use.
    pub(crate) fn reconcile(&self, volumes: Vec<String>) -> Vec<String> {
        let mut kept = self.kept();
        kept.retain(|_, kept| volumes.iter().any(|volume| volume == kept.environment.volume()));
        let known = |volume: &String| kept.values().any(|kept| kept.environment.volume() == volume.as_str());
        volumes.into_iter().filter(|volume| !known(volume)).collect()
    }

    /// The environment of this key, if it may still be used.
    pub(crate) fn find(&self, key: &Key, ages: Ages) -> Option<Environment> {
        let now_s = now_s();
        let mut kept = self.kept();
        let kept = kept.get_mut(key)?;
        let is_old = now_s.saturating_sub(kept.made_at_s) > DAY.as_secs();
        if ages == Ages::Daily && is_old {
            return None;
        }
        kept.used_at_s = now_s;
        Some(kept.environment.clone())
    }

    /// Enters a complete environment; returns the volumes that were given up for it.
    pub(crate) fn enter(&self, key: Key, environment: Environment) -> io::Result<Vec<String>> {
        let now_s = now_s();
        let mut kept = self.kept();
        let mut given_up = Vec::new();
        if let Some(old) = kept.insert(key, Kept { environment, made_at_s: now_s, used_at_s: now_s }) {
            given_up.push(old.environment.volume().to_owned());
        }
        while kept.len() > MAX_ENVIRONMENTS {
            let unused = kept.iter().filter(|(_, kept)| !kept.environment.is_used());
            let Some(key) = unused.min_by_key(|(_, kept)| kept.used_at_s).map(|(key, _)| key.clone()) else {
                break;
            };
            given_up.extend(kept.remove(&key).map(|kept| kept.environment.volume().to_owned()));
        }
        self.write(&kept).map(|()| given_up)
    }

    /// Forgets an environment whose volume is not there.
    pub(crate) fn forget(&self, key: &Key) {
        self.kept().remove(key);
    }

    /// The right to fill this key; others wait for it and then find what was made.
    pub(crate) async fn fill(&self, key: &Key) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = {
            let mut filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
            filling.retain(|_, lock| Arc::strong_count(lock) > 1);
            filling.entry(key.clone()).or_default().clone()
        };
        lock.lock_owned().await
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, kept: &HashMap<Key, Kept>) -> io::Result<()> {
        let mut environments: Vec<_> = kept
            .iter()
            .map(|(key, kept)| Entry {
                key: key.clone(),
                volume: kept.environment.volume().to_owned(),
                made_at_s: kept.made_at_s,
                used_at_s: kept.used_at_s,
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

/// This machine's clock, which is compared with itself only: it must outlast a restart.
fn now_s() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new("python", "sha256:1", [0; 32], &Trust(text.to_owned()))
    }

    #[test]
    fn what_was_entered_is_found_after_a_restart_and_by_its_own_trust_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("environments.json");
        Environments::load(path.clone()).enter(key("a"), Environment::new("v1")).unwrap();
        let again = Environments::load(path);
        assert_eq!(again.find(&key("a"), Ages::Daily).unwrap().volume(), "v1");
        assert_eq!(again.find(&key("b"), Ages::Daily), None);
    }

    #[test]
    fn a_volume_without_an_entry_and_an_entry_without_a_volume_both_go() {
        let dir = tempfile::tempdir().unwrap();
        let index = Environments::load(dir.path().join("environments.json"));
        index.enter(key("a"), Environment::new("v1")).unwrap();
        index.enter(key("b"), Environment::new("v2")).unwrap();
        assert_eq!(index.reconcile(vec!["v2".into(), "half".into()]), ["half"]);
        assert_eq!(index.find(&key("a"), Ages::Never), None);
    }

    #[test]
    fn the_least_recently_used_goes_but_never_one_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let index = Environments::load(dir.path().join("environments.json"));
        let used = Environment::new("used");
        index.enter(key("used"), used.clone()).unwrap();
        let mut given_up = Vec::new();
        for n in 0..MAX_ENVIRONMENTS + 1 {
            given_up.extend(index.enter(key(&n.to_string()), Environment::new(&n.to_string())).unwrap());
        }
        assert_eq!(given_up.len(), 2);
        assert!(!given_up.contains(&"used".to_owned()));
    }
}
