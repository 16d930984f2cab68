//! Writes and deletions that report a conflict as a value, for callers that read again and decide anew.

use serde::{Serialize, de::DeserializeOwned};

use super::{Bucket, BucketError};

impl<T: Serialize + DeserializeOwned> Bucket<T> {
    /// Writes `value` if the key is still at `revision`, `None` meaning that it holds nothing. Returns the
    /// new revision, or `None` on a conflict.
    ///
    /// # Errors
    /// NATS is unreachable.
    pub async fn try_write(
        &self,
        key: &str,
        value: &T,
        revision: Option<u64>,
    ) -> Result<Option<u64>, BucketError> {
        let written = match revision {
            Some(revision) => self.update(key, value, revision).await,
            None => self.create(key, value).await,
        };
        match written {
            Ok(revision) => Ok(Some(revision)),
            Err(error) if error.is_conflict() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes a key if it is still at `revision`; `false` on a conflict.
    ///
    /// # Errors
    /// NATS is unreachable.
    pub async fn try_delete(&self, key: &str, revision: u64) -> Result<bool, BucketError> {
        match self.delete(key, revision).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes a key, whatever its revision.
    ///
    /// # Errors
    /// NATS is unreachable.
    pub async fn remove(&self, key: &str) -> Result<(), BucketError> {
        while let Some(entry) = self.get(key).await? {
            if self.try_delete(key, entry.revision).await? {
                break;
            }
        }
        Ok(())
    }
}
