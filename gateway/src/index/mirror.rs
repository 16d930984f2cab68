//! An in-memory mirror of a small bucket: registrations, users and tokens, for lists.
//!
//! Authorization never reads from here, but from the stream leader.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt as _;
use jobs::bucket::{Bucket, Entry};
use parking_lot::RwLock;
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;

use crate::index::{Change, follow::change};

/// Delay before a watch that ended is renewed.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// All entries of a bucket, eventually consistent.
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
    /// The entries that match.
    pub(crate) fn find(&self, wanted: impl Fn(&T) -> bool) -> Vec<Entry<T>> {
        let entries = self.entries.read();
        entries.values().filter(|entry| wanted(&entry.value)).cloned().collect()
    }

    /// The entry under this key.
    pub(crate) fn get(&self, key: &str) -> Option<Entry<T>> {
        self.entries.read().get(key).cloned()
    }

    /// The revision of the entry under this key.
    pub(crate) fn revision(&self, key: &str) -> Option<u64> {
        self.entries.read().get(key).map(|entry| entry.revision)
    }

    /// How many entries match.
    pub(crate) fn count(&self, wanted: impl Fn(&T) -> bool) -> u64 {
        self.sum(|_, value| u64::from(wanted(value)))
    }

    /// The sum of `amount` over all entries.
    pub(crate) fn sum(&self, amount: impl Fn(&str, &T) -> u64) -> u64 {
        let entries = self.entries.read();
        entries.iter().map(|(key, entry)| amount(key, &entry.value)).sum()
    }

    /// Up to which sequence the bucket was seen; noted own writes may be newer.
    pub(crate) fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    fn advance(&self, sequence: u64) {
        self.position.fetch_max(sequence, Ordering::AcqRel);
    }

    /// Drops entries that a renewed watch did not deliver: their tombstone was purged meanwhile.
    fn retain_seen(&self, seen: &HashSet<String>, before: u64) {
        let mut entries = self.entries.write();
        entries.retain(|key, entry| entry.revision > before || seen.contains(key));
    }

    /// Applies an own write at once, so that the next list has it.
    pub(crate) fn note(&self, entry: Entry<T>) {
        self.take(Change::Put(Box::new(entry)));
    }

    /// Applies an own deletion at once.
    pub(crate) fn forget(&self, key: &str) {
        self.take(Change::Deleted(key.to_owned()));
    }

    fn take(&self, change: Change<T>) {
        let mut entries = self.entries.write();
        match change {
            Change::Put(entry) => {
                let known = entries.get(&entry.key).map_or(0, |known| known.revision);
                if entry.revision > known {
                    entries.insert(entry.key.clone(), *entry);
                }
            }
            Change::Deleted(key) => {
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
            // Read first: purged entries are not delivered, and count as seen once all others were.
            if let Ok(last) = bucket.last_sequence().await
                && let Ok(mut news) = bucket.watch(0).await
            {
                let mut seen = Some((HashSet::new(), mirror.position()));
                if bucket.is_empty().await.unwrap_or(false) {
                    mirror.advance(last);
                }
                while let Some(Ok(entry)) = news.next().await {
                    if let Some((seen, _)) = &mut seen {
                        seen.insert(entry.key.clone());
                    }
                    if let Some(change) = change(&bucket, &entry) {
                        mirror.take(change);
                    }
                    mirror.advance(entry.revision);
                    if entry.delta == 0
                        && let Some((seen, before)) = seen.take()
                    {
                        mirror.retain_seen(&seen, before);
                        mirror.advance(last);
                    }
                }
            }
            tokio::time::sleep(RETRY_DELAY).await;
        }
    };
    stop.run_until_cancelled(following).await;
}
