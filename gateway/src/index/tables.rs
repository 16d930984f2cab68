//! The tables of the index: opens the file, applies changes, answers queries. Everything here may wait for the
//! disk or for another writer, so [`crate::index::Index::run`] calls it on a blocking thread.

use std::{path::Path, sync::Arc};

use jobs::{CommitStatus, Delivery, IdempotencyKey, Job, JobId, bucket::Entry};
use redb::{Database, ReadableDatabase as _, ReadableTable as _};

use crate::{
    crypto::record_verifier::RecordVerifier,
    index::{
        Change, ChargedKey, Durability, IndexError, Position, rows,
        rows::{JobRow, Verification},
        store::{
            BY_OWNER, BY_REPO, BY_TIME, DELIVERIES, DELIVERIES_BY_OWNER, DELIVERY_SORT_KEYS, INPUTS, JOBS,
            OPEN, STATUS_ISSUES, STREAMS, UNFINISHED, UNPOSTED, UNVERIFIED,
        },
    },
};

/// The file of this set of tables.
const FILE: &str = "index.3.redb";
/// The files of former sets of tables.
const FILES_BEFORE: [&str; 2] = ["index.redb", "index.2.redb"];

/// The tables of one gateway's index.
pub(crate) struct Tables {
    pub(super) database: Database,
    /// Verifies records; without it all are accepted.
    verifier: Option<Arc<RecordVerifier>>,
}

impl Tables {
    /// Opens or creates the index in `data_dir`. One that cannot be read is created anew.
    pub(crate) fn open(data_dir: &Path) -> Result<Self, IndexError> {
        std::fs::create_dir_all(data_dir).map_err(|error| IndexError::new(redb::Error::Io(error)))?;
        // A new set of tables has a new file, which is filled from the ledger; old ones are useless.
        let path = data_dir.join(FILE);
        for before in FILES_BEFORE {
            let _ = std::fs::remove_file(data_dir.join(before));
        }
        let opened = Database::create(&path).map_err(redb::Error::from);
        let database = match opened {
            Ok(database) => database,
            Err(error @ (redb::Error::DatabaseAlreadyOpen | redb::Error::Io(_))) => {
                return Err(IndexError::new(error));
            }
            Err(error) => {
                tracing::warn!(%error, "index not readable, recreating it");
                std::fs::remove_file(&path).map_err(|error| IndexError::new(redb::Error::Io(error)))?;
                Database::create(&path)?
            }
        };
        let tables = Self { database, verifier: None };
        tables.make_tables()?;
        Ok(tables)
    }

    /// Indexes only verified records under their owner and repository.
    pub(crate) fn with_verifier(self, verifier: Arc<RecordVerifier>) -> Self {
        Self { verifier: Some(verifier), ..self }
    }

    fn verification(&self, entry: &Entry<Job>) -> Verification {
        match self.verifier.as_ref().and_then(|verifier| verifier.reject_reason(entry)) {
            None => Verification::Verified,
            Some(_) => Verification::Unverified,
        }
    }

    fn make_tables(&self) -> Result<(), IndexError> {
        let write = self.database.begin_write()?;
        for name in [JOBS, DELIVERIES] {
            write.open_table(name)?;
        }
        for name in [BY_OWNER, BY_REPO, UNVERIFIED, UNPOSTED, UNFINISHED] {
            write.open_table(name)?;
        }
        write.open_table(OPEN)?;
        write.open_table(INPUTS)?;
        write.open_table(STATUS_ISSUES)?;
        write.open_table(BY_TIME)?;
        write.open_table(DELIVERY_SORT_KEYS)?;
        write.open_table(DELIVERIES_BY_OWNER)?;
        write.open_table(STREAMS)?;
        write.commit()?;
        Ok(())
    }

    /// Deletes everything that came from this bucket.
    pub(crate) fn clear_bucket(&self, bucket: &str) -> Result<(), IndexError> {
        let write = self.database.begin_write()?;
        match bucket {
            jobs::streams::JOBS_BUCKET => {
                write.delete_table(JOBS)?;
                write.delete_table(OPEN)?;
                write.delete_table(INPUTS)?;
                for name in [BY_OWNER, BY_REPO, UNVERIFIED, UNPOSTED] {
                    write.delete_table(name)?;
                }
            }
            jobs::streams::COMMITS => {
                write.delete_table(STATUS_ISSUES)?;
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

    /// The position of the index in the bucket's stream.
    pub(crate) fn position(&self, bucket: &str) -> Result<Option<Position>, IndexError> {
        let read = self.database.begin_read()?;
        let found = read.open_table(STREAMS)?.get(bucket)?;
        Ok(found.and_then(|bytes| serde_json::from_slice(bytes.value()).ok()))
    }

    pub(super) fn write(
        &self,
        durability: Durability,
        at: Option<(&str, &Position)>,
        work: impl FnOnce(&redb::WriteTransaction) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let mut write = self.database.begin_write()?;
        write
            .set_durability(match durability {
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

    /// Applies changes of jobs, and wakes the followers of each.
    pub(crate) fn apply_jobs(
        &self,
        changes: &[Change<Job>],
        at: Option<&Position>,
        durability: Durability,
    ) -> Result<(), IndexError> {
        let at = at.map(|position| (jobs::streams::JOBS_BUCKET, position));
        self.write(durability, at, |write| {
            changes.iter().try_for_each(|change| match change {
                Change::Put(entry) => rows::put_job(write, entry, self.verification(entry)),
                Change::Deleted(key) => key.parse().map_or(Ok(()), |job| rows::remove_job(write, job)),
            })
        })
    }

    /// Applies changes of deliveries.
    pub(crate) fn apply_deliveries(
        &self,
        changes: &[Change<Delivery>],
        at: Option<&Position>,
        durability: Durability,
    ) -> Result<(), IndexError> {
        let at = at.map(|position| (jobs::streams::DELIVERIES, position));
        self.write(durability, at, |write| {
            changes.iter().try_for_each(|change| match change {
                Change::Put(entry) => rows::put_delivery(write, entry),
                Change::Deleted(key) => rows::remove_delivery(write, key),
            })
        })
    }

    /// Applies changes of idempotency keys.
    pub(crate) fn apply_idempotency_keys(
        &self,
        changes: &[Change<IdempotencyKey>],
        at: Option<&Position>,
        durability: Durability,
    ) -> Result<(), IndexError> {
        let at = at.map(|position| (jobs::streams::IDEMPOTENCY, position));
        self.write(durability, at, |write| {
            changes.iter().try_for_each(|change| match change {
                Change::Put(entry) => rows::put_idempotency_key(write, entry),
                Change::Deleted(key) => rows::remove_charge(write, &ChargedKey::IdempotencyKey(key.clone())),
            })
        })
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

    /// Applies changes of commit statuses.
    pub(crate) fn apply_commits(
        &self,
        changes: &[Change<CommitStatus>],
        at: Option<&Position>,
        durability: Durability,
    ) -> Result<(), IndexError> {
        let at = at.map(|position| (jobs::streams::COMMITS, position));
        self.write(durability, at, |write| {
            changes.iter().try_for_each(|change| match change {
                Change::Put(entry) => rows::put_commit(write, entry),
                Change::Deleted(key) => rows::remove_commit(write, key),
            })
        })
    }

    /// Whether a job was ever indexed as final, whatever its record says by now.
    pub(crate) fn was_final(&self, job: JobId) -> Result<bool, IndexError> {
        let row = self.database.begin_read()?.open_table(JOBS)?.get(job.as_bytes().as_slice())?;
        Ok(row.and_then(|row| JobRow::read(row.value())).is_some_and(|row| row.state.is_final()))
    }

    /// Jobs that are open by a record that is not verified, or after their end.
    pub(crate) fn unverified_jobs(&self) -> Result<Vec<JobId>, IndexError> {
        let read = self.database.begin_read()?;
        let mut jobs = Vec::new();
        for found in read.open_table(UNVERIFIED)?.iter()? {
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

    /// Drops a job whose record is gone.
    pub(crate) fn forget_job(&self, job: JobId) -> Result<(), IndexError> {
        self.write(Durability::Later, None, |write| rows::remove_job(write, job))
    }
}
