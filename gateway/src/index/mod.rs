//! What lists are made of: which jobs and deliveries there are, by owner and repository.
//!
//! Derived from the ledger and thrown away without loss. Nothing is decided on what lies here: a
//! list reads each record again, and whoever reconciles asks the leader. The file continues at the
//! stream sequence that it holds (see [`follow`]); a job whose record has expired is dropped from
//! it when a list meets it.

use crate::error::ApiError;

pub(crate) mod caught_up;
mod changed_owners;
pub(crate) mod follow;
mod history;
mod lists;
pub(crate) mod mirror;
mod open;
mod rows;
pub(crate) mod status_issue;
mod store;

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use changed_owners::ChangedOwners;
pub(crate) use history::JobSize;
use jobs::{CommitStatus, Delivery, IdempotencyKey, Job, JobId, RepoId, bucket::Entry};
pub(crate) use lists::{DeliveryFilter, JobFilter};
use redb::{
    Database, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, TableDefinition,
};
pub(crate) use rows::ChargedKey;
use rows::{Belief, DeliveryRow, JobRow};
pub(crate) use status_issue::{MAX_REFUSALS, StatusIssue};
pub(crate) use store::IndexError;
use store::{
    BY_OWNER, BY_REPO, BY_TIME, CHARGED, DELIVERIES, DELIVERIES_BY_OWNER, DOUBTED, DOUBTFUL, JOBS, OPEN,
    STREAMS, UNFINISHED, UNPOSTED,
};
use tokio::sync::watch;

use crate::crypto::record_verifier::RecordVerifier;

/// The file of this set of tables.
const FILE: &str = "index.2.redb";
/// That of the set before.
const FILE_BEFORE: &str = "index.redb";

/// The index of one gateway.
pub(crate) struct Index {
    database: Database,
    followers: Mutex<HashMap<JobId, watch::Sender<u64>>>,
    /// Owners whose history grew.
    pub(crate) changed: ChangedOwners,
    /// Which records are believed; without it all are.
    records: Option<Arc<RecordVerifier>>,
}

/// Where in a stream an index is: the stream's creation time tells it from another of that name.
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
    Gone(String),
}

/// Whether a write must outlive the process at once.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Durability {
    /// Together with the next that must.
    Later,
    /// Now.
    Now,
}

impl From<IndexError> for ApiError {
    fn from(error: IndexError) -> Self {
        Self::Internal(error.into())
    }
}

impl Index {
    /// Opens or makes the index in `data_dir`. One that cannot be read is made anew.
    pub(crate) fn open(data_dir: &Path) -> Result<Self, IndexError> {
        std::fs::create_dir_all(data_dir).map_err(|error| IndexError::new(redb::Error::Io(error)))?;
        // Another name for another set of tables: it is filled anew, and the old one is of no use.
        let path = data_dir.join(FILE);
        let _ = std::fs::remove_file(data_dir.join(FILE_BEFORE));
        let opened = Database::create(&path).map_err(redb::Error::from);
        let database = match opened {
            Ok(database) => database,
            Err(error @ (redb::Error::DatabaseAlreadyOpen | redb::Error::Io(_))) => {
                return Err(IndexError::new(error));
            }
            Err(error) => {
                tracing::warn!(%error, "the index cannot be read and is made anew");
                std::fs::remove_file(&path).map_err(|error| IndexError::new(redb::Error::Io(error)))?;
                Database::create(&path)?
            }
        };
        let index =
            Self { database, followers: Mutex::default(), changed: ChangedOwners::default(), records: None };
        index.make_tables()?;
        Ok(index)
    }

    /// The same, which enters under an owner and a repository only what is believed.
    pub(crate) fn believing(self, records: Arc<RecordVerifier>) -> Self {
        Self { records: Some(records), ..self }
    }

    fn belief(&self, entry: &Entry<Job>) -> Belief {
        match self.records.as_ref().and_then(|records| records.reject_reason(entry)) {
            None => Belief::Believed,
            Some(_) => Belief::Doubted,
        }
    }

    fn make_tables(&self) -> Result<(), IndexError> {
        let write = self.database.begin_write()?;
        for name in [JOBS, DELIVERIES] {
            write.open_table(name)?;
        }
        for name in [BY_OWNER, BY_REPO, DOUBTED, UNPOSTED, UNFINISHED] {
            write.open_table(name)?;
        }
        write.open_table(OPEN)?;
        write.open_table(DOUBTFUL)?;
        write.open_table(BY_TIME)?;
        write.open_table(CHARGED)?;
        write.open_table(DELIVERIES_BY_OWNER)?;
        write.open_table(STREAMS)?;
        write.commit()?;
        Ok(())
    }

    /// Forgets everything that came from this bucket.
    pub(crate) fn throw_away(&self, bucket: &str) -> Result<(), IndexError> {
        let write = self.database.begin_write()?;
        match bucket {
            jobs::streams::JOBS_BUCKET => {
                write.delete_table(JOBS)?;
                write.delete_table(OPEN)?;
                for name in [BY_OWNER, BY_REPO, DOUBTED, UNPOSTED] {
                    write.delete_table(name)?;
                }
            }
            jobs::streams::COMMITS => {
                write.delete_table(DOUBTFUL)?;
            }
            jobs::streams::IDEMPOTENCY => rows::remove_charges(&write, |key| !key.is_idempotency_key())?,
            _ => {
                write.delete_table(DELIVERIES)?;
                write.delete_table(BY_TIME)?;
                write.delete_table(UNFINISHED)?;
                rows::remove_charges(&write, rows::ChargedKey::is_idempotency_key)?;
            }
        }
        write.open_table(STREAMS)?.remove(bucket)?;
        write.commit()?;
        self.make_tables()
    }

    /// Where in the bucket's stream the index is.
    pub(crate) fn position(&self, bucket: &str) -> Result<Option<Position>, IndexError> {
        let read = self.database.begin_read()?;
        let found = read.open_table(STREAMS)?.get(bucket)?;
        Ok(found.and_then(|bytes| serde_json::from_slice(bytes.value()).ok()))
    }

    fn write(
        &self,
        sync: Durability,
        at: Option<(&str, &Position)>,
        work: impl FnOnce(&redb::WriteTransaction) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let mut write = self.database.begin_write()?;
        write
            .set_durability(match sync {
                Durability::Later => redb::Durability::None,
                Durability::Now => redb::Durability::Immediate,
            })
            .expect("no savepoint is ever made");
        work(&write)?;
        if let Some((bucket, position)) = at {
            let bytes = serde_json::to_vec(position).expect("a text and a number are JSON");
            write.open_table(STREAMS)?.insert(bucket, bytes.as_slice())?;
        }
        write.commit()?;
        Ok(())
    }

    /// Takes changes of jobs in, and wakes whoever follows one of them.
    pub(crate) fn take_jobs(
        &self,
        changes: &[Change<Job>],
        at: Option<&Position>,
        sync: Durability,
    ) -> Result<(), IndexError> {
        let at = at.map(|position| (jobs::streams::JOBS_BUCKET, position));
        self.write(sync, at, |write| {
            changes.iter().try_for_each(|change| match change {
                Change::Put(entry) => rows::put_job(write, entry, self.belief(entry)),
                Change::Gone(key) => key.parse().map_or(Ok(()), |job| rows::remove_job(write, job)),
            })
        })?;
        for change in changes {
            if let Change::Put(entry) = change
                && entry.value.state.is_final()
            {
                self.changed.note(entry.value.owner);
            }
        }
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            if let Change::Put(entry) = change
                && let Some(sender) = followers.get(&entry.value.id)
            {
                sender.send_replace(entry.revision);
            }
        }
        followers.retain(|_, sender| sender.receiver_count() > 0);
        Ok(())
    }

    /// Takes changes of deliveries in.
    pub(crate) fn take_deliveries(
        &self,
        changes: &[Change<Delivery>],
        at: Option<&Position>,
        sync: Durability,
    ) -> Result<(), IndexError> {
        let at = at.map(|position| (jobs::streams::DELIVERIES, position));
        self.write(sync, at, |write| {
            changes.iter().try_for_each(|change| match change {
                Change::Put(entry) => rows::put_delivery(write, entry),
                Change::Gone(key) => rows::remove_delivery(write, key),
            })
        })?;
        for change in changes {
            if let Change::Put(entry) = change
                && let Some(owner) = entry.value.owner
            {
                self.changed.note(owner);
            }
        }
        Ok(())
    }

    /// Takes changes of idempotency keys in.
    pub(crate) fn take_idempotency_keys(
        &self,
        changes: &[Change<IdempotencyKey>],
        at: Option<&Position>,
        sync: Durability,
    ) -> Result<(), IndexError> {
        let at = at.map(|position| (jobs::streams::IDEMPOTENCY, position));
        self.write(sync, at, |write| {
            changes.iter().try_for_each(|change| match change {
                Change::Put(entry) => rows::put_idempotency_key(write, entry),
                Change::Gone(key) => rows::remove_charge(write, &ChargedKey::IdempotencyKey(key.clone())),
            })
        })?;
        for change in changes {
            if let Change::Put(entry) = change {
                self.changed.note(entry.value.owner);
            }
        }
        Ok(())
    }

    /// Drops deliveries and idempotency keys whose entries are gone.
    pub(crate) fn forget_charged(&self, keys: &[ChargedKey]) -> Result<(), IndexError> {
        if keys.is_empty() {
            return Ok(());
        }
        self.write(Durability::Later, None, |write| {
            keys.iter().try_for_each(|key| match key {
                ChargedKey::Delivery(delivery) => rows::remove_delivery(write, delivery),
                ChargedKey::IdempotencyKey(_) => rows::remove_charge(write, key),
            })
        })
    }

    /// Takes changes of commits in.
    pub(crate) fn take_commits(
        &self,
        changes: &[Change<CommitStatus>],
        at: Option<&Position>,
        sync: Durability,
    ) -> Result<(), IndexError> {
        let at = at.map(|position| (jobs::streams::COMMITS, position));
        self.write(sync, at, |write| {
            changes.iter().try_for_each(|change| match change {
                Change::Put(entry) => rows::put_commit(write, entry),
                Change::Gone(key) => rows::remove_commit(write, key),
            })
        })
    }

    /// Tells of every change of this job's record from here on. What it holds is only a nudge:
    /// the record is read from the leader.
    pub(crate) fn follow(&self, job: JobId) -> watch::Receiver<u64> {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        followers.entry(job).or_insert_with(|| watch::channel(0).0).subscribe()
    }

    /// The newest revision of a job's record that is known; `None` when none is.
    pub(crate) fn revision_of_job(&self, job: JobId) -> Result<Option<u64>, IndexError> {
        let read = self.database.begin_read()?;
        let row =
            read.open_table(JOBS)?.get(job.as_bytes().as_slice())?.and_then(|row| JobRow::read(row.value()));
        Ok(row.map(|row| row.revision))
    }

    /// Whether a job was seen to be over, whatever its record says by now.
    pub(crate) fn is_over(&self, job: JobId) -> Result<bool, IndexError> {
        let row = self.database.begin_read()?.open_table(JOBS)?.get(job.as_bytes().as_slice())?;
        Ok(row.and_then(|row| JobRow::read(row.value())).is_some_and(|row| row.state.is_final()))
    }

    /// Jobs that go on by a record which is not believed, or after their end.
    pub(crate) fn doubted(&self) -> Result<Vec<JobId>, IndexError> {
        let read = self.database.begin_read()?;
        let mut jobs = Vec::new();
        for found in read.open_table(DOUBTED)?.iter()? {
            jobs.extend(found?.0.value().try_into().map(JobId::from_bytes));
        }
        Ok(jobs)
    }

    /// Deliveries without a verdict.
    pub(crate) fn unfinished(&self) -> Result<Vec<String>, IndexError> {
        let read = self.database.begin_read()?;
        let mut keys = Vec::new();
        for found in read.open_table(UNFINISHED)?.iter()? {
            keys.push(String::from_utf8_lossy(found?.0.value()).into_owned());
        }
        Ok(keys)
    }

    /// Jobs with a status whose record changed since it was last seen to be posted, oldest first.
    pub(crate) fn unposted(&self, limit: usize) -> Result<Vec<(JobId, u64)>, IndexError> {
        let read = self.database.begin_read()?;
        let jobs = read.open_table(JOBS)?;
        let mut found = Vec::new();
        for key in read.open_table(UNPOSTED)?.iter()?.take(limit) {
            let key = key?.0;
            if let Some(row) = jobs.get(key.value())?.and_then(|row| JobRow::read(row.value()))
                && let Ok(id) = key.value().try_into()
            {
                found.push((JobId::from_bytes(id), row.revision));
            }
        }
        Ok(found)
    }

    /// How many jobs [`Index::unposted`] would tell of.
    pub(crate) fn unposted_count(&self) -> Result<u64, IndexError> {
        Ok(self.database.begin_read()?.open_table(UNPOSTED)?.len()?)
    }

    /// The same of one repository's jobs.
    pub(crate) fn unposted_of(&self, repo: RepoId) -> Result<usize, IndexError> {
        let read = self.database.begin_read()?;
        let jobs = read.open_table(JOBS)?;
        let mut count = 0;
        for key in read.open_table(UNPOSTED)?.iter()? {
            let row = jobs.get(key?.0.value())?.and_then(|row| JobRow::read(row.value()));
            count += usize::from(row.is_some_and(|row| row.repo == Some(repo)));
        }
        Ok(count)
    }

    /// Keys of commits whose end the forge may not show, up to `limit`.
    pub(crate) fn doubtful(&self, limit: usize) -> Result<HashMap<String, StatusIssue>, IndexError> {
        let read = self.database.begin_read()?;
        let mut keys = HashMap::new();
        for found in read.open_table(DOUBTFUL)?.iter()?.take(limit) {
            let (key, doubt) = found?;
            let (refusals, revision) = doubt.value();
            let key = String::from_utf8_lossy(key.value()).into_owned();
            keys.insert(key, StatusIssue { refusals, revision });
        }
        Ok(keys)
    }

    /// Drops a commit whose entry is gone.
    pub(crate) fn forget_commit(&self, key: &str) -> Result<(), IndexError> {
        self.write(Durability::Later, None, |write| rows::remove_commit(write, key))
    }

    /// Notes that the status of this job's last change is at the forge.
    pub(crate) fn posted(&self, job: JobId) -> Result<(), IndexError> {
        self.write(Durability::Later, None, |write| {
            write.open_table(UNPOSTED)?.remove(job.as_bytes().as_slice())?;
            Ok(())
        })
    }

    /// Drops a job whose record is gone.
    pub(crate) fn forget_job(&self, job: JobId) -> Result<(), IndexError> {
        self.write(Durability::Later, None, |write| rows::remove_job(write, job))
    }
}

/// Rows of jobs and deliveries, for [`lists`].
fn delivery_row(
    table: &impl redb::ReadableTable<&'static [u8], &'static [u8]>,
    key: &[u8],
) -> Result<Option<DeliveryRow>, IndexError> {
    Ok(table.get(key)?.and_then(|row| DeliveryRow::read(row.value())))
}

/// A table of keys alone.
type Keys = TableDefinition<'static, &'static [u8], ()>;

#[cfg(test)]
mod tests;
