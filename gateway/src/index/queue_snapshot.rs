//! What the index knows of an owner's queue and inputs at one moment, for reservations.

use std::collections::HashMap;

use jobs::{UserId, streams};
use redb::{ReadTransaction, ReadableDatabase as _};

use crate::index::{
    IndexError, Tables, rows,
    rows::{JobRow, owner_range},
    store::{INPUTS, JOBS, OPEN, STREAMS},
};

/// An owner's queue, inputs, and some jobs, read in one transaction.
#[derive(Debug, Default)]
pub(crate) struct QueueSnapshot {
    /// The owner's pending jobs.
    pub(crate) pending: u64,
    /// What the inputs of all of the owner's jobs take up, in bytes.
    pub(crate) input_bytes: u64,
    /// The newest indexed revisions of the jobs that were asked for, by their ids.
    pub(crate) revisions: HashMap<String, u64>,
    /// The position of the index in the bucket of jobs.
    pub(crate) position: u64,
}

/// What the inputs of all jobs of an owner take up, in bytes.
fn input_bytes_of(read: &ReadTransaction, owner: UserId) -> Result<u64, IndexError> {
    let (first, last) = owner_range(owner);
    let mut sum = 0;
    for found in read.open_table(INPUTS)?.range(first.as_slice()..=last.as_slice())? {
        sum += found?.1.value();
    }
    Ok(sum)
}

impl Tables {
    /// The queue of an owner, and the revisions of these jobs; ids that are none are left out.
    pub(crate) fn queue_snapshot(&self, owner: UserId, ids: &[String]) -> Result<QueueSnapshot, IndexError> {
        let read = self.database.begin_read()?;
        let mut snapshot =
            QueueSnapshot { input_bytes: input_bytes_of(&read, owner)?, ..QueueSnapshot::default() };
        let (first, last) = owner_range(owner);
        for found in read.open_table(OPEN)?.range(first.as_slice()..=last.as_slice())? {
            snapshot.pending += u64::from(found?.1.value().0 == rows::PENDING);
        }
        let jobs = read.open_table(JOBS)?;
        for id in ids {
            let Ok(job) = id.parse::<jobs::JobId>() else { continue };
            let row = jobs.get(job.as_bytes().as_slice())?.and_then(|row| JobRow::read(row.value()));
            snapshot.revisions.extend(row.map(|row| (id.clone(), row.revision)));
        }
        let position = read.open_table(STREAMS)?.get(streams::JOBS_BUCKET)?;
        let position = position.and_then(|bytes| serde_json::from_slice(bytes.value()).ok());
        snapshot.position = position.map_or(0, |position: super::Position| position.sequence);
        Ok(snapshot)
    }
}
