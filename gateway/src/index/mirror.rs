//! A small bucket in memory: registrations and tokens, for lists.
//!
//! Who may do what is never read from here, but from the leader.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use futures_util::StreamExt as _;
use jobs::bucket::{Bucket, Entry};
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;

use super::{Change, follow::change};

/// Before a watch that broke is made anew.
const PAUSE: Duration = Duration::from_secs(1);

/// All entries of a bucket, as they were a moment ago.
#[derive(Debug)]
pub(crate) struct Mirror<T> {
    entries: RwLock<HashMap<String, Entry<T>>>,
}

impl<T> Default for Mirror<T> {
    fn default() -> Self {
        Self { entries: RwLock::default() }
    }
}

impl<T: Clone> Mirror<T> {
    /// Those that `wanted` picks.
    pub(crate) fn find(&self, wanted: impl Fn(&T) -> bool) -> Vec<Entry<T>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.values().filter(|entry| wanted(&entry.value)).cloned().collect()
    }

    /// Takes in an own write at once, so that its writer finds it in the next list.
    pub(crate) fn note(&self, entry: Entry<T>) {
        self.take(Change::Put(Box::new(entry)));
    }

    /// Takes in an own deletion at once.
    pub(crate) fn forget(&self, key: &str) {
        self.take(Change::Gone(key.to_owned()));
    }

    fn take(&self, change: Change<T>) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        match change {
            Change::Put(entry) => {
                let known = entries.get(&entry.key).map_or(0, |known| known.revision);
                if entry.revision > known {
                    entries.insert(entry.key.clone(), *entry);
                }
            }
            Change::Gone(key) => {
                entries.remove(&key);
            }
        }
    }
}

/// Follows a bucket into its mirror until `stop`.
pub(crate) async fn follow<T: Serialize + DeserializeOwned + Clone>(
    bucket: Bucket<T>,
    mirror: Arc<Mirror<T>>,
    stop: CancellationToken,
) {
    let following = async {
        loop {
            if let Ok(mut news) = bucket.watch(0).await {
                // A deletion leaves a mark in the stream, so it is told again as well.
                while let Some(Ok(entry)) = news.next().await {
                    if let Some(change) = change(&bucket, &entry) {
                        mirror.take(change);
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    stop.run_until_cancelled(following).await;
}
