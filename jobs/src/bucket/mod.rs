//! A typed key-value bucket whose every write is a compare-and-set.
//!
//! Three rules of the ledger live here and nowhere else:
//! * reads go to the leader, because the streams are made with direct reads off;
//! * a write without an answer is looked up: every write holds a fresh nonce, which tells on
//!   re-reading whether it was ours;
//! * every value has `v`, and one that is newer than this program is left to others.

mod compare_and_set;
mod entry;
mod error;
mod list;
mod purge;

use std::{marker::PhantomData, time::Duration};

use async_nats::jetstream::{
    self,
    context::PublishErrorKind,
    message::PublishMessage,
    stream::{RawMessageErrorKind, Stream},
};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

pub(crate) use entry::is_deleted;
pub use entry::{Entry, from_watch};
use entry::{nonce_of, read};
pub use error::BucketError;
pub(crate) use error::nats;
pub use list::Watch;
pub use purge::{Tombstone, purge_key};

/// The version of stored values that this program writes, where a value does not name one itself.
pub const VERSION: u64 = 1;
/// How often a write whose answer was lost is looked up before we say that NATS is away.
const LOOK_UPS: u32 = 3;
/// Between two look-ups; a leader election takes about this long.
const LOOK_UP_PAUSE: Duration = Duration::from_millis(500);

/// A bucket of values of one type.
#[derive(Debug, Clone)]
pub struct Bucket<T> {
    js: jetstream::Context,
    stream: Stream<()>,
    name: &'static str,
    /// The newest version of its values that this program understands.
    newest: u64,
    of: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Bucket<T> {
    /// The bucket of this name, which must have been made.
    ///
    /// # Errors
    /// The name is not one of a stream.
    pub async fn open(js: &jetstream::Context, name: &'static str) -> Result<Self, BucketError> {
        let stream = js
            .get_stream_no_info(format!("KV_{name}"))
            .await
            .map_err(|source| nats(format!("open {name}"), source))?;
        Ok(Self { js: js.clone(), stream, name, newest: VERSION, of: PhantomData })
    }

    /// The same for values up to this version.
    #[must_use]
    pub fn reading(self, newest: u64) -> Self {
        Self { newest, ..self }
    }

    pub(crate) fn stream(&self) -> &Stream<()> {
        &self.stream
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.name)
    }

    /// The value under `key`, from the leader; `None` when there is none or it was deleted.
    ///
    /// # Errors
    /// NATS is away, or the value is newer than this program.
    pub async fn get(&self, key: &str) -> Result<Option<Entry<T>>, BucketError> {
        let Some((message, deleted)) = self.last(key).await? else { return Ok(None) };
        if deleted {
            return Ok(None);
        }
        let at = message.time.unix_timestamp_nanos();
        read(key, &message.payload, message.sequence, at, self.newest).map(Some)
    }

    /// The revision of the last write or deletion of a key, 0 for none: it tells two absences apart.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn last_revision(&self, key: &str) -> Result<u64, BucketError> {
        Ok(self.last(key).await?.map_or(0, |(message, _)| message.sequence))
    }

    /// The last message of a key, and whether it is a mark of deletion.
    async fn last(
        &self,
        key: &str,
    ) -> Result<Option<(jetstream::message::StreamMessage, bool)>, BucketError> {
        match self.stream.get_last_raw_message_by_subject(&self.subject(key)).await {
            Ok(message) => {
                let deleted = is_deleted(&message.headers);
                Ok(Some((message, deleted)))
            }
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(nats(format!("read {}/{key}", self.name), error)),
        }
    }

    /// Writes `value` under a key that holds nothing.
    ///
    /// # Errors
    /// [`BucketError::Conflict`] when the key holds something.
    pub async fn create(&self, key: &str, value: &T) -> Result<u64, BucketError> {
        match self.write(key, value, 0).await {
            Err(BucketError::Conflict { .. }) => match self.last(key).await? {
                Some((message, true)) => self.write(key, value, message.sequence).await,
                Some((_, false)) | None => Err(BucketError::Conflict { key: key.to_owned() }),
            },
            done => done,
        }
    }

    /// Writes `value` if the key is still at `revision`.
    ///
    /// # Errors
    /// [`BucketError::Conflict`] when it is not.
    pub async fn update(&self, key: &str, value: &T, revision: u64) -> Result<u64, BucketError> {
        self.write(key, value, revision).await
    }

    /// Writes whatever was there before: for presence, where the last word wins.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn put(&self, key: &str, value: &T) -> Result<u64, BucketError> {
        let (payload, _) = self.encode(key, value)?;
        let message = PublishMessage::build().payload(payload);
        self.publish(key, message).await.map_err(|error| self.refused(key, error))
    }

    /// Deletes a key that is still at `revision`.
    ///
    /// # Errors
    /// [`BucketError::Conflict`] when it is not.
    pub async fn delete(&self, key: &str, revision: u64) -> Result<(), BucketError> {
        let message =
            PublishMessage::build().header("KV-Operation", "DEL").expected_last_subject_sequence(revision);
        match self.publish(key, message).await {
            Ok(_) => Ok(()),
            Err(error) => match error.kind() {
                // An answer that was lost looks the same as one that never came.
                PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => match self.last(key).await? {
                    None | Some((_, true)) => Ok(()),
                    Some((_, false)) => Err(self.refused(key, error)),
                },
                _ => Err(self.refused(key, error)),
            },
        }
    }

    async fn write(&self, key: &str, value: &T, revision: u64) -> Result<u64, BucketError> {
        let (payload, nonce) = self.encode(key, value)?;
        let mut look_ups = 0;
        loop {
            let message =
                PublishMessage::build().payload(payload.clone()).expected_last_subject_sequence(revision);
            let error = match self.publish(key, message).await {
                Ok(sequence) => return Ok(sequence),
                Err(error) => error,
            };
            let lost = matches!(error.kind(), PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe);
            if !lost && look_ups == 0 {
                return Err(self.refused(key, error));
            }
            if look_ups == LOOK_UPS {
                return Err(self.refused(key, error));
            }
            look_ups += 1;
            match self.last(key).await {
                Ok(Some((message, _))) if nonce_of(&message.payload).as_deref() == Some(&nonce) => {
                    return Ok(message.sequence);
                }
                Ok(Some((message, _))) if message.sequence != revision => {
                    return Err(BucketError::Conflict { key: key.to_owned() });
                }
                // Not stored, or NATS is still away: the same write again.
                Ok(_) | Err(_) => tokio::time::sleep(LOOK_UP_PAUSE).await,
            }
        }
    }

    async fn publish(
        &self,
        key: &str,
        message: PublishMessage,
    ) -> Result<u64, jetstream::context::PublishError> {
        Ok(self.js.send_publish(self.subject(key), message).await?.await?.sequence)
    }

    fn refused(&self, key: &str, error: jetstream::context::PublishError) -> BucketError {
        match error.kind() {
            PublishErrorKind::WrongLastSequence => BucketError::Conflict { key: key.to_owned() },
            PublishErrorKind::Other if format!("{error:?}").contains("maximum bytes exceeded") => {
                BucketError::Full { bucket: self.name.to_owned() }
            }
            _ => nats(format!("write {}/{key}", self.name), error),
        }
    }

    /// The bytes to store, and the nonce in them.
    fn encode(&self, key: &str, value: &T) -> Result<(Bytes, String), BucketError> {
        let malformed = |source| BucketError::Malformed { key: key.to_owned(), source };
        let mut value = serde_json::to_value(value).map_err(malformed)?;
        let nonce = hex::encode(rand::random::<[u8; 8]>());
        if let Value::Object(fields) = &mut value {
            if !fields.get("v").is_some_and(Value::is_u64) {
                fields.insert("v".to_owned(), VERSION.into());
            }
            fields.insert("nonce".to_owned(), nonce.clone().into());
        }
        Ok((serde_json::to_vec(&value).map_err(malformed)?.into(), nonce))
    }

    /// Changes the value under `key` until a compare-and-set succeeds. `change` returns `None` when
    /// there is nothing to change; then the entry is returned as it is.
    ///
    /// # Errors
    /// NATS is away. A missing key is `Ok(None)`.
    pub async fn change(
        &self,
        key: &str,
        change: impl Fn(&Entry<T>) -> Option<T>,
    ) -> Result<Option<Entry<T>>, BucketError> {
        loop {
            let Some(entry) = self.get(key).await? else { return Ok(None) };
            let Some(value) = change(&entry) else { return Ok(Some(entry)) };
            match self.update(key, &value, entry.revision).await {
                Ok(_) => return self.get(key).await,
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// As [`Bucket::change`], beginning with an entry that is at hand: one round trip where nobody
    /// wrote in between. What it returns may be fresh.
    ///
    /// # Errors
    /// NATS is away. A missing key is `Ok(None)`.
    pub async fn change_from(
        &self,
        mut entry: Entry<T>,
        change: impl Fn(&Entry<T>) -> Option<T>,
    ) -> Result<Option<Entry<T>>, BucketError> {
        loop {
            let Some(value) = change(&entry) else { return Ok(Some(entry)) };
            match self.update(&entry.key, &value, entry.revision).await {
                Ok(revision) => return Ok(Some(Entry::fresh(&entry.key, value, revision))),
                Err(error) if error.is_conflict() => match self.get(&entry.key).await? {
                    Some(now) => entry = now,
                    None => return Ok(None),
                },
                Err(error) => return Err(error),
            }
        }
    }
}
