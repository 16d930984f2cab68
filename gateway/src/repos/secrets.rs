//! Stores the sealed secrets of repositories.

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
/// Secrets of one repository. A deleted name counts as long as its tombstone is kept.
const MAX_SECRETS: usize = 200;
/// Names that would be sealed under the same context as a registration's own secrets
/// ([`crate::crypto::sealed::webhook_secret_context`], [`crate::crypto::sealed::forge_token_context`]).
pub(crate) const RESERVED: [&str; 2] = ["secret", "token"];

/// The key of a secret, and the context that it is sealed for.
pub(crate) fn key(repo: RepoId, name: &str) -> String {
    format!("{repo}.{name}")
}

/// Whether this is a variable name that manifests accept.
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
    /// The size of each of them.
    pub(crate) sizes: Arc<Mirror<SecretSize>>,
    pub(crate) keys: Arc<Keyring>,
    pub(crate) budgets: Arc<Budgets>,
}

/// Mirrors the sizes of secrets until `stop`.
pub(crate) async fn follow_sizes(
    js: async_nats::jetstream::Context,
    sizes: Arc<Mirror<SecretSize>>,
    stop: CancellationToken,
) {
    // Opening a stream by name sends no request, and cannot fail.
    if let Ok(bucket) = Bucket::open(&js, streams::SECRETS).await {
        mirror::follow(bucket, sizes, stop).await;
    }
}

impl SecretStore {
    /// The keys of a repository's secrets, including deleted ones.
    pub(crate) async fn secret_keys(&self, repo: RepoId) -> Result<Vec<String>, BucketError> {
        self.secrets.subjects_under(&format!("{repo}.")).await
    }

    /// Writes a secret; without `events` those of the existing one are kept. Returns whether it is new.
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
            self.reserve_secret(repo, key, sealed.len() as u64, known.as_ref()).await?;
            let revision = known.as_ref().map(|known| known.revision);
            let secret = match known {
                Some(entry) => {
                    let events = events.clone().unwrap_or_else(|| entry.value.events.clone());
                    SealedSecret { sealed: sealed.clone(), events, ..entry.value }
                }
                None => {
                    let keys = self.secret_keys(repo.id).await?;
                    if keys.len() >= MAX_SECRETS && !keys.iter().any(|known| known == key) {
                        let sentence = format!("{MAX_SECRETS} names of secrets are the limit; use one again");
                        return Err(ApiError::TooMany(sentence));
                    }
                    let events = events.clone().unwrap_or_else(default_events);
                    SealedSecret { sealed: sealed.clone(), events, other: Map::new() }
                }
            };
            if self.secrets.try_write(key, &secret, revision).await?.is_none() {
                continue;
            }
            if let Some(entry) = self.secrets.get(key).await? {
                return Ok((entry, is_new));
            }
        }
    }

    /// Reserves the size of a secret, or by how much it grows.
    async fn reserve_secret(
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

    /// Deletes all secrets of a removed repository.
    pub(crate) async fn forget_secrets(&self, repo: RepoId) -> Result<(), BucketError> {
        for key in self.secret_keys(repo).await? {
            self.secrets.remove(&key).await?;
        }
        Ok(())
    }

    /// Whether pushes and pull requests of a repository receive the same secrets.
    pub(crate) async fn same_secrets_for_all_events(&self, repo: RepoId) -> Result<bool, BucketError> {
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
        // A name is part of a key: only valid names are looked up.
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
