//! Sealed secrets of repositories.

use std::sync::Arc;

use jobs::{
    Repo, RepoId, Secret, SecretEvent,
    bucket::{Bucket, BucketError, Entry},
    streams,
    usage::Resource,
};
use serde_json::Map;
use tokio_util::sync::CancellationToken;

use crate::{
    crypto::{
        keyring::Keyring,
        sealed::{OVERHEAD_BYTES, SealedSecret, SecretSize, default_events},
    },
    error::ApiError,
    index::{mirror, mirror::Mirror},
    repos::credentials::{NotGranted, unavailable},
    usage::Budgets,
};

/// The longest name, in bytes.
pub(crate) const MAX_NAME_BYTES: usize = 128;
/// Secrets of one repository. A name that was removed leaves a mark for a while, and counts.
const MAX_SECRETS: usize = 200;
/// Names that would be sealed for the same place as what a registration itself has sealed
/// ([`crate::crypto::sealed::webhook_secret_context`], [`crate::crypto::sealed::forge_token_context`]).
pub(crate) const RESERVED: [&str; 2] = ["secret", "token"];

/// The key of a secret, and what it is sealed for.
pub(crate) fn key(repo: RepoId, name: &str) -> String {
    format!("{repo}.{name}")
}

/// A name of a variable, as manifests take it.
pub(crate) fn is_name(name: &str) -> bool {
    let letters = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !name.is_empty()
        && name.len() <= MAX_NAME_BYTES
        && !name.as_bytes()[0].is_ascii_digit()
        && name.bytes().all(letters)
        && !name.starts_with("GITFAAS_")
        && !RESERVED.contains(&name)
}

/// The secrets of repositories.
pub(crate) struct SecretStore {
    pub(crate) secrets: Bucket<SealedSecret>,
    /// How long each of them is.
    pub(crate) sizes: Arc<Mirror<SecretSize>>,
    pub(crate) keys: Arc<Keyring>,
    pub(crate) budgets: Arc<Budgets>,
}

/// Follows how much secrets take up until `stop`.
pub(crate) async fn follow_sizes(
    js: async_nats::jetstream::Context,
    sizes: Arc<Mirror<SecretSize>>,
    stop: CancellationToken,
) {
    // A stream by its name alone asks nobody, and cannot fail.
    if let Ok(bucket) = Bucket::open(&js, streams::SECRETS).await {
        mirror::follow(bucket, sizes, stop).await;
    }
}

impl SecretStore {
    /// The keys of a repository's secrets, with those that were removed.
    pub(crate) async fn secret_keys(&self, repo: RepoId) -> Result<Vec<String>, BucketError> {
        self.secrets.subjects_under(&format!("{repo}.")).await
    }

    /// Writes a secret; without events it keeps those it has. Tells whether it is new.
    pub(crate) async fn store_secret(
        &self,
        repo: &Repo,
        key: &str,
        sealed: String,
        events: Option<Vec<SecretEvent>>,
    ) -> Result<(Entry<SealedSecret>, bool), ApiError> {
        loop {
            let known = self.secrets.get(key).await?;
            let is_new = known.is_none();
            self.hold_for_secret(repo, key, sealed.len() as u64, known.as_ref()).await?;
            let written = match known {
                Some(entry) => {
                    let events = events.clone().unwrap_or_else(|| entry.value.events.clone());
                    let secret = SealedSecret { sealed: sealed.clone(), events, ..entry.value };
                    self.secrets.update(key, &secret, entry.revision).await
                }
                None => {
                    let keys = self.secret_keys(repo.id).await?;
                    if keys.len() >= MAX_SECRETS && !keys.iter().any(|known| known == key) {
                        let sentence = format!("{MAX_SECRETS} names of secrets are the limit; use one again");
                        return Err(ApiError::TooMany(sentence));
                    }
                    let events = events.clone().unwrap_or_else(default_events);
                    let secret = SealedSecret { sealed: sealed.clone(), events, other: Map::new() };
                    self.secrets.create(key, &secret).await
                }
            };
            match written {
                Ok(_) => {}
                Err(error) if error.is_conflict() => continue,
                Err(error) => return Err(error.into()),
            }
            if let Some(entry) = self.secrets.get(key).await? {
                return Ok((entry, is_new));
            }
        }
    }

    /// Holds place for a secret, or for what it is longer than the one before.
    async fn hold_for_secret(
        &self,
        repo: &Repo,
        key: &str,
        sealed_bytes: u64,
        known: Option<&Entry<SealedSecret>>,
    ) -> Result<(), ApiError> {
        let (id, amount) = match known {
            None => (key.to_owned(), sealed_bytes + OVERHEAD_BYTES),
            Some(entry) => {
                let more = sealed_bytes.saturating_sub(entry.value.sealed.len() as u64);
                (format!("{key}#{}", entry.revision), more)
            }
        };
        match amount {
            0 => Ok(()),
            amount => self.budgets.reserve(repo.owner, id, Resource::Secrets, amount).await,
        }
    }

    /// Removes all secrets of a repository that is gone.
    pub(crate) async fn forget_secrets(&self, repo: RepoId) -> Result<(), BucketError> {
        for key in self.secret_keys(repo).await? {
            while let Some(entry) = self.secrets.get(&key).await? {
                match self.secrets.delete(&key, entry.revision).await {
                    Ok(()) => break,
                    Err(error) if error.is_conflict() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Whether pushes and pull requests of a repository get the same secrets.
    pub(crate) async fn secrets_agree(&self, repo: RepoId) -> Result<bool, BucketError> {
        for key in self.secret_keys(repo).await? {
            let Some(entry) = self.secrets.get(&key).await? else { continue };
            let gets = |event| entry.value.events.contains(&event);
            if gets(SecretEvent::Push) != gets(SecretEvent::PullRequest) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(crate) async fn secret(
        &self,
        repo: &Repo,
        name: &str,
        event: SecretEvent,
    ) -> Result<Option<Secret>, NotGranted> {
        // A name is part of a key: only what a secret's name can be is looked up.
        if !is_name(name) {
            return Ok(None);
        }
        let key = key(repo.id, name);
        let found = self.secrets.get(&key).await.map_err(unavailable)?;
        let Some(found) = found.filter(|found| found.value.events.contains(&event)) else {
            return Ok(None);
        };
        let opened = self.keys.unseal(&key, &found.value.sealed);
        opened.map(Some).map_err(|error| unavailable(ApiError::Internal(error.into())))
    }
}
