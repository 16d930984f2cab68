//! List queries, newest first by id; the cursor is the last id.

use std::collections::BTreeSet;

use jobs::{JobId, RepoId, State, UserId};
use redb::ReadableDatabase as _;

use crate::index::{
    IndexError, Tables, delivery_row,
    rows::{JobRow, compound_key, job_of_key},
    store::{BY_OWNER, BY_REPO, BY_TIME, DELIVERIES, JOBS},
};

/// Which jobs are listed.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobFilter {
    /// All jobs of all owners: for admins.
    pub(crate) everyone: bool,
    /// Those of this owner …
    pub(crate) owner: Option<UserId>,
    /// … and those of these repositories.
    pub(crate) repos: Vec<RepoId>,
    /// Only in this state.
    pub(crate) state: Option<State>,
}

/// Which deliveries are listed.
#[derive(Debug, Clone)]
pub(crate) enum DeliveryFilter {
    /// All deliveries: for admins.
    Everyone,
    /// Those of these repositories.
    Repos(Vec<RepoId>),
}

impl Tables {
    /// At most `limit` jobs older than `after`, newest first.
    pub(crate) fn jobs(
        &self,
        filter: &JobFilter,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobId>, IndexError> {
        let read = self.database.begin_read()?;
        let jobs = read.open_table(JOBS)?;
        let wanted = |id: JobId| -> Result<bool, IndexError> {
            let Some(state) = filter.state else { return Ok(true) };
            let row = jobs.get(id.as_bytes().as_slice())?.and_then(|row| JobRow::read(row.value()));
            Ok(row.is_some_and(|row| row.state == state))
        };
        let end = after.map_or([0xff; 16], |id| *id.as_bytes());
        let mut found = BTreeSet::new();
        if filter.everyone {
            for item in jobs.range(..end.as_slice())?.rev() {
                let (key, _) = item?;
                let Ok(id) = key.value().try_into().map(JobId::from_bytes) else { continue };
                if wanted(id)? && found.insert(id) && found.len() == limit {
                    break;
                }
            }
        }
        let owners = read.open_table(BY_OWNER)?;
        let repos = read.open_table(BY_REPO)?;
        let of_owner = filter.owner.iter().map(|owner| (&owners, *owner.as_bytes()));
        let of_repos = filter.repos.iter().map(|repo| (&repos, *repo.as_bytes()));
        for (table, first) in of_owner.chain(of_repos) {
            let mut count = 0;
            let range = compound_key(&first, &[0; 16]).to_vec()..compound_key(&first, &end).to_vec();
            for item in table.range(range.start.as_slice()..range.end.as_slice())?.rev() {
                let (key, _) = item?;
                let Some(id) = job_of_key(key.value()) else { continue };
                if wanted(id)? {
                    found.insert(id);
                    count += 1;
                }
                if count == limit {
                    break;
                }
            }
        }
        Ok(found.into_iter().rev().take(limit).collect())
    }

    /// Keys of at most `limit` deliveries received before `after`, newest first.
    pub(crate) fn deliveries(
        &self,
        filter: &DeliveryFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, IndexError> {
        let read = self.database.begin_read()?;
        let rows = read.open_table(DELIVERIES)?;
        let last = match after {
            Some(key) => delivery_row(&rows, key.as_bytes())?.map(|row| row.sort_key),
            // Above every hex digit.
            None => Some("~".to_owned()),
        };
        let Some(last) = last else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for item in read.open_table(BY_TIME)?.range(..last.as_bytes())?.rev() {
            if found.len() == limit {
                break;
            }
            let (_, key) = item?;
            let shown = match filter {
                DeliveryFilter::Everyone => true,
                DeliveryFilter::Repos(repos) => delivery_row(&rows, key.value())?
                    .and_then(|row| row.repo)
                    .is_some_and(|repo| repos.contains(&repo)),
            };
            if shown {
                found.push(String::from_utf8_lossy(key.value()).into_owned());
            }
        }
        Ok(found)
    }
}
