//! Values as they lie in a bucket, and how they are decoded.

use async_nats::{HeaderMap, jetstream};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{BucketError, VERSION};

/// A value as it lies in the bucket.
#[derive(Debug, Clone)]
pub struct Entry<T> {
    /// The key, without the bucket's prefix.
    pub key: String,
    /// The value.
    pub value: T,
    /// What the next compare-and-set must name.
    pub revision: u64,
    /// The NATS server's time of this write.
    pub written_at: Timestamp,
}

impl<T> Entry<T> {
    /// A value that this process has just written, without having read it back.
    pub fn fresh(key: &str, value: T, revision: u64) -> Self {
        Self { key: key.to_owned(), value, revision, written_at: Timestamp::UNIX_EPOCH }
    }

    /// The server's time of this write; not known of a fresh entry.
    pub fn time(&self) -> Option<Timestamp> {
        (self.written_at != Timestamp::UNIX_EPOCH).then_some(self.written_at)
    }
}

/// Reads an entry of a watch; `None` when it is a deletion.
///
/// # Errors
/// The value is newer than this program, or cannot be understood.
pub fn from_watch<T: DeserializeOwned>(
    entry: &jetstream::kv::Entry,
) -> Result<Option<Entry<T>>, BucketError> {
    read_change(entry, VERSION)
}

pub(super) fn read_change<T: DeserializeOwned>(
    entry: &jetstream::kv::Entry,
    newest: u64,
) -> Result<Option<Entry<T>>, BucketError> {
    match entry.operation {
        jetstream::kv::Operation::Put => {
            let at = entry.created.unix_timestamp_nanos();
            read(&entry.key, &entry.value, entry.revision, at, newest).map(Some)
        }
        jetstream::kv::Operation::Delete | jetstream::kv::Operation::Purge => Ok(None),
    }
}

pub(super) fn read<T: DeserializeOwned>(
    key: &str,
    bytes: &[u8],
    revision: u64,
    nanoseconds: i128,
    newest: u64,
) -> Result<Entry<T>, BucketError> {
    let malformed = |source| BucketError::Malformed { key: key.to_owned(), source };
    let value: Value = serde_json::from_slice(bytes).map_err(malformed)?;
    if value.get("v").and_then(Value::as_u64).is_some_and(|v| v > newest) {
        return Err(BucketError::Newer { key: key.to_owned() });
    }
    let value = serde_json::from_value(value).map_err(malformed)?;
    let written_at = Timestamp::from_nanosecond(nanoseconds).unwrap_or(Timestamp::UNIX_EPOCH);
    Ok(Entry { key: key.to_owned(), value, revision, written_at })
}

pub(super) fn nonce_of(bytes: &[u8]) -> Option<String> {
    serde_json::from_slice::<Value>(bytes).ok()?.get("nonce")?.as_str().map(str::to_owned)
}

pub(crate) fn is_deleted(headers: &HeaderMap) -> bool {
    headers.get("KV-Operation").is_some_and(|operation| matches!(operation.as_str(), "DEL" | "PURGE"))
}
