//! How many refs are known of each registration. A git server may list millions; so many are known, and of the
//! others nothing is: a push to one runs all the same, but no later one supersedes it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jobs::{Repo, RepoId, usage::Resource};

use crate::{error::ApiError, usage::Budgets};

/// Refs of one registration. The largest projects at the forges have some hundred branches and a thousand
/// tags.
pub(crate) const MAX_REFS: u64 = 2000;

/// Counts as they were when a registration was met first, and what was added since. A count that is wrong by
/// what other gateways added is put right when it nears the limit.
#[derive(Debug, Default)]
pub(crate) struct RefCounts(Mutex<HashMap<RepoId, u64>>);

impl RefCounts {
    fn get(&self, repo: RepoId) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&repo).copied()
    }

    fn set(&self, repo: RepoId, count: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(repo, count);
    }

    /// One more or fewer is known.
    fn change(&self, repo: RepoId, by: i64) {
        if let Some(count) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&repo) {
            *count = count.saturating_add_signed(by);
        }
    }

    /// Of these registrations together, as far as they were met.
    pub(super) fn of(&self, repos: &[RepoId]) -> u64 {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        repos.iter().filter_map(|repo| counts.get(repo)).sum()
    }

    /// A registration is gone.
    pub(crate) fn forget(&self, repo: RepoId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&repo);
    }

    /// A ref was removed.
    pub(crate) fn removed(&self, repo: RepoId) {
        self.change(repo, -1);
    }
}

impl Budgets {
    /// Whether one more ref of a registration may be known; then it counts from now on.
    pub(crate) async fn may_know_ref(&self, repo: &Repo) -> Result<bool, ApiError> {
        let known = match self.ref_counts.get(repo.id) {
            Some(count) if count < MAX_REFS => count,
            // Met for the first time, or others may have removed some.
            Some(_) | None => self.count_refs(repo.id).await?,
        };
        let limit = self.limit_of(repo.owner, Resource::Refs);
        if known >= MAX_REFS || self.kept(repo.owner, Resource::Refs) >= limit {
            return Ok(false);
        }
        self.ref_counts.change(repo.id, 1);
        Ok(true)
    }

    /// Counts what is known of a registration.
    async fn count_refs(&self, repo: RepoId) -> Result<u64, ApiError> {
        let mut count = 0;
        for key in self.ledger.heads.subjects_under(&format!("{repo}.")).await? {
            // A mark of deletion is none.
            count += u64::from(self.ledger.heads.get(&key).await?.is_some());
        }
        self.ref_counts.set(repo, count);
        Ok(count)
    }

    /// Counts anew.
    pub(crate) async fn recount_refs(&self, repo: RepoId) -> Result<(), ApiError> {
        self.count_refs(repo).await.map(|_| ())
    }

    /// How many of so many refs more may be known of a registration.
    pub(crate) async fn may_know_refs(&self, repo: &Repo, more: u64) -> Result<u64, ApiError> {
        let known = self.count_refs(repo.id).await?;
        let left =
            self.limit_of(repo.owner, Resource::Refs).saturating_sub(self.kept(repo.owner, Resource::Refs));
        Ok(more.min(MAX_REFS.saturating_sub(known)).min(left))
    }
}
