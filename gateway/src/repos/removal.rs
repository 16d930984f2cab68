//! Removes a registration in two steps, so that no commit is left pending at the forge.
//!
//! First it is *removing*: it accepts no deliveries, its jobs are cancelled, and their statuses are posted
//! with its credential. Then, once all of them are posted or ten minutes are over, it is deleted with its
//! credential, its status ownership and its secrets. The reconcile leader does the second step, also after a
//! crash.

use jiff::Timestamp;
use jobs::{Repo, RepoId, bucket::Entry};

use crate::index::Tables;
use crate::{error::ApiError, repos::Registrations};

/// Statuses that cannot be posted within this time are not posted.
const REPORT_TIMEOUT_S: i64 = 600;
/// The reason that its jobs end with.
const REMOVED: &str = "the repository was unregistered";

/// The progress of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// It is gone.
    Gone,
    /// The statuses of these jobs are still to be posted.
    Removing { cancelled: usize },
}

impl Registrations {
    /// Starts the removal of a registration, and completes it where no status is left to be posted. Its jobs
    /// are kept.
    pub(crate) async fn unregister(&self, entry: Entry<Repo>) -> Result<Removal, ApiError> {
        let removing = |now: &Entry<Repo>| {
            (!now.value.is_removing())
                .then(|| Repo { removing_since: Some(Timestamp::now()), ..now.value.clone() })
        };
        let Some(entry) = self.ledger.repos.change(&entry.key, removing).await? else {
            return Ok(Removal::Gone);
        };
        self.repos.note(entry.clone());
        // None of its jobs continues, so nothing needs them any more.
        self.secret_store.forget_secrets(entry.value.id).await?;
        let cancelled = self.jobs.cancel_jobs_of(entry.value.id, REMOVED).await?;
        if self.is_fully_reported(entry.value.id).await? {
            self.delete_registration(entry).await?;
            return Ok(Removal::Gone);
        }
        Ok(Removal::Removing { cancelled })
    }

    /// Removes a registration whose credential is gone already, as with an App that was uninstalled: no
    /// status can be posted.
    pub(crate) async fn unregister_now(&self, entry: Entry<Repo>) -> Result<(), ApiError> {
        self.jobs.cancel_jobs_of(entry.value.id, REMOVED).await?;
        self.secret_store.forget_secrets(entry.value.id).await?;
        self.delete_registration(entry).await
    }

    /// Whether every final status is posted, and no job is open.
    async fn is_fully_reported(&self, repo: RepoId) -> Result<bool, ApiError> {
        let is_reported = move |tables: &Tables| {
            Ok(tables.open_jobs_of(repo)?.is_empty() && tables.unposted_of(repo)? == 0)
        };
        Ok(self.index.run(is_reported).await?)
    }

    /// One round of removals: cancels jobs that were still created, and deletes registrations whose statuses
    /// are all posted.
    pub(crate) async fn continue_removals(&self) -> Result<(), ApiError> {
        for entry in self.repos.find(Repo::is_removing) {
            let Some(entry) = self.ledger.repos.get(&entry.key).await? else {
                self.repos.forget(&entry.key);
                continue;
            };
            self.jobs.cancel_jobs_of(entry.value.id, REMOVED).await?;
            let fully_reported = self.is_fully_reported(entry.value.id).await?;
            // By this clock and another gateway's: a difference only makes the wait longer or shorter.
            let since = entry.value.removing_since.unwrap_or_default();
            if fully_reported || Timestamp::now().duration_since(since).as_secs() >= REPORT_TIMEOUT_S {
                let id = entry.value.id;
                self.delete_registration(entry).await?;
                tracing::info!(repo = %id, fully_reported, "repository removed");
            }
        }
        Ok(())
    }

    /// Deletes the registration itself, and makes another one of the repository the status owner.
    async fn delete_registration(&self, mut entry: Entry<Repo>) -> Result<(), ApiError> {
        // First, so that a crash leaves a registration that is still being removed.
        self.leave_name(&entry.value).await?;
        while !self.ledger.repos.try_delete(&entry.key, entry.revision).await? {
            match self.ledger.repos.get(&entry.key).await? {
                Some(now) => entry = now,
                None => break,
            }
        }
        self.repos.forget(&entry.key);
        self.budgets.release(entry.value.owner, &entry.key);
        // No gateway watches these keys, so they need no tombstones.
        self.ledger.heads.purge_under(&format!("{}.", entry.value.id)).await?;
        self.ledger.forget_versions(entry.value.id).await?;
        self.ledger.aliases.purge_under(&format!("{}.", entry.value.id)).await?;
        self.forget_baseline(entry.value.id).await?;
        self.budgets.ref_counts.forget(entry.value.id);
        let was_status_owner = self.release_status_owner(&entry.value).await?;
        self.secret_store.forget_secrets(entry.value.id).await?;
        match was_status_owner {
            true => self.elect_another_status_owner(&entry.value).await,
            false => Ok(()),
        }
    }
}
