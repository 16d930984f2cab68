//! Statuses that are to be posted, verified or reposted.

use std::collections::HashMap;

use jobs::{JobId, RepoId};
use redb::{ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _};

use crate::index::{
    Durability, IndexError, Tables, rows,
    rows::JobRow,
    store::{JOBS, STATUS_ISSUES, UNPOSTED},
};

/// Identifies an issue of a commit's status: another rejection or another posted revision is another issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StatusIssue {
    /// How often the final status was rejected; 0: it was posted.
    pub(crate) rejections: u32,
    /// The revision of the record that was posted.
    pub(crate) revision: u64,
}

/// How often a rejected final status is reposted.
pub(crate) const MAX_REJECTIONS: u32 = 4;

impl Tables {
    /// Jobs whose record changed since their status was last posted, oldest first.
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

    /// How many jobs [`Index::unposted`] would return.
    pub(crate) fn unposted_count(&self) -> Result<u64, IndexError> {
        Ok(self.database.begin_read()?.open_table(UNPOSTED)?.len()?)
    }

    /// How many of them are of one repository.
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

    /// Keys of commits whose final status the forge may not show, up to `limit`.
    pub(crate) fn status_issues(&self, limit: usize) -> Result<HashMap<String, StatusIssue>, IndexError> {
        let read = self.database.begin_read()?;
        let mut keys = HashMap::new();
        for found in read.open_table(STATUS_ISSUES)?.iter()?.take(limit) {
            let (key, issue) = found?;
            let (rejections, revision) = issue.value();
            let key = String::from_utf8_lossy(key.value()).into_owned();
            keys.insert(key, StatusIssue { rejections, revision });
        }
        Ok(keys)
    }

    /// Drops a commit whose entry is gone.
    pub(crate) fn forget_commit(&self, key: &str) -> Result<(), IndexError> {
        self.write(Durability::Later, None, |write| rows::remove_commit(write, key))
    }

    /// Records that the status of this job's last change is posted.
    pub(crate) fn mark_posted(&self, job: JobId) -> Result<(), IndexError> {
        self.write(Durability::Later, None, |write| {
            write.open_table(UNPOSTED)?.remove(job.as_bytes().as_slice())?;
            Ok(())
        })
    }
}
