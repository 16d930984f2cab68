//! The index of jobs, deliveries and commit statuses, by owner and repository, in a local redb file.
//!
//! Derived from the ledger and can be deleted without loss. Nothing is decided on it alone: a list reads each
//! record again, and the reconciler reads from the stream leader. The file resumes at the stream sequence
//! that it holds (see [`follow`]); a job whose record has expired is dropped when a list meets it.

use crate::error::ApiError;

pub(crate) mod caught_up;
mod changed_owners;
pub(crate) mod follow;
mod history;
mod lists;
pub(crate) mod mirror;
mod open;
mod queue_snapshot;
mod rows;
pub(crate) mod statuses;
mod store;
mod tables;

use std::{collections::HashMap, path::Path, sync::Arc};

use changed_owners::ChangedOwners;
pub(crate) use history::{DeliverySize, JobSize};
use jobs::{CommitStatus, Delivery, IdempotencyKey, Job, JobId, bucket::Entry};
pub(crate) use lists::{DeliveryFilter, JobFilter};
use parking_lot::Mutex;
pub(crate) use queue_snapshot::QueueSnapshot;
use redb::TableDefinition;
pub(crate) use rows::ChargedKey;
use rows::DeliveryRow;
pub(crate) use statuses::{MAX_REJECTIONS, StatusIssue};
pub(crate) use store::IndexError;
pub(crate) use tables::Tables;
use tokio::sync::watch;

use crate::crypto::record_verifier::RecordVerifier;

/// The index of one gateway.
pub(crate) struct Index {
    tables: Arc<Tables>,
    followers: Mutex<HashMap<JobId, watch::Sender<u64>>>,
    /// Owners whose history grew.
    pub(crate) changed: ChangedOwners,
}

/// Position of the index in a stream; the creation time distinguishes streams of the same name.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Position {
    pub(crate) created: String,
    pub(crate) sequence: u64,
}

/// One change of a bucket.
pub(crate) enum Change<T> {
    /// Written.
    Put(Box<Entry<T>>),
    /// Removed.
    Deleted(String),
}

/// When a write becomes durable.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Durability {
    /// With the next durable write.
    Later,
    /// At once.
    Now,
}

impl From<IndexError> for ApiError {
    fn from(error: IndexError) -> Self {
        Self::Internal(error.into())
    }
}

impl Index {
    /// Opens or creates the index in `data_dir`, which has only verified records under their owner and
    /// repository. One that cannot be read is created anew.
    pub(crate) async fn open(data_dir: &Path, verifier: Arc<RecordVerifier>) -> Result<Self, IndexError> {
        let data_dir = data_dir.to_owned();
        let open = move || Ok(Tables::open(&data_dir)?.with_verifier(verifier));
        Ok(Self::of(blocking(open).await?))
    }

    fn of(tables: Tables) -> Self {
        Self { tables: Arc::new(tables), followers: Mutex::default(), changed: ChangedOwners::default() }
    }

    /// Runs a query or a small write on a blocking thread: redb may wait for the disk, and a writer for the one
    /// before it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tables) -> Result<T, IndexError> + Send + 'static,
    ) -> Result<T, IndexError> {
        let tables = Arc::clone(&self.tables);
        blocking(move || work(&tables)).await
    }

    /// Applies changes of jobs, and wakes the followers of each.
    pub(crate) async fn apply_jobs(
        &self,
        changes: Vec<Change<Job>>,
        at: Option<Position>,
        durability: Durability,
    ) -> Result<(), IndexError> {
        let finished = entries(&changes).filter(|entry| entry.value.status.state.is_final());
        let finished: Vec<_> = finished.map(|entry| entry.value.spec.owner).collect();
        let news: Vec<_> = entries(&changes).map(|entry| (entry.value.spec.id, entry.revision)).collect();
        self.run(move |tables| tables.apply_jobs(&changes, at.as_ref(), durability)).await?;
        finished.into_iter().for_each(|owner| self.changed.note(owner));
        let mut followers = self.followers.lock();
        for (job, revision) in news {
            if let Some(sender) = followers.get(&job) {
                sender.send_replace(revision);
            }
        }
        followers.retain(|_, sender| sender.receiver_count() > 0);
        Ok(())
    }

    /// Applies changes of deliveries.
    pub(crate) async fn apply_deliveries(
        &self,
        changes: Vec<Change<Delivery>>,
        at: Option<Position>,
        durability: Durability,
    ) -> Result<(), IndexError> {
        let owners: Vec<_> = entries(&changes).filter_map(|entry| entry.value.owner).collect();
        self.run(move |tables| tables.apply_deliveries(&changes, at.as_ref(), durability)).await?;
        owners.into_iter().for_each(|owner| self.changed.note(owner));
        Ok(())
    }

    /// Applies changes of idempotency keys.
    pub(crate) async fn apply_idempotency_keys(
        &self,
        changes: Vec<Change<IdempotencyKey>>,
        at: Option<Position>,
        durability: Durability,
    ) -> Result<(), IndexError> {
        let owners: Vec<_> = entries(&changes).map(|entry| entry.value.owner).collect();
        self.run(move |tables| tables.apply_idempotency_keys(&changes, at.as_ref(), durability)).await?;
        owners.into_iter().for_each(|owner| self.changed.note(owner));
        Ok(())
    }

    /// Applies changes of commit statuses.
    pub(crate) async fn apply_commits(
        &self,
        changes: Vec<Change<CommitStatus>>,
        at: Option<Position>,
        durability: Durability,
    ) -> Result<(), IndexError> {
        self.run(move |tables| tables.apply_commits(&changes, at.as_ref(), durability)).await
    }

    /// Notifies of every change of this job's record from here on. The value is only a hint: the record is
    /// read from the stream leader.
    pub(crate) fn follow(&self, job: JobId) -> watch::Receiver<u64> {
        let mut followers = self.followers.lock();
        followers.entry(job).or_insert_with(|| watch::channel(0).0).subscribe()
    }
}

fn entries<T>(changes: &[Change<T>]) -> impl Iterator<Item = &Entry<T>> {
    changes.iter().filter_map(|change| match change {
        Change::Put(entry) => Some(&**entry),
        Change::Deleted(_) => None,
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, IndexError> + Send + 'static,
) -> Result<T, IndexError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// The row of a delivery, for [`lists`].
fn delivery_row(
    table: &impl redb::ReadableTable<&'static [u8], &'static [u8]>,
    key: &[u8],
) -> Result<Option<DeliveryRow>, IndexError> {
    Ok(table.get(key)?.and_then(|row| DeliveryRow::read(row.value())))
}

/// A table of keys without values.
type Keys = TableDefinition<'static, &'static [u8], ()>;

#[cfg(test)]
mod tests;
