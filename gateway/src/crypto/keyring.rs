//! The master key of this installation, and while it is being changed the other one too.
//!
//! `meta/master_key` tells which of them is in use; a gateway that has both follows it while it runs.
//! What either of them sealed opens, and a link or form made with either is good; new ones are made
//! with the one in use.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt as _;
use jobs::{JobId, Ledger, Secret, bucket::from_watch};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::crypto::{
    key_file::{FILE_NAME, KeyError, make, read},
    keys::{Keys, SealError},
};

/// The key in `meta` under which the master key's id lies: `{"id": "<16 hex digits>"}`.
pub(crate) const META_KEY: &str = "master_key";
/// Before a watch that broke is made anew.
const PAUSE: Duration = Duration::from_secs(1);

/// One key, or two. `Debug` shows their ids alone.
#[derive(Debug)]
pub(crate) struct Keyring {
    keys: Vec<Keys>,
    in_use: AtomicUsize,
    /// The installation's key is none of ours any more.
    outdated: AtomicBool,
}

/// The id of the installation's key, as `meta` has it.
pub(crate) fn id_in(value: &Value) -> Option<String> {
    Some(value.get("id")?.as_str()?.to_owned())
}

impl Keyring {
    /// Reads the key, or makes it when NATS knows none yet. The file is written and synced before
    /// its id goes to NATS; who loses that race deletes the file he just made. `next` is a second one,
    /// while the key is being changed.
    pub(crate) async fn open(
        ledger: &Ledger,
        configured: Option<&Path>,
        next: Option<&Path>,
        data_dir: &Path,
    ) -> anyhow::Result<Self> {
        let path = configured.map_or_else(|| data_dir.join(FILE_NAME), Path::to_owned);
        let next = match next {
            Some(next) => {
                let missing = || KeyError::NotThere { path: next.to_owned() };
                Some(Keys::new(&read(next)?.ok_or_else(missing)?))
            }
            None => None,
        };
        let known = ledger.meta.get(META_KEY).await?;
        let wanted = known.and_then(|entry| id_in(&entry.value));
        let (keys, made) = match read(&path)? {
            Some(master) => (Keys::new(&master), false),
            None if wanted.is_some() => return Err(KeyError::Missing { path }.into()),
            None => (Keys::new(&make(&path)?), true),
        };
        let wanted = match wanted {
            Some(wanted) => wanted,
            None => {
                let value = serde_json::json!({ "id": keys.id() });
                match ledger.meta.create(META_KEY, &value).await {
                    Ok(_) => keys.id().to_owned(),
                    Err(error) if error.is_conflict() => {
                        let now = ledger.meta.get(META_KEY).await?;
                        now.and_then(|entry| id_in(&entry.value)).unwrap_or_default()
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        };
        let found = keys.id().to_owned();
        let ring = Self {
            keys: [keys].into_iter().chain(next).collect(),
            in_use: AtomicUsize::new(0),
            outdated: AtomicBool::new(false),
        };
        if ring.switch(&wanted) {
            return Ok(ring);
        }
        if made {
            let _ = std::fs::remove_file(&path);
            return Err(KeyError::Missing { path }.into());
        }
        Err(KeyError::Another { path, found, wanted }.into())
    }

    /// The key in use.
    pub(crate) fn in_use(&self) -> &Keys {
        &self.keys[self.in_use.load(Ordering::Relaxed)]
    }

    /// Uses the key with this id from now on, if it is one of ours.
    fn switch(&self, id: &str) -> bool {
        let position = self.keys.iter().position(|keys| keys.id() == id);
        if let Some(position) = position {
            self.in_use.store(position, Ordering::Relaxed);
        }
        self.outdated.store(position.is_none(), Ordering::Relaxed);
        position.is_some()
    }

    /// Whether the installation has a key that is none of ours: this gateway must be started again.
    pub(crate) fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Relaxed)
    }

    /// See [`Keys::seal`].
    pub(crate) fn seal(&self, place: &str, secret: &Secret) -> String {
        self.in_use().seal(place, secret)
    }

    /// See [`Keys::open_sealed`].
    pub(crate) fn open_sealed(&self, place: &str, sealed: &str) -> Result<Secret, SealError> {
        let its = self.keys.iter().find(|keys| keys.sealed_this(sealed));
        its.unwrap_or_else(|| self.in_use()).open_sealed(place, sealed)
    }

    /// See [`Keys::link`].
    pub(crate) fn link(&self, job: JobId) -> String {
        self.in_use().link(job)
    }

    /// See [`Keys::is_link`].
    pub(crate) fn is_link(&self, job: JobId, key: &str) -> bool {
        self.keys.iter().any(|keys| keys.is_link(job, key))
    }

    /// See [`Keys::form`].
    pub(crate) fn form(&self, session: &str) -> String {
        self.in_use().form(session)
    }

    /// See [`Keys::is_form`].
    pub(crate) fn is_form(&self, session: &str, given: &str) -> bool {
        self.keys.iter().any(|keys| keys.is_form(session, given))
    }
}

/// Follows what `meta` says about the key, until `stop`.
pub(crate) async fn follow(keyring: Arc<Keyring>, ledger: Ledger, stop: CancellationToken) {
    let following = async {
        loop {
            if let Ok(mut news) = ledger.meta.watch(0).await {
                while let Some(Ok(entry)) = news.next().await {
                    if entry.key == META_KEY
                        && let Ok(Some(entry)) = from_watch::<Value>(&entry)
                        && let Some(id) = id_in(&entry.value)
                        && id != keyring.in_use().id()
                    {
                        learn(&keyring, &id);
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    stop.run_until_cancelled(following).await;
}

fn learn(keys: &Keyring, id: &str) {
    if keys.switch(id) {
        tracing::info!(id, "the master key was changed; the new one is in use");
    } else {
        tracing::error!(id, "the master key was changed; start this gateway again with the new one");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(keys: &[u8]) -> Keyring {
        Keyring {
            keys: keys.iter().map(|byte| Keys::new(&[*byte; 32])).collect(),
            in_use: AtomicUsize::new(0),
            outdated: AtomicBool::new(false),
        }
    }

    #[test]
    fn both_keys_open_and_the_one_in_use_seals() {
        let (both, new) = (ring(&[1, 2]), ring(&[2]));
        let secret = "hunter2".parse().unwrap();
        let job = JobId::new();
        let (old_seal, old_link) = (both.seal("a", &secret), both.link(job));
        assert!(new.open_sealed("a", &old_seal).is_err() && !new.is_link(job, &old_link));
        assert!(both.switch(new.in_use().id()));
        assert_eq!(both.open_sealed("a", &old_seal).unwrap().expose(), "hunter2");
        assert_eq!(new.open_sealed("a", &both.seal("a", &secret)).unwrap().expose(), "hunter2");
        assert!(both.is_link(job, &old_link) && new.is_link(job, &both.link(job)));
        let form = ring(&[1]).form("session");
        assert!(both.is_form("session", &form));
    }

    #[test]
    fn a_gateway_without_the_new_key_knows_that_it_is_outdated() {
        let old = ring(&[1]);
        assert!(!old.switch("0000000000000000") && old.is_outdated());
    }
}
