//! Pull requests that wait for an approval are shown to wait.
//!
//! Such a commit has no job, so its entry in `commits` names the delivery. A poster asks what is to be said
//! of it, and this reads the delivery and the ref's newest commit: it waits, a newer commit came, or the pull
//! request was closed.

use hooks::incoming::PullRequest;
use jobs::{CommitSha, CommitStatus, Repo, streams::commit_key};

use crate::{deliveries::Deliveries, error::ApiError};

/// The context of pull requests.
pub(crate) const PULL_REQUEST: &str = "gitfaas/pull-request";

impl Deliveries {
    /// Shows that a commit waits for an approval, and of the one before that it does no more.
    pub(crate) async fn show_waiting(
        &self,
        repo: &Repo,
        pull: &PullRequest,
        delivery: &str,
    ) -> Result<(), ApiError> {
        if !repo.posts {
            return Ok(());
        }
        let fresh = CommitStatus::of_delivery(repo.id, &pull.head_sha, PULL_REQUEST, delivery);
        let key = self.ledger.enter_delivery_status(fresh).await?;
        Ok(self.ledger.publish_status(&key).await?)
    }

    /// Says of a commit that waited that nobody can approve it any more; one that has a job is left alone.
    pub(crate) async fn show_void(&self, repo: &Repo, sha: &CommitSha) -> Result<(), ApiError> {
        let key = commit_key(repo.id, sha, PULL_REQUEST);
        match self.ledger.commits.get(&key).await? {
            Some(entry) if entry.value.delivery().is_some() => Ok(self.ledger.publish_status(&key).await?),
            Some(_) | None => Ok(()),
        }
    }
}
