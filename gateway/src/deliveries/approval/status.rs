//! The commit status of pull requests that wait for an approval.
//!
//! Such a commit has no job, so its entry in `commits` names the delivery. The worker that posts the status requests
//! its text (`grants/delivery.rs`), which depends on the delivery and on the ref's head: it waits, a newer commit
//! came, or the pull request was closed.

use hooks::incoming::PullRequest;
use jobs::{CommitSha, CommitStatus, Repo, streams::commit_key};

use crate::{deliveries::Deliveries, error::ApiError};

/// The status context of pull requests.
pub(crate) const PULL_REQUEST: &str = "gitfaas/pull-request";

impl Deliveries {
    /// Shows that a commit waits for an approval.
    pub(crate) async fn show_awaiting_approval(
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

    /// Posts again the status of a commit that waited for an approval and cannot be approved any more; one that has a
    /// job is left alone.
    pub(crate) async fn refresh_approval_status(&self, repo: &Repo, sha: &CommitSha) -> Result<(), ApiError> {
        let key = commit_key(repo.id, sha, PULL_REQUEST);
        match self.ledger.commits.get(&key).await? {
            Some(entry) if entry.value.delivery().is_some() => Ok(self.ledger.publish_status(&key).await?),
            Some(_) | None => Ok(()),
        }
    }
}
