//! A registration goes in two steps, so that no commit is left waiting at the forge.
//!
//! First it is *removing*: it takes nothing any more, its jobs are cancelled, and the posters tell the forge
//! so with its credential. Then, once all is told or ten minutes are over, it goes with its credential,
//! its place and its secrets. Whoever reconciles does the second step, also after a crash.

use jiff::Timestamp;
use jobs::{Repo, RepoId, bucket::Entry};

use crate::{error::ApiError, repos::Registrations};

/// A forge that cannot be told in this time is not told.
const AT_MOST_S: i64 = 600;
/// What its jobs end with.
const REMOVED: &str = "the repository was unregistered";

/// How far a removal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// It is gone.
    Gone,
    /// The forge is still to be told of these jobs.
    Removing { cancelled: usize },
}

impl Registrations {
    /// Begins to remove a registration, whatever it is by now, and ends it where nothing is left to be told.
    /// Its jobs stay.
    pub(crate) async fn unregister(&self, entry: Entry<Repo>) -> Result<Removal, ApiError> {
        let removing = |now: &Entry<Repo>| {
            (!now.value.is_removing())
                .then(|| Repo { removing_since: Some(Timestamp::now()), ..now.value.clone() })
        };
        let Some(entry) = self.ledger.repos.change(&entry.key, removing).await? else {
            return Ok(Removal::Gone);
        };
        self.repos.note(entry.clone());
        // None of its jobs goes on, so nothing needs them any more.
        self.secret_store.forget_secrets(entry.value.id).await?;
        let cancelled = self.jobs.cancel_jobs_of(entry.value.id, REMOVED).await?;
        if self.is_all_told(entry.value.id)? {
            self.forget_repo(entry).await?;
            return Ok(Removal::Gone);
        }
        Ok(Removal::Removing { cancelled })
    }

    /// Removes a registration whose credential is gone already, as with an App that was uninstalled: the
    /// forge cannot be told anything.
    pub(crate) async fn unregister_at_once(&self, entry: Entry<Repo>) -> Result<(), ApiError> {
        self.jobs.cancel_jobs_of(entry.value.id, REMOVED).await?;
        self.secret_store.forget_secrets(entry.value.id).await?;
        self.forget_repo(entry).await
    }

    /// Whether the forge knows of every end, and no job goes on.
    fn is_all_told(&self, repo: RepoId) -> Result<bool, ApiError> {
        Ok(self.index.open_jobs_of(repo)?.is_empty() && self.index.unposted_of(repo)? == 0)
    }

    /// One round of removing: cancels what was still made, and lets go what the forge knows all of.
    pub(crate) async fn remove_further(&self) -> Result<(), ApiError> {
        for entry in self.repos.find(Repo::is_removing) {
            let Some(entry) = self.ledger.repos.get(&entry.key).await? else {
                self.repos.forget(&entry.key);
                continue;
            };
            self.jobs.cancel_jobs_of(entry.value.id, REMOVED).await?;
            let all_told = self.is_all_told(entry.value.id)?;
            // By this clock and another gateway's: a difference only makes the wait longer or shorter.
            let since = entry.value.removing_since.unwrap_or_default();
            if all_told || Timestamp::now().duration_since(since).as_secs() >= AT_MOST_S {
                let id = entry.value.id;
                self.forget_repo(entry).await?;
                tracing::info!(repo = %id, all_told, "repository removed");
            }
        }
        Ok(())
    }

    /// Removes the registration itself, and lets another one of the repository post.
    async fn forget_repo(&self, mut entry: Entry<Repo>) -> Result<(), ApiError> {
        loop {
            match self.ledger.repos.delete(&entry.key, entry.revision).await {
                Ok(()) => break,
                Err(error) if error.is_conflict() => match self.ledger.repos.get(&entry.key).await? {
                    Some(now) => entry = now,
                    None => break,
                },
                Err(error) => return Err(error.into()),
            }
        }
        self.repos.forget(&entry.key);
        self.budgets.release(entry.value.owner, &entry.key);
        // Nobody follows these, so nobody is to be told.
        self.ledger.heads.purge_under(&format!("{}.", entry.value.id)).await?;
        self.forget_baseline(entry.value.id).await?;
        self.budgets.ref_counts.forget(entry.value.id);
        let had_place = self.leave_place(&entry.value).await?;
        self.secret_store.forget_secrets(entry.value.id).await?;
        match had_place {
            true => self.let_another_post(&entry.value).await,
            false => Ok(()),
        }
    }
}
