//! The size of an owner's history, oldest first. Counted from the rows each time, so that no sum drifts.

use std::collections::HashSet;

use jiff::Timestamp;
use jobs::{IdempotencyKey, JobId, UserId};
use redb::{ReadableDatabase as _, ReadableTable as _};

use crate::index::{
    Change, IndexError, Tables,
    rows::{ChargedKey, JobRow, job_of_key, owner_range, time_of},
    store::{BY_OWNER, DELIVERIES_BY_OWNER, JOBS},
};

/// What is stored with each record besides, in bytes: the entry of its push, that of its commit, and keys.
const OVERHEAD_BYTES: u64 = 2048;

/// The size of a job, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JobSize {
    pub(crate) job: JobId,
    /// Whether it is final: only then it may be deleted.
    pub(crate) is_final: bool,
    pub(crate) record: u64,
    pub(crate) log: u64,
    pub(crate) result: u64,
    pub(crate) input: u64,
}

/// What a delivery or an idempotency key takes up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeliverySize {
    pub(crate) key: ChargedKey,
    pub(crate) bytes: u64,
    /// Whether its processing is complete.
    pub(crate) is_final: bool,
    charged_since: Option<Timestamp>,
}

impl DeliverySize {
    /// Whether it is an idempotency key that the server has removed by its age, which it tells nobody.
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        let since = self.charged_since.filter(|_| self.key.is_idempotency_key());
        since.is_some_and(|since| IdempotencyKey::is_expired(since, now))
    }
}

impl Tables {
    /// Every job of an owner, oldest first.
    pub(crate) fn job_sizes(&self, owner: UserId) -> Result<Vec<JobSize>, IndexError> {
        let read = self.database.begin_read()?;
        let rows = read.open_table(JOBS)?;
        let mut found = Vec::new();
        let (first, last) = owner_range(owner);
        for key in read.open_table(BY_OWNER)?.range(first.as_slice()..=last.as_slice())? {
            let Some(job) = job_of_key(key?.0.value()) else { continue };
            let row = rows.get(job.as_bytes().as_slice())?.and_then(|row| JobRow::read(row.value()));
            found.extend(row.map(|row| JobSize {
                job,
                is_final: row.state.is_final(),
                record: row.bytes + OVERHEAD_BYTES,
                log: row.log_bytes,
                result: row.result_bytes,
                input: row.input_bytes,
            }));
        }
        Ok(found)
    }

    /// Every delivery and idempotency key of an owner, oldest first.
    pub(crate) fn delivery_sizes(&self, owner: UserId) -> Result<Vec<DeliverySize>, IndexError> {
        let read = self.database.begin_read()?;
        let mut found = Vec::new();
        let table = read.open_table(DELIVERIES_BY_OWNER)?;
        let (first, last) = owner_range(owner);
        for row in table.range(first.as_slice()..=last.as_slice())? {
            let (place, row) = row?;
            let (key, bytes, is_final) = row.value();
            let charged_since = time_of(place.value());
            found.push(DeliverySize { key: ChargedKey::read(key), bytes, is_final, charged_since });
        }
        Ok(found)
    }

    /// Every owner with any history.
    pub(crate) fn owners(&self) -> Result<HashSet<UserId>, IndexError> {
        let read = self.database.begin_read()?;
        let mut found = HashSet::new();
        let (jobs, deliveries) = (read.open_table(BY_OWNER)?, read.open_table(DELIVERIES_BY_OWNER)?);
        // Skips from one owner to the next: few owners have many rows.
        let mut from = [0_u8; 32];
        while let Some(key) = jobs.range(from.as_slice()..)?.next() {
            from = next_owner(key?.0.value(), &mut found);
            if from == [0xff; 32] {
                break;
            }
        }
        let mut from = [0_u8; 32];
        while let Some(row) = deliveries.range(from.as_slice()..)?.next() {
            from = next_owner(row?.0.value(), &mut found);
            if from == [0xff; 32] {
                break;
            }
        }
        Ok(found)
    }

    /// Removes rows whose records do not exist any more: tombstones that were purged while this gateway was
    /// disconnected are never seen. `there` are all records, listed after `before`: newer rows are kept.
    pub(crate) fn retain_jobs(&self, there: &HashSet<JobId>, before: u64) -> Result<usize, IndexError> {
        let stale: Vec<JobId> = {
            let read = self.database.begin_read()?;
            let mut stale = Vec::new();
            for found in read.open_table(JOBS)?.iter()? {
                let (key, row) = found?;
                let is_older = JobRow::read(row.value()).is_some_and(|row| row.revision <= before);
                if let Ok(id) = key.value().try_into().map(JobId::from_bytes)
                    && is_older
                    && !there.contains(&id)
                {
                    stale.push(id);
                }
            }
            stale
        };
        let changes: Vec<Change<jobs::Job>> =
            stale.iter().map(|job| Change::Deleted(job.to_string())).collect();
        self.apply_jobs(&changes, None, super::Durability::Later)?;
        Ok(stale.len())
    }
}

/// Collects the owner of a row, and returns where that owner's rows end.
fn next_owner(key: &[u8], found: &mut HashSet<UserId>) -> [u8; 32] {
    let mut end = [0xff; 32];
    if let Some(owner) = key.get(..16).and_then(|owner| <[u8; 16]>::try_from(owner).ok()) {
        found.insert(UserId::from_bytes(owner));
        let next = u128::from_be_bytes(owner).checked_add(1);
        if let Some(next) = next {
            end = [0; 32];
            end[..16].copy_from_slice(&next.to_be_bytes());
        }
    }
    end
}
