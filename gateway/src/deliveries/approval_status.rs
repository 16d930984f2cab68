//! Pull requests that wait for an approval are shown to wait.
//!
//! Such a commit has no job, so its entry in `commits` names the delivery. A poster asks what is to be said
//! of it, and this reads the delivery and the ref's newest commit: it waits, a newer commit came, or the pull
//! request was closed.

use hooks::{Incoming, incoming::PullRequest};
use jobs::{
    Commit, CommitSha, Delivery, Repo, Verdict, bucket::BucketError, grants::DeliveryGrant,
    streams::commit_key,
};

use crate::{
    error::ApiError,
    grants::{NotGranted, refused, status_grant, unavailable},
    state::Gateway,
};

/// The context of pull requests.
pub(crate) const PULL_REQUEST: &str = "gitfaas/pull-request";
/// What is said of a commit that waits.
const WAITS: &str = "waits for approval by an owner";

impl Gateway {
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
        let fresh = Commit::of_delivery(repo.id, &pull.head_sha, PULL_REQUEST, delivery);
        let key = self.ledger.enter_commit_of(fresh).await?;
        Ok(self.ledger.publish_status(&key).await?)
    }

    /// Says of a commit that waited that nobody can approve it any more; one that has a job is left alone.
    pub(crate) async fn show_void(&self, repo: &Repo, sha: &CommitSha) -> Result<(), ApiError> {
        let key = commit_key(repo.id, sha, PULL_REQUEST);
        match self.ledger.commits.get(&key).await? {
            Some(entry) if entry.value.delivery.is_some() => Ok(self.ledger.publish_status(&key).await?),
            Some(_) | None => Ok(()),
        }
    }

    /// What is to be said of a delivery that an entry in `commits` names.
    pub(crate) async fn delivery_grant(
        &self,
        commit: &str,
        delivery: &str,
        stale: Option<&str>,
    ) -> Result<DeliveryGrant, NotGranted> {
        let commit = self.taken_commit(commit).await?;
        if commit.delivery.as_deref() != Some(delivery) {
            return refused("the commit does not wait for this delivery");
        }
        let found = self.ledger.deliveries.get(delivery).await.map_err(unavailable)?;
        let Some(found) = found.map(|entry| entry.value) else { return refused("no such delivery") };
        let Some(pull) = pull_of(&found).filter(|pull| {
            pull.head_sha == commit.sha && found.repo == Some(commit.repo) && commit.context == PULL_REQUEST
        }) else {
            return refused("the delivery is not of this commit");
        };
        let repo = self.ledger.repos.get(&commit.repo.to_string()).await.map_err(unavailable)?;
        let Some(repo) = repo.map(|entry| entry.value) else {
            return refused("the repository is not registered");
        };
        let (waits, description) = self.said_of(&repo, &found, &pull).await.map_err(unavailable)?;
        let speaks = self.speaks(&repo, stale).await?;
        let page = self.public_url.join(&format!("deliveries/{delivery}")).expect("a digest is a path");
        Ok(DeliveryGrant { status: status_grant(speaks, page.into()), waits, description })
    }

    async fn said_of(
        &self,
        repo: &Repo,
        delivery: &Delivery,
        pull: &PullRequest,
    ) -> Result<(bool, String), BucketError> {
        let head = self.ledger.heads.get(&jobs::head_key(repo.id, &pull.reference())).await?;
        Ok(match head.map(|head| head.value.after) {
            None => (false, "the pull request was closed".to_owned()),
            Some(newest) if newest != pull.head_sha => (false, format!("superseded by {}", newest.short())),
            Some(_) if repo.is_removing() => (false, "the repository was unregistered".to_owned()),
            Some(_) => match delivery.verdict {
                Some(Verdict::Held) | None => (true, WAITS.to_owned()),
                Some(Verdict::Accepted | Verdict::Duplicate | Verdict::Ignored | Verdict::Refused) => {
                    (true, "approved".to_owned())
                }
            },
        })
    }
}

fn pull_of(delivery: &Delivery) -> Option<PullRequest> {
    match serde_json::from_value(delivery.incoming.clone()?).ok()? {
        Incoming::PullRequest(pull) => Some(pull),
        Incoming::Push(_)
        | Incoming::Ping
        | Incoming::Rerequested(_)
        | Incoming::Installation(_)
        | Incoming::InstallationRepositories(_)
        | Incoming::Ignored(_) => None,
    }
}
