//! The bucket `OBSERVER`: one snapshot a minute to resume from, and `now`, which gateways read.

use async_nats::jetstream;
use jiff::Timestamp;
use jobs::{
    bucket::{Bucket, BucketError},
    streams,
};
use serde::{Deserialize, Serialize};

use crate::statistics::{Snapshot, Statistics, minute};

/// The key under which the newest statistics lie.
const NOW: &str = "now";

/// A snapshot as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    snapshot: Snapshot,
    /// When the stream of records was made: a sequence means something in its own stream alone.
    stream: Timestamp,
}

/// Which stream of records is counted, and how far it reaches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Records {
    pub(crate) made_at: Timestamp,
    pub(crate) last_sequence: u64,
}

/// `OBSERVER`, opened.
#[derive(Debug, Clone)]
pub(crate) struct Snapshots {
    minutes: Bucket<Stored>,
    now: Bucket<Statistics>,
}

impl Snapshots {
    pub(crate) async fn open(js: &jetstream::Context) -> Result<Self, BucketError> {
        Ok(Self {
            minutes: Bucket::open(js, streams::OBSERVER).await?,
            now: Bucket::open(js, streams::OBSERVER).await?,
        })
    }

    /// The newest snapshot of these records, and when it was written.
    pub(crate) async fn newest(
        &self,
        records: Records,
    ) -> Result<Option<(Snapshot, Timestamp)>, BucketError> {
        let mut minutes: Vec<i64> =
            self.minutes.keys().await?.iter().filter_map(|key| key.parse().ok()).collect();
        minutes.sort_unstable();
        for minute in minutes.into_iter().rev() {
            match self.minutes.get(&minute.to_string()).await {
                Ok(Some(entry)) if entry.value.is_of(records) => {
                    return Ok(Some((entry.value.snapshot, entry.written_at)));
                }
                Ok(_) | Err(BucketError::Newer { .. } | BucketError::Malformed { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Writes the snapshot of a minute; of several observers the first wins.
    pub(crate) async fn write(
        &self,
        snapshot: Snapshot,
        records: Records,
        at: Timestamp,
    ) -> Result<(), BucketError> {
        let stored = Stored { snapshot, stream: records.made_at };
        match self.minutes.create(&minute(at).to_string(), &stored).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_conflict() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Writes the statistics of now, and returns the server's time of that; the last word wins.
    pub(crate) async fn publish(&self, statistics: &Statistics) -> Result<Option<Timestamp>, BucketError> {
        self.now.put(NOW, statistics).await?;
        Ok(self.now.get(NOW).await?.map(|entry| entry.written_at))
    }
}

impl Stored {
    fn is_of(&self, records: Records) -> bool {
        self.stream == records.made_at && self.snapshot.sequence <= records.last_sequence
    }
}
