//! Tombstones, and purging: what removes a key without a trace.
//!
//! A key that is deleted leaves a tombstone in its bucket, for whoever follows it: a message which is as large
//! as a small value and stays as long. A bucket without an age keeps its tombstones for ever, so they are
//! purged once everybody had time to see them. Purging a tombstone names its own sequence: a key that was
//! written again meanwhile stays. (Tombstones that expire need a server of version 2.11.) Purging a key leaves
//! no tombstone and cannot compare first: it is for keys that nobody writes again.

use std::time::Duration;

use async_nats::jetstream::{
    self,
    consumer::{DeliverPolicy, pull},
};
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use super::{Bucket, BucketError, entry::is_deleted, error::nats};

/// A listing without a message for so long is at its end.
const SILENCE: Duration = Duration::from_secs(10);

/// A key that was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// The key.
    pub key: String,
    /// The sequence of its deletion.
    pub sequence: u64,
    /// When, by the server's clock.
    pub deleted_at: Timestamp,
}

impl<T: Serialize + DeserializeOwned> Bucket<T> {
    /// All tombstones. Reads headers alone.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn tombstones(&self) -> Result<Vec<Tombstone>, BucketError> {
        let doing = || format!("list the deleted keys of {}", self.name());
        let stream = self.stream().get_info().await.map_err(|source| nats(doing(), source))?;
        if stream.state.messages == 0 {
            return Ok(Vec::new());
        }
        let consumer = self.stream().create_consumer(pull::OrderedConfig {
            deliver_policy: DeliverPolicy::LastPerSubject,
            filter_subject: format!("$KV.{}.>", self.name()),
            headers_only: true,
            ..pull::OrderedConfig::default()
        });
        let consumer = consumer.await.map_err(|source| nats(doing(), source))?;
        let mut messages = consumer.messages().await.map_err(|source| nats(doing(), source))?;
        let prefix = format!("$KV.{}.", self.name());
        let mut tombstones = Vec::new();
        while let Ok(next) = tokio::time::timeout(SILENCE, messages.try_next()).await {
            let Some(message) = next.map_err(|source| nats(doing(), source))? else { break };
            let info = message.info().map_err(|source| BucketError::Nats { doing: doing(), source })?;
            let (sequence, pending) = (info.stream_sequence, info.pending);
            let deleted_at = Timestamp::from_nanosecond(info.published.unix_timestamp_nanos());
            if message.headers.as_ref().is_some_and(is_deleted)
                && let Some(key) = message.subject.strip_prefix(&prefix)
            {
                let deleted_at = deleted_at.unwrap_or(Timestamp::UNIX_EPOCH);
                tombstones.push(Tombstone { key: key.to_owned(), sequence, deleted_at });
            }
            if pending == 0 {
                break;
            }
        }
        Ok(tombstones)
    }

    /// The sequence of the last message that was ever stored, a tombstone that was purged among them.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn last_sequence(&self) -> Result<u64, BucketError> {
        let info = self.stream().get_info().await;
        Ok(info.map_err(|source| nats(format!("look at {}", self.name()), source))?.state.last_sequence)
    }

    /// Whether nothing lies there, not even a tombstone.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn is_empty(&self) -> Result<bool, BucketError> {
        let info = self.stream().get_info().await;
        Ok(info.map_err(|source| nats(format!("look at {}", self.name()), source))?.state.messages == 0)
    }

    /// Purges a tombstone, and nothing that was written after it.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn purge_tombstone(&self, tombstone: &Tombstone) -> Result<(), BucketError> {
        let subject = format!("$KV.{}.{}", self.name(), tombstone.key);
        // Up to this sequence, which itself stays.
        let purge = self.stream().purge().filter(subject).sequence(tombstone.sequence + 1);
        purge
            .await
            .map(|_| ())
            .map_err(|source| nats(format!("purge {}/{}", self.name(), tombstone.key), source))
    }

    /// Purges everything whose key begins with `beginning`: whole words, a dot at its end. Whoever follows
    /// the bucket is not told.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn purge_under(&self, beginning: &str) -> Result<(), BucketError> {
        let purge = self.stream().purge().filter(format!("$KV.{}.{beginning}>", self.name()));
        purge.await.map(|_| ()).map_err(|source| nats(format!("purge {}/{beginning}", self.name()), source))
    }
}

/// Purges a key of a bucket, whatever it holds.
///
/// # Errors
/// NATS is away.
pub async fn purge_key(js: &jetstream::Context, bucket: &'static str, key: &str) -> Result<(), BucketError> {
    let doing = || format!("purge {bucket}/{key}");
    let stream = js
        .get_stream_no_info(format!("KV_{bucket}"))
        .await
        .map_err(|source| BucketError::Nats { doing: doing(), source: Box::new(source) })?;
    let purged = stream.purge().filter(format!("$KV.{bucket}.{key}")).await;
    purged.map(|_| ()).map_err(|source| BucketError::Nats { doing: doing(), source: Box::new(source) })
}
