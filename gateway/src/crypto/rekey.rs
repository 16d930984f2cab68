//! Changing the master key: reseals every sealed value with the new key.
//!
//! The order makes it safe to interrupt anywhere and run again. Gateways are given both keys first. Then every
//! value is resealed with the new one, by compare-and-set; then `meta` names the new key, and running gateways
//! seal with it from then on; then a second pass finds the values that they sealed with the old one meanwhile.
//! Values that the new key sealed are left alone, so a second run completes an interrupted first one, and a
//! run that changes nothing proves that the old key is no longer needed.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use jobs::{
    Ledger, Repo, RepoId, audit,
    audit::{Action, AuditEvent},
    bucket::{Bucket, BucketError, Entry},
    streams,
};

use crate::crypto::{
    key_file::{KeyError, make, read},
    keyring::{META_KEY, master_key_id},
    keys::Keys,
    sealed::{SealedSecret, forge_token_context, webhook_secret_context},
    signing_secret,
};

/// Gateways follow `meta` within a moment; a value that one was sealing then is written after this time.
const SETTLE_TIME: Duration = Duration::from_secs(2);

/// The result of a key change.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Rekeyed {
    /// Secrets and registrations in which a value was resealed.
    pub changed: usize,
    /// Values that neither key can unseal: left as they are.
    pub unreadable: Vec<String>,
}

/// Creates a key file where there is none yet. `false` when there was one.
///
/// # Errors
/// The file cannot be written, or is no key.
pub fn make_key(path: &Path) -> Result<bool, KeyError> {
    match read(path)? {
        Some(_) => Ok(false),
        None => make(path).map(|_| true),
    }
}

/// Reseals every value with the key in `new`, which every gateway must have already.
///
/// # Errors
/// NATS is unavailable, then run it again; neither key is this installation's; a file is no key.
pub async fn rekey(ledger: &Ledger, old: &Path, new: &Path) -> anyhow::Result<Rekeyed> {
    let keys = |path: &Path| -> Result<Keys, KeyError> {
        let missing = || KeyError::NotFound { path: path.to_owned() };
        Ok(Keys::new(&read(path)?.ok_or_else(missing)?))
    };
    let rekey = Rekey {
        ledger,
        secrets: Bucket::open(&ledger.js, streams::SECRETS).await?,
        old: keys(old)?,
        new: keys(new)?,
    };
    let known = ledger.meta.get(META_KEY).await?.context("this installation has no master key yet")?;
    let wanted = master_key_id(&known.value).unwrap_or_default();
    if ![rekey.old.id(), rekey.new.id()].contains(&wanted.as_str()) {
        let found = rekey.old.id().to_owned();
        return Err(KeyError::Mismatch { path: old.to_owned(), found, wanted }.into());
    }
    let mut done = rekey.reseal_all().await?;
    if wanted != rekey.new.id() {
        let mut value = known.value;
        value["id"] = rekey.new.id().into();
        ledger.meta.update(META_KEY, &value, known.revision).await?;
        let event = AuditEvent::of_operator(Action::MasterKeyChanged, rekey.new.id());
        audit::write(&ledger.js, audit::Log::Admins, &event)
            .await
            .context("the key was changed, but the audit event was not written")?;
    }
    tokio::time::sleep(SETTLE_TIME).await;
    let rest = rekey.reseal_all().await?;
    done.changed += rest.changed;
    done.unreadable = rest.unreadable;
    Ok(done)
}

struct Rekey<'a> {
    ledger: &'a Ledger,
    secrets: Bucket<SealedSecret>,
    old: Keys,
    new: Keys,
}

/// The result for one value.
enum Resealed {
    New(String),
    Already,
    Unreadable,
}

impl Rekey<'_> {
    async fn reseal_all(&self) -> Result<Rekeyed, BucketError> {
        let mut done = Rekeyed::default();
        loop {
            let pass = self.pass().await?;
            done.changed += pass.changed;
            if pass.changed == 0 {
                return Ok(Rekeyed { unreadable: pass.unreadable, ..done });
            }
        }
    }

    /// Goes through every value once.
    async fn pass(&self) -> Result<Rekeyed, BucketError> {
        let mut pass = Rekeyed::default();
        for key in self.secrets.subjects().await? {
            if let Some(entry) = self.secrets.get(&key).await? {
                let value = self
                    .reseal(&key, &entry.value.sealed, &mut pass.unreadable)
                    .map(|sealed| SealedSecret { sealed, ..entry.value.clone() });
                pass.changed += write(&self.secrets, &entry, value).await?;
            }
        }
        for key in self.ledger.repos.subjects().await? {
            // The bucket also has status owner entries, which hold no sealed value.
            if let Ok(id) = key.parse::<RepoId>()
                && let Some(entry) = self.ledger.repos.get(&key).await?
            {
                let value = self.repo(id, &entry.value, &mut pass.unreadable);
                pass.changed += write(&self.ledger.repos, &entry, value).await?;
            }
        }
        Ok(pass)
    }

    fn repo(&self, id: RepoId, repo: &Repo, unreadable: &mut Vec<String>) -> Option<Repo> {
        let secret = self.reseal(&webhook_secret_context(id), &repo.sealed_secret, unreadable);
        let token = repo
            .sealed_token
            .as_ref()
            .and_then(|sealed| self.reseal(&forge_token_context(id), sealed, unreadable));
        let signing = &repo.calls.signing_secrets;
        let signing: Vec<Option<String>> = signing
            .iter()
            .map(|secret| self.reseal(&signing_secret::context(id, &secret.id), &secret.sealed, unreadable))
            .collect();
        if secret.is_none() && token.is_none() && signing.iter().all(Option::is_none) {
            return None;
        }
        let mut repo = repo.clone();
        for (secret, sealed) in repo.calls.signing_secrets.iter_mut().zip(signing) {
            secret.sealed = sealed.unwrap_or_else(|| std::mem::take(&mut secret.sealed));
        }
        repo.sealed_secret = secret.unwrap_or(repo.sealed_secret);
        repo.sealed_token = token.or(repo.sealed_token);
        Some(repo)
    }

    /// The resealed value; `None` when it needs no resealing, or cannot be unsealed.
    fn reseal(&self, context: &str, sealed: &str, unreadable: &mut Vec<String>) -> Option<String> {
        match self.try_reseal(context, sealed) {
            Resealed::New(sealed) => Some(sealed),
            Resealed::Already => None,
            Resealed::Unreadable => {
                unreadable.push(context.to_owned());
                None
            }
        }
    }

    fn try_reseal(&self, context: &str, sealed: &str) -> Resealed {
        if self.new.has_sealed(sealed) {
            return Resealed::Already;
        }
        match self.old.unseal(context, sealed) {
            Ok(secret) => Resealed::New(self.new.seal(context, &secret)),
            Err(_) => Resealed::Unreadable,
        }
    }
}

/// Writes a changed value, and counts it. One that was changed in between counts too: the next
/// pass reads it again.
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
