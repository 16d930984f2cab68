//! Marks of deletion: a key that is deleted leaves a message in its bucket, for whoever follows it.
//!
//! A bucket without an age keeps its marks for ever, so they are purged once everybody had time to see them.
//! A purge names the mark's own sequence: a key that was written again meanwhile stays. (Marks that go by
//! themselves need a server of version 2.11.)

use std::time::Duration;

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use crate::bucket::{Bucket, BucketError, is_deleted, nats};

/// A bucket that says nothing for so long has told everything.
const SILENCE: Duration = Duration::from_secs(10);

/// A key that was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The key.
    pub key: String,
    /// The sequence of its deletion.
    pub sequence: u64,
    /// When, by the server's clock.
    pub deleted_at: Timestamp,
}

impl<T: Serialize + DeserializeOwned> Bucket<T> {
    /// All marks of deletion. Reads headers alone.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn marks(&self) -> Result<Vec<Mark>, BucketError> {
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
        let mut marks = Vec::new();
        while let Ok(next) = tokio::time::timeout(SILENCE, messages.try_next()).await {
            let Some(message) = next.map_err(|source| nats(doing(), source))? else { break };
            let info = message.info().map_err(|source| BucketError::Nats { doing: doing(), source })?;
            let (sequence, pending) = (info.stream_sequence, info.pending);
            let deleted_at = Timestamp::from_nanosecond(info.published.unix_timestamp_nanos());
            if message.headers.as_ref().is_some_and(is_deleted)
                && let Some(key) = message.subject.strip_prefix(&prefix)
            {
                let deleted_at = deleted_at.unwrap_or(Timestamp::UNIX_EPOCH);
                marks.push(Mark { key: key.to_owned(), sequence, deleted_at });
            }
            if pending == 0 {
                break;
            }
        }
        Ok(marks)
    }

    /// The sequence of the last message that was ever stored, a mark that was purged among them.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn last_sequence(&self) -> Result<u64, BucketError> {
        let info = self.stream().get_info().await;
        Ok(info.map_err(|source| nats(format!("look at {}", self.name()), source))?.state.last_sequence)
    }

    /// Whether nothing lies there, not even a mark.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn is_empty(&self) -> Result<bool, BucketError> {
        let info = self.stream().get_info().await;
        Ok(info.map_err(|source| nats(format!("look at {}", self.name()), source))?.state.messages == 0)
    }

    /// Removes a mark, and nothing that was written after it.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn purge_mark(&self, mark: &Mark) -> Result<(), BucketError> {
        let subject = format!("$KV.{}.{}", self.name(), mark.key);
        // Up to this sequence, which itself stays.
        let purge = self.stream().purge().filter(subject).sequence(mark.sequence + 1);
        purge.await.map(|_| ()).map_err(|source| nats(format!("purge {}/{}", self.name(), mark.key), source))
    }

    /// Removes everything whose key begins with `beginning`: whole words, a dot at its end. Whoever follows
    /// the bucket is not told.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn purge_under(&self, beginning: &str) -> Result<(), BucketError> {
        let purge = self.stream().purge().filter(format!("$KV.{}.{beginning}>", self.name()));
        purge.await.map(|_| ()).map_err(|source| nats(format!("purge {}/{beginning}", self.name()), source))
    }
}
