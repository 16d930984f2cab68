//! A task that one process at a time may do, such as reconciling.
//!
//! An entry in `locks` is renewed every [`crate::lease::HEARTBEAT`] and taken over by
//! compare-and-set by one who has himself seen the same revision for [`TAKEN_OVER_AFTER`]. No
//! two machines' clocks are compared.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::bucket::{Bucket, BucketError};

/// Four beats.
pub const TAKEN_OVER_AFTER: Duration = Duration::from_secs(20);

/// Who does a task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Holder {
    /// Random, made at the process's start: a name may come back, a process does not.
    pub process: String,
    /// What a newer program added.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// One process's view of one lock.
#[derive(Debug)]
pub struct Lock {
    bucket: Bucket<Holder>,
    task: &'static str,
    process: String,
    held: Option<u64>,
    seen: Option<(u64, Instant)>,
}

impl Lock {
    /// A view that holds nothing yet.
    pub fn new(bucket: Bucket<Holder>, task: &'static str) -> Self {
        let process = hex::encode(rand::random::<[u8; 8]>());
        Self { bucket, task, process, held: None, seen: None }
    }

    /// Renews the lock if it is ours, takes it if it is free, and tells whether it is ours now.
    /// To be called every [`crate::lease::HEARTBEAT`] or more often.
    ///
    /// # Errors
    /// NATS is away; then the lock must be taken as not ours.
    pub async fn is_ours(&mut self) -> Result<bool, BucketError> {
        let held = self.held.take();
        let entry = self.bucket.get(self.task).await?;
        let written = match entry {
            None => self.bucket.create(self.task, &self.holder()).await,
            Some(entry) if held.is_some() && entry.value.process == self.process => {
                self.bucket.update(self.task, &self.holder(), entry.revision).await
            }
            Some(entry) => match self.seen {
                Some((revision, since)) if revision == entry.revision => {
                    if since.elapsed() < TAKEN_OVER_AFTER {
                        return Ok(false);
                    }
                    self.bucket.update(self.task, &self.holder(), entry.revision).await
                }
                Some(_) | None => {
                    self.seen = Some((entry.revision, Instant::now()));
                    return Ok(false);
                }
            },
        };
        match written {
            Ok(revision) => {
                self.held = Some(revision);
                Ok(true)
            }
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives the lock up, so that another need not wait.
    pub async fn give_up(&mut self) {
        if let Some(revision) = self.held.take() {
            let _ = self.bucket.delete(self.task, revision).await;
        }
    }

    fn holder(&self) -> Holder {
        Holder { process: self.process.clone(), other: Map::new() }
    }
}
