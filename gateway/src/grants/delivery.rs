//! Grants the status of a delivery that awaits approval.

use hooks::{Incoming, incoming::PullRequest};
use jobs::{Delivery, Repo, Verdict, bucket::BucketError, grants::DeliveryGrant};

use crate::{
    deliveries::approval::status::PULL_REQUEST,
    grants::{Grants, status_grant},
    repos::credentials::{NotGranted, refused, unavailable},
};

/// The description of a commit that awaits approval.
const WAITS: &str = "waits for approval by an owner";

impl Grants {
    /// The status of a delivery that an entry in `commits` names.
    pub(crate) async fn delivery_grant(
        &self,
        commit: &str,
        delivery: &str,
        stale: Option<&str>,
    ) -> Result<DeliveryGrant, NotGranted> {
        let commit = self.claimed_commit(commit).await?;
        if commit.delivery() != Some(delivery) {
            return refused("the commit does not wait for this delivery");
        }
        let found = self.ledger.deliveries.get(delivery).await.map_err(unavailable)?;
        let Some(found) = found.map(|entry| entry.value) else { return refused("no such delivery") };
        let Some(pull) = pull_of(&found).filter(|pull| {
            pull.head_sha == *commit.sha()
                && found.repo == Some(commit.repo())
                && commit.context() == PULL_REQUEST
        }) else {
            return refused("the delivery is not of this commit");
        };
        let repo = self.ledger.repos.get(&commit.repo().to_string()).await.map_err(unavailable)?;
        let Some(repo) = repo.map(|entry| entry.value) else {
            return refused("the repository is not registered");
        };
        let (waits, description) = self.pending_status(&repo, &found, &pull).await.map_err(unavailable)?;
        let status_access = self.registrations.status_access(&repo, stale).await?;
        let page = self.page_urls.delivery(delivery);
        Ok(DeliveryGrant { status: status_grant(status_access, page.into()), waits, description })
    }

    async fn pending_status(
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
    match delivery.event()? {
        Incoming::PullRequest(pull) => Some(pull),
        Incoming::Push(_)
        | Incoming::Ping
        | Incoming::Rerequested(_)
        | Incoming::Installation(_)
        | Incoming::InstallationRepositories(_)
        | Incoming::Ignored(_) => None,
    }
}
