//! Changing the master key: everything sealed is sealed anew.
//!
//! The order makes it safe to break off anywhere and begin again. Gateways are given both keys first.
//! Then every value is sealed with the new one, by compare-and-set; then `meta` names the new key, and
//! running gateways seal with it from then on; then it is looked once more for what they sealed with
//! the old one meanwhile. What the new key sealed already is left alone, so a second run ends what a
//! first one began, and one that finds nothing proves that the old key is needed no more.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use jobs::{
    Ledger, Repo, RepoId, audit,
    audit::{Action, Deed},
    bucket::{Bucket, BucketError, Entry},
    streams,
};

use crate::crypto::{
    key_file::{KeyError, make, read},
    keyring::{META_KEY, id_in},
    keys::Keys,
    sealed::{SealedSecret, secret_place, token_place},
};

/// A gateway follows `meta` within a moment; whatever it was sealing then is written after this.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// What became of it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Rekeyed {
    /// Secrets and registrations in which something was sealed anew.
    pub changed: usize,
    /// Values that neither key opens: left as they are.
    pub lost: Vec<String>,
}

/// Makes a key where there is no file yet. `false` when one was there.
///
/// # Errors
/// The file cannot be written, or is no key.
pub fn make_key(path: &Path) -> Result<bool, KeyError> {
    match read(path)? {
        Some(_) => Ok(false),
        None => make(path).map(|_| true),
    }
}

/// Seals everything with the key in `new`, which every gateway must have already.
///
/// # Errors
/// NATS is away, then run it again; neither key is this installation's; a file is no key.
pub async fn rekey(ledger: &Ledger, old: &Path, new: &Path) -> anyhow::Result<Rekeyed> {
    let keys = |path: &Path| -> Result<Keys, KeyError> {
        let missing = || KeyError::NotThere { path: path.to_owned() };
        Ok(Keys::new(&read(path)?.ok_or_else(missing)?))
    };
    let change = Change {
        ledger,
        secrets: Bucket::open(&ledger.js, streams::SECRETS).await?,
        old: keys(old)?,
        new: keys(new)?,
    };
    let known = ledger.meta.get(META_KEY).await?.context("this installation has no master key yet")?;
    let wanted = id_in(&known.value).unwrap_or_default();
    if ![change.old.id(), change.new.id()].contains(&wanted.as_str()) {
        let found = change.old.id().to_owned();
        return Err(KeyError::Another { path: old.to_owned(), found, wanted }.into());
    }
    let mut done = change.until_nothing_is_left().await?;
    if wanted != change.new.id() {
        let mut value = known.value;
        value["id"] = change.new.id().into();
        ledger.meta.update(META_KEY, &value, known.revision).await?;
        let deed = Deed::of_operator(Action::MasterKeyChanged, change.new.id());
        audit::write(&ledger.js, audit::Log::Admins, &deed)
            .await
            .context("the key was changed, but not noted")?;
    }
    tokio::time::sleep(SETTLED_AFTER).await;
    let rest = change.until_nothing_is_left().await?;
    done.changed += rest.changed;
    done.lost = rest.lost;
    Ok(done)
}

struct Change<'a> {
    ledger: &'a Ledger,
    secrets: Bucket<SealedSecret>,
    old: Keys,
    new: Keys,
}

/// What one value came to.
enum Sealed {
    Anew(String),
    Already,
    Lost,
}

impl Change<'_> {
    async fn until_nothing_is_left(&self) -> Result<Rekeyed, BucketError> {
        let mut done = Rekeyed::default();
        loop {
            let round = self.round().await?;
            done.changed += round.changed;
            if round.changed == 0 {
                return Ok(Rekeyed { lost: round.lost, ..done });
            }
        }
    }

    /// Looks at every value once.
    async fn round(&self) -> Result<Rekeyed, BucketError> {
        let mut round = Rekeyed::default();
        for key in self.secrets.subjects().await? {
            if let Some(entry) = self.secrets.get(&key).await? {
                let value = self
                    .again(&key, &entry.value.sealed, &mut round.lost)
                    .map(|sealed| SealedSecret { sealed, ..entry.value.clone() });
                round.changed += write(&self.secrets, &entry, value).await?;
            }
        }
        for key in self.ledger.repos.subjects().await? {
            // Beside registrations lie the entries of those that post, which hold nothing sealed.
            if let Ok(id) = key.parse::<RepoId>()
                && let Some(entry) = self.ledger.repos.get(&key).await?
            {
                let value = self.repo(id, &entry.value, &mut round.lost);
                round.changed += write(&self.ledger.repos, &entry, value).await?;
            }
        }
        Ok(round)
    }

    fn repo(&self, id: RepoId, repo: &Repo, lost: &mut Vec<String>) -> Option<Repo> {
        let secret = self.again(&secret_place(id), &repo.sealed_secret, lost);
        let token = repo.sealed_token.as_ref().and_then(|sealed| self.again(&token_place(id), sealed, lost));
        if secret.is_none() && token.is_none() {
            return None;
        }
        let mut repo = repo.clone();
        repo.sealed_secret = secret.unwrap_or(repo.sealed_secret);
        repo.sealed_token = token.or(repo.sealed_token);
        Some(repo)
    }

    /// The value sealed anew; `None` when there is nothing to do, or nothing that can be done.
    fn again(&self, place: &str, sealed: &str, lost: &mut Vec<String>) -> Option<String> {
        match self.sealed(place, sealed) {
            Sealed::Anew(sealed) => Some(sealed),
            Sealed::Already => None,
            Sealed::Lost => {
                lost.push(place.to_owned());
                None
            }
        }
    }

    fn sealed(&self, place: &str, sealed: &str) -> Sealed {
        if self.new.sealed_this(sealed) {
            return Sealed::Already;
        }
        match self.old.open_sealed(place, sealed) {
            Ok(secret) => Sealed::Anew(self.new.seal(place, &secret)),
            Err(_) => Sealed::Lost,
        }
    }
}

/// Writes a changed value, and counts it. One that was changed in between counts too: it is looked at
/// again in the next round.
async fn write<T: serde::Serialize + serde::de::DeserializeOwned>(
    bucket: &Bucket<T>,
    entry: &Entry<T>,
    value: Option<T>,
) -> Result<usize, BucketError> {
    let Some(value) = value else { return Ok(0) };
    match bucket.update(&entry.key, &value, entry.revision).await {
        Ok(_) => Ok(1),
        Err(error) if error.is_conflict() => Ok(1),
        Err(error) => Err(error),
    }
}
