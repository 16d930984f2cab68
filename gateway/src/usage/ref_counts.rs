//! Counts the recorded refs of each registration. A git server may list millions; only as many as the limits
//! allow are recorded. A push to another ref runs all the same, but no later push supersedes it.

use std::collections::HashMap;

use jobs::{Repo, RepoId, usage::Resource};
use parking_lot::Mutex;

use crate::{error::ApiError, usage::Budgets};

/// Refs of one registration. The largest projects at the forges have some hundred branches and a thousand
/// tags.
pub(crate) const MAX_REFS: u64 = 2000;

/// Counts from when a registration was first met, updated since. A count that misses what other gateways
/// added is corrected when it nears the limit.
#[derive(Debug, Default)]
pub(crate) struct RefCounts(Mutex<HashMap<RepoId, u64>>);

impl RefCounts {
    fn get(&self, repo: RepoId) -> Option<u64> {
        self.0.lock().get(&repo).copied()
    }

    fn set(&self, repo: RepoId, count: u64) {
        self.0.lock().insert(repo, count);
    }

    /// Adds to a count, if there is one.
    fn change(&self, repo: RepoId, by: i64) {
        if let Some(count) = self.0.lock().get_mut(&repo) {
            *count = count.saturating_add_signed(by);
        }
    }

    /// The sum over these registrations, as far as they are counted.
    pub(super) fn of(&self, repos: &[RepoId]) -> u64 {
        let counts = self.0.lock();
        repos.iter().filter_map(|repo| counts.get(repo)).sum()
    }

    /// Drops the count of a removed registration.
    pub(crate) fn forget(&self, repo: RepoId) {
        self.0.lock().remove(&repo);
    }

    /// Counts a removed ref.
    pub(crate) fn removed(&self, repo: RepoId) {
        self.change(repo, -1);
    }
}

impl Budgets {
    /// Whether one more ref of a registration may be recorded; if so it is counted.
    pub(crate) async fn reserve_ref(&self, repo: &Repo) -> Result<bool, ApiError> {
        let known = match self.ref_counts.get(repo.id) {
            Some(count) if count < MAX_REFS => count,
            // Not counted yet, or other gateways may have removed some.
            Some(_) | None => self.count_refs(repo.id).await?,
        };
        let limit = self.limit_of(repo.owner, Resource::Refs);
        if known >= MAX_REFS || self.refs_of(repo.owner) >= limit {
            return Ok(false);
        }
        self.ref_counts.change(repo.id, 1);
        Ok(true)
    }

    /// Counts the recorded refs of a registration.
    async fn count_refs(&self, repo: RepoId) -> Result<u64, ApiError> {
        let mut count = 0;
        for key in self.ledger.heads.subjects_under(&format!("{repo}.")).await? {
            // Tombstones do not count.
            count += u64::from(self.ledger.heads.get(&key).await?.is_some());
        }
        self.ref_counts.set(repo, count);
        Ok(count)
    }

    /// Counts anew.
    pub(crate) async fn recount_refs(&self, repo: RepoId) -> Result<(), ApiError> {
        self.count_refs(repo).await.map(|_| ())
    }

    /// How many of `more` refs may still be recorded for a registration.
    pub(crate) async fn available_refs(&self, repo: &Repo, more: u64) -> Result<u64, ApiError> {
        let known = self.count_refs(repo.id).await?;
        let left = self.limit_of(repo.owner, Resource::Refs).saturating_sub(self.refs_of(repo.owner));
        Ok(more.min(MAX_REFS.saturating_sub(known)).min(left))
    }
}
