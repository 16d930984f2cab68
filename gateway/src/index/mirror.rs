//! A small bucket in memory: registrations and tokens, for lists.
//!
//! Who may do what is never read from here, but from the leader.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt as _;
use jobs::bucket::{Bucket, Entry};
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;

use crate::index::{Change, follow::change};

/// Before a watch that broke is made anew.
const PAUSE: Duration = Duration::from_secs(1);

/// All entries of a bucket, as they were a moment ago.
#[derive(Debug)]
pub(crate) struct Mirror<T> {
    entries: RwLock<HashMap<String, Entry<T>>>,
    position: AtomicU64,
}

impl<T> Default for Mirror<T> {
    fn default() -> Self {
        Self { entries: RwLock::default(), position: AtomicU64::new(0) }
    }
}

impl<T: Clone> Mirror<T> {
    /// Those that `wanted` picks.
    pub(crate) fn find(&self, wanted: impl Fn(&T) -> bool) -> Vec<Entry<T>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.values().filter(|entry| wanted(&entry.value)).cloned().collect()
    }

    /// The one under this key.
    pub(crate) fn get(&self, key: &str) -> Option<Entry<T>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// The revision of the one under this key.
    pub(crate) fn revision(&self, key: &str) -> Option<u64> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).get(key).map(|entry| entry.revision)
    }

    /// How many `wanted` picks.
    pub(crate) fn count(&self, wanted: impl Fn(&T) -> bool) -> u64 {
        self.sum(|_, value| u64::from(wanted(value)))
    }

    /// The sum of `amount` over all entries.
    pub(crate) fn sum(&self, amount: impl Fn(&str, &T) -> u64) -> u64 {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.iter().map(|(key, entry)| amount(key, &entry.value)).sum()
    }

    /// Up to which sequence the bucket was seen; own writes that were noted may be newer.
    pub(crate) fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    fn saw(&self, sequence: u64) {
        self.position.fetch_max(sequence, Ordering::AcqRel);
    }

    /// Drops what was not told of again: its mark of deletion was purged while nobody followed.
    fn keep(&self, told: &HashSet<String>, before: u64) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|key, entry| entry.revision > before || told.contains(key));
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
            // Asked first: what is purged is told of no more, and counts as seen once all else was.
            if let Ok(last) = bucket.last_sequence().await
                && let Ok(mut news) = bucket.watch(0).await
            {
                let mut told = Some((HashSet::new(), mirror.position()));
                if bucket.is_empty().await.unwrap_or(false) {
                    mirror.saw(last);
                }
                while let Some(Ok(entry)) = news.next().await {
                    if let Some((told, _)) = &mut told {
                        told.insert(entry.key.clone());
                    }
                    if let Some(change) = change(&bucket, &entry) {
                        mirror.take(change);
                    }
                    mirror.saw(entry.revision);
                    if entry.delta == 0
                        && let Some((told, before)) = told.take()
                    {
                        mirror.keep(&told, before);
                        mirror.saw(last);
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    stop.run_until_cancelled(following).await;
}
