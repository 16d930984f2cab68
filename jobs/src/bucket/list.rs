//! Listing a bucket's keys and following its changes.

use async_nats::jetstream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use serde::{Serialize, de::DeserializeOwned};

use super::{Bucket, BucketError, Entry, entry::read_change, error::nats};
use crate::reconnected;

/// Changes of a bucket as they come; see [`Bucket::watch`].
pub type Watch = BoxStream<'static, Result<jetstream::kv::Entry, jetstream::kv::WatcherError>>;

impl<T: Serialize + DeserializeOwned> Bucket<T> {
    /// Reads an entry of a watch of this bucket; `None` when it is a deletion.
    ///
    /// # Errors
    /// The value is newer than this program, or cannot be understood.
    pub fn changed(&self, entry: &jetstream::kv::Entry) -> Result<Option<Entry<T>>, BucketError> {
        read_change(entry, self.newest)
    }

    /// Every key that was written, with the deleted ones, whose marks stay: asked of the stream's
    /// state, without a consumer.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn subjects(&self) -> Result<Vec<String>, BucketError> {
        self.subjects_under("").await
    }

    /// Like [`Bucket::subjects`], of the keys that begin with `beginning`: whole words, a dot at its end.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn subjects_under(&self, beginning: &str) -> Result<Vec<String>, BucketError> {
        let doing = || format!("list {}", self.name);
        let prefix = format!("$KV.{}.", self.name);
        let subjects = self
            .stream
            .info_with_subjects(format!("{prefix}{beginning}>"))
            .await
            .map_err(|source| nats(doing(), source))?;
        let subjects: Vec<(String, usize)> =
            subjects.try_collect().await.map_err(|source| nats(doing(), source))?;
        Ok(subjects
            .iter()
            .filter_map(|(subject, _)| subject.strip_prefix(&prefix).map(str::to_owned))
            .collect())
    }

    /// All live keys. Reads the bucket's subjects, not its values.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn keys(&self) -> Result<Vec<String>, BucketError> {
        let doing = || format!("list {}", self.name);
        let store = self.js.get_key_value(self.name).await.map_err(|source| nats(doing(), source))?;
        let keys = store.keys().await.map_err(|source| nats(doing(), source))?;
        keys.try_collect().await.map_err(|source| nats(doing(), source))
    }

    /// Follows every change from `revision` on (0: everything that lies there, then what comes). It ends
    /// when the connection was away and is back: then it is to be begun anew, where it stood.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn watch(&self, revision: u64) -> Result<Watch, BucketError> {
        let client = self.js.client();
        let again = async move { reconnected(&client).await };
        let doing = || format!("watch {}", self.name);
        let store = self.js.get_key_value(self.name).await.map_err(|source| nats(doing(), source))?;
        let watch = if revision == 0 {
            store.watch_with_history(">").await
        } else {
            store.watch_all_from_revision(revision).await
        };
        Ok(watch.map_err(|source| nats(doing(), source))?.take_until(again).boxed())
    }
}
