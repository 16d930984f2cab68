//! Queries of open jobs: by owner, by repository, and their number.

use jobs::{JobId, RepoId, State, UserId, reconcile::Candidate};
use redb::{ReadableDatabase as _, ReadableTable as _};

use crate::index::{
    IndexError, Tables, rows,
    rows::{JobRow, owner_range},
    store::{JOBS, OPEN},
};

impl Tables {
    /// Pending jobs of this owner.
    pub(crate) fn pending_jobs_of(&self, owner: UserId) -> Result<u64, IndexError> {
        let read = self.database.begin_read()?;
        let open = read.open_table(OPEN)?;
        let mut count = 0;
        let (first, last) = owner_range(owner);
        for found in open.range(first.as_slice()..=last.as_slice())? {
            count += u64::from(found?.1.value().0 == rows::PENDING);
        }
        Ok(count)
    }

    /// Every job that is not final.
    pub(crate) fn open_jobs(&self) -> Result<Vec<Candidate>, IndexError> {
        let read = self.database.begin_read()?;
        let mut jobs = Vec::new();
        for found in read.open_table(OPEN)?.iter()? {
            let (key, value) = found?;
            let (state, revision) = value.value();
            let state = if state == rows::PENDING { State::Pending } else { State::Working };
            if let Some(job) = rows::job_of_key(key.value()) {
                jobs.push(Candidate { job, revision, state });
            }
        }
        Ok(jobs)
    }

    /// Open jobs of one repository.
    pub(crate) fn open_jobs_of(&self, repo: RepoId) -> Result<Vec<JobId>, IndexError> {
        let read = self.database.begin_read()?;
        let rows = read.open_table(JOBS)?;
        let mut jobs = Vec::new();
        for found in read.open_table(OPEN)?.iter()? {
            let (key, _) = found?;
            let Some(job) = rows::job_of_key(key.value()) else { continue };
            let row = rows.get(job.as_bytes().as_slice())?.and_then(|row| JobRow::read(row.value()));
            if row.is_some_and(|row| row.repo == Some(repo)) {
                jobs.push(job);
            }
        }
        Ok(jobs)
    }

    /// The numbers of pending and working jobs.
    pub(crate) fn open_counts(&self) -> Result<(u64, u64), IndexError> {
        let jobs = self.open_jobs()?;
        let waiting = jobs.iter().filter(|job| job.state == State::Pending).count() as u64;
        Ok((waiting, jobs.len() as u64 - waiting))
    }
}
