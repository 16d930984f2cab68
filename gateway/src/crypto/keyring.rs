//! The master key of this installation, and during a key change the other one too.
//!
//! `meta/master_key` holds the id of the key in use; a gateway that has both keys follows it while it runs.
//! Values sealed with either key can be unsealed, and link keys and form tokens of either are valid; new ones
//! are made with the key in use.

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
/// Before a broken watch is opened again.
const WATCH_RETRY_DELAY: Duration = Duration::from_secs(1);

/// One key, or two. `Debug` shows their ids alone.
#[derive(Debug)]
pub(crate) struct Keyring {
    keys: Vec<Keys>,
    in_use: AtomicUsize,
    /// The installation's key is none of these any more.
    outdated: AtomicBool,
}

/// The id of the installation's key, as `meta` has it.
pub(crate) fn master_key_id(value: &Value) -> Option<String> {
    Some(value.get("id")?.as_str()?.to_owned())
}

impl Keyring {
    /// Reads the key file, or creates it when the installation has no key yet. The file is written and synced
    /// before its id goes to NATS; the gateway that loses that race deletes the file it just created. `next` is
    /// the second key during a key change.
    pub(crate) async fn open(
        ledger: &Ledger,
        configured: Option<&Path>,
        next: Option<&Path>,
        data_dir: &Path,
    ) -> anyhow::Result<Self> {
        let path = configured.map_or_else(|| data_dir.join(FILE_NAME), Path::to_owned);
        let next = match next {
            Some(next) => {
                let missing = || KeyError::NotFound { path: next.to_owned() };
                Some(Keys::new(&read(next)?.ok_or_else(missing)?))
            }
            None => None,
        };
        let known = ledger.meta.get(META_KEY).await?;
        let wanted = known.and_then(|entry| master_key_id(&entry.value));
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
                        now.and_then(|entry| master_key_id(&entry.value)).unwrap_or_default()
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
        Err(KeyError::Mismatch { path, found, wanted }.into())
    }

    /// The key in use.
    pub(crate) fn in_use(&self) -> &Keys {
        &self.keys[self.in_use.load(Ordering::Relaxed)]
    }

    /// Switches to the key with this id, if it is one of these.
    fn switch(&self, id: &str) -> bool {
        let position = self.keys.iter().position(|keys| keys.id() == id);
        if let Some(position) = position {
            self.in_use.store(position, Ordering::Relaxed);
        }
        self.outdated.store(position.is_none(), Ordering::Relaxed);
        position.is_some()
    }

    /// Whether the installation's key is none of these: this gateway must be restarted with the new key.
    pub(crate) fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Relaxed)
    }

    /// See [`Keys::seal`].
    pub(crate) fn seal(&self, context: &str, secret: &Secret) -> String {
        self.in_use().seal(context, secret)
    }

    /// See [`Keys::unseal`].
    pub(crate) fn unseal(&self, context: &str, sealed: &str) -> Result<Secret, SealError> {
        let its = self.keys.iter().find(|keys| keys.has_sealed(sealed));
        its.unwrap_or_else(|| self.in_use()).unseal(context, sealed)
    }

    /// See [`Keys::link`].
    pub(crate) fn link(&self, job: JobId) -> String {
        self.in_use().link(job)
    }

    /// See [`Keys::is_link`].
    pub(crate) fn is_link(&self, job: JobId, key: &str) -> bool {
        self.keys.iter().any(|keys| keys.is_link(job, key))
    }

    /// See [`Keys::answer`].
    pub(crate) fn answer(&self, job: JobId) -> String {
        self.in_use().answer(job)
    }

    /// See [`Keys::is_answer`].
    pub(crate) fn is_answer(&self, job: JobId, key: &str) -> bool {
        self.keys.iter().any(|keys| keys.is_answer(job, key))
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

/// Follows the id of the key in use in `meta`, until `stop`.
pub(crate) async fn follow(keyring: Arc<Keyring>, ledger: Ledger, stop: CancellationToken) {
    let following = async {
        loop {
            if let Ok(mut news) = ledger.meta.watch(0).await {
                while let Some(Ok(entry)) = news.next().await {
                    if entry.key == META_KEY
                        && let Ok(Some(entry)) = from_watch::<Value>(&entry)
                        && let Some(id) = master_key_id(&entry.value)
                        && id != keyring.in_use().id()
                    {
                        switch_to(&keyring, &id);
                    }
                }
            }
            tokio::time::sleep(WATCH_RETRY_DELAY).await;
        }
    };
    stop.run_until_cancelled(following).await;
}

fn switch_to(keys: &Keyring, id: &str) {
    if keys.switch(id) {
        tracing::info!(id, "master key changed, new key in use");
    } else {
        tracing::error!(id, "master key changed, restart this gateway with the new key");
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
        assert!(new.unseal("a", &old_seal).is_err() && !new.is_link(job, &old_link));
        assert!(both.switch(new.in_use().id()));
        assert_eq!(both.unseal("a", &old_seal).unwrap().expose(), "hunter2");
        assert_eq!(new.unseal("a", &both.seal("a", &secret)).unwrap().expose(), "hunter2");
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
