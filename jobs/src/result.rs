//! A job's result: the standard output of its run phase, exact to the byte.
//!
//! Short ones lie in the record; longer ones in the object store RESULTS, written before the final
//! state, with length, digest and the first bytes in the record.

use async_nats::jetstream::{
    self,
    object_store::{ObjectStore, PutErrorKind},
};
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

use crate::{JobId, streams};

/// Results up to this length lie in the record itself.
pub const INLINE_BYTES: usize = 8 * 1024;

/// What the record says of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobResult {
    /// The first [`INLINE_BYTES`], in base64, because output need not be text.
    pub head: String,
    /// Bytes kept, after leaving out the middle of one that was too long.
    pub bytes: u64,
    /// Bytes left out between head and tail.
    #[serde(default)]
    pub omitted_bytes: u64,
    /// SHA-256 of the bytes kept, in hex.
    pub sha256: String,
}

impl JobResult {
    /// Describes `kept`, of which `omitted_bytes` were left out.
    pub fn of(kept: &[u8], omitted_bytes: u64) -> Self {
        Self {
            head: BASE64_STANDARD.encode(&kept[..kept.len().min(INLINE_BYTES)]),
            bytes: kept.len() as u64,
            omitted_bytes,
            sha256: hex::encode(Sha256::digest(kept)),
        }
    }

    /// The first bytes.
    pub fn head(&self) -> Vec<u8> {
        BASE64_STANDARD.decode(&self.head).unwrap_or_default()
    }

    /// Whether the record holds all of it.
    pub fn is_whole(&self) -> bool {
        self.bytes <= INLINE_BYTES as u64
    }
}

/// The object store of long results.
#[derive(Clone)]
pub struct Results {
    store: ObjectStore,
}

impl std::fmt::Debug for Results {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Results")
    }
}

/// A long result could not be stored or fetched.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// NATS did not answer, or refused.
    #[error("nats: result of {job}")]
    Nats {
        /// Whose.
        job: JobId,
        /// What the client says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What lies there is not what the record describes.
    #[error("the stored result of {job} is damaged")]
    Damaged {
        /// Whose.
        job: JobId,
    },
}

impl Results {
    /// Opens the store, which must have been made.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn open(js: &jetstream::Context) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self { store: js.get_object_store(streams::RESULTS).await? })
    }

    /// Stores a result that does not fit the record, before the final state is written. One that lies there
    /// already is left.
    ///
    /// # Errors
    /// NATS is away or full.
    pub async fn store(&self, job: JobId, attempt: u32, kept: &[u8]) -> Result<(), ResultError> {
        let name = format!("{job}.{attempt}");
        let digest = format!("SHA-256={}", BASE64_URL_SAFE.encode(Sha256::digest(kept)));
        if self.store.info(name.as_str()).await.is_ok_and(|info| info.digest.as_ref() == Some(&digest)) {
            return Ok(());
        }
        let mut reader = kept;
        match self.store.put(name.as_str(), &mut reader).await {
            Ok(_) => Ok(()),
            // It is stored. Workers may purge nothing, for they could purge the results of all.
            Err(error) if error.kind() == PutErrorKind::PurgeOldChunks => {
                tracing::debug!(job.id = %job, "an earlier result is left to its age");
                Ok(())
            }
            Err(source) => Err(ResultError::Nats { job, source: Box::new(source) }),
        }
    }

    /// Removes what an attempt stored, if it did.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn remove(&self, job: JobId, attempt: u32) -> Result<(), ResultError> {
        use async_nats::jetstream::object_store::DeleteErrorKind;
        match self.store.delete(format!("{job}.{attempt}")).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == DeleteErrorKind::NotFound => Ok(()),
            Err(source) => Err(ResultError::Nats { job, source: Box::new(source) }),
        }
    }

    /// The bytes that `described` tells of, from the record or the store.
    ///
    /// # Errors
    /// NATS is away, or the bytes are not those described.
    pub async fn fetch(&self, job: JobId, attempt: u32, described: &JobResult) -> Result<Bytes, ResultError> {
        if described.is_whole() {
            return Ok(described.head().into());
        }
        let nats = |source: Box<dyn std::error::Error + Send + Sync>| ResultError::Nats { job, source };
        let mut object =
            self.store.get(format!("{job}.{attempt}")).await.map_err(|error| nats(error.into()))?;
        let mut bytes = Vec::new();
        object.read_to_end(&mut bytes).await.map_err(|error| nats(error.into()))?;
        if hex::encode(Sha256::digest(&bytes)) == described.sha256 {
            Ok(bytes.into())
        } else {
            Err(ResultError::Damaged { job })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_that_is_not_text_keeps_every_byte() {
        let bytes: Vec<u8> = (0..=255).collect();
        let described = JobResult::of(&bytes, 0);
        assert!(described.is_whole());
        assert_eq!(described.head(), bytes);
    }

    #[test]
    fn a_long_result_has_its_head_in_the_record() {
        let described = JobResult::of(&vec![7; INLINE_BYTES + 1], 5);
        assert!(!described.is_whole());
        assert_eq!((described.head().len(), described.omitted_bytes), (INLINE_BYTES, 5));
    }
}
