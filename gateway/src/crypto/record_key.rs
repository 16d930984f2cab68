//! The key that job records are signed with: random, and stored sealed in `secrets`.
//!
//! It is not derived from the master key, so that changing the master key reseals this key and rewrites no
//! record. The first gateway creates it, create-only, and all others read it.

use std::path::Path;

use anyhow::Context as _;
use jobs::{
    Ledger, RecordKey, Secret,
    bucket::{Bucket, BucketError},
    signed::KEY_BYTES,
    streams,
};
use serde_json::Map;

use crate::crypto::{
    key_file::{KeyError, read},
    keyring::Keyring,
    keys::{Keys, SealError},
    sealed::SealedSecret,
};

/// Its key in `secrets`, and its sealing context. No repository's id has this form.
const CONTEXT: &str = "records.key";

/// Why the key is not available.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordKeyError {
    #[error(transparent)]
    Bucket(#[from] BucketError),
    #[error("the key that records are signed with cannot be opened")]
    Sealed(#[from] SealError),
    #[error("what is sealed as the key that records are signed with is no key")]
    NotAKey,
}

/// Reads the key, or creates it when there is none yet.
pub(crate) async fn open(
    secrets: &Bucket<SealedSecret>,
    keys: &Keyring,
) -> Result<RecordKey, RecordKeyError> {
    loop {
        if let Some(found) = secrets.get(CONTEXT).await? {
            return read_key(&keys.unseal(CONTEXT, &found.value.sealed)?);
        }
        let secret: Secret =
            hex::encode(rand::random::<[u8; KEY_BYTES]>()).parse().expect("digits are not empty");
        // Without events: no job ever receives it.
        let value =
            SealedSecret { sealed: keys.seal(CONTEXT, &secret), events: Vec::new(), other: Map::new() };
        match secrets.create(CONTEXT, &value).await {
            Ok(_) => tracing::info!("record signing key created"),
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The record signing key of a running installation, read with its master key.
///
/// # Errors
/// NATS is unavailable; no gateway has created it yet; the file is not this installation's master key.
pub async fn record_key(ledger: &Ledger, master: &Path) -> anyhow::Result<RecordKey> {
    let missing = || KeyError::NotFound { path: master.to_owned() };
    let keys = Keys::new(&read(master)?.ok_or_else(missing)?);
    let secrets: Bucket<SealedSecret> = Bucket::open(&ledger.js, streams::SECRETS).await?;
    let found = secrets.get(CONTEXT).await?.context("no gateway has made the key of the records yet")?;
    Ok(read_key(&keys.unseal(CONTEXT, &found.value.sealed)?)?)
}

fn read_key(secret: &Secret) -> Result<RecordKey, RecordKeyError> {
    let bytes = hex::decode(secret.expose()).map_err(|_| RecordKeyError::NotAKey)?;
    Ok(RecordKey::new(bytes.try_into().map_err(|_| RecordKeyError::NotAKey)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_place_is_no_repositorys() {
        let (first, _) = CONTEXT.split_once('.').unwrap();
        assert!(first.parse::<jobs::RepoId>().is_err());
    }

    #[test]
    fn only_thirty_two_bytes_are_a_key() {
        for text in ["x", "00", &"0".repeat(63), &"0".repeat(66)] {
            assert!(read_key(&text.parse().unwrap()).is_err(), "{text}");
        }
        assert!(read_key(&"0a".repeat(32).parse().unwrap()).is_ok());
    }
}
