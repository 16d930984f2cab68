//! Approval of a held pull request by an owner, for the commit that the owner reviewed.
//!
//! The approval names a commit, and a newer one invalidates it: what runs is never a commit that came after the
//! review.

use hooks::incoming::PullRequest;
use jobs::{CommitApproval, CommitSha, Delivery, DeliveryReason, JobId, Verdict, bucket::Entry};

use crate::{auth::identity::Identity, deliveries::Deliveries, error::ApiError};

/// Whether this delivery was approved.
pub(crate) fn is_approved(delivery: &Delivery) -> bool {
    delivery.approval.commit.is_some()
}

impl Deliveries {
    /// Creates the job of a held pull request; approving twice is the same job.
    pub(crate) async fn approve_pull_request(
        &self,
        caller: &Identity,
        entry: Entry<Delivery>,
        pull: &PullRequest,
        sha: Option<&CommitSha>,
    ) -> Result<Entry<Delivery>, ApiError> {
        let sha = sha.ok_or_else(|| ApiError::BadRequest("sha: the commit is missing".to_owned()))?;
        let missing = || ApiError::NotFound("repository");
        let id = entry.value.repo.ok_or_else(missing)?;
        let repo = self.access.repo(&id.to_string()).await?.ok_or_else(missing)?.value;
        let conflict = |why: String| Err(ApiError::Conflict(why));
        if *sha != pull.head_sha {
            return conflict(format!("this delivery is of commit {}, not of {sha}", pull.head_sha));
        }
        match (entry.value.verdict, is_approved(&entry.value)) {
            (Some(Verdict::Accepted | Verdict::Duplicate), true) => return Ok(entry),
            // Refused: the queue was full then.
            (Some(Verdict::Held), _) | (Some(Verdict::Refused) | None, true) => {}
            (Some(Verdict::Ignored), true) => return conflict(DeliveryReason::Outdated.to_string()),
            (
                Some(Verdict::Accepted | Verdict::Duplicate | Verdict::Ignored | Verdict::Refused) | None,
                false,
            ) => return conflict("this delivery is not held".to_owned()),
        }
        match self.head_commit(&pull.reference(), &repo).await? {
            Some(head) if head == *sha => {}
            Some(head) => {
                return conflict(format!(
                    "{}: {head}; approve the delivery that brought it",
                    DeliveryReason::Outdated
                ));
            }
            None => return conflict("the pull request was closed".to_owned()),
        }
        let job = JobId::new();
        let is_full = !self.jobs.reserve_all(repo.owner, &[job]).await?;
        let approved = |now: &Entry<Delivery>| {
            let waits = match now.value.verdict {
                Some(Verdict::Held) => true,
                Some(Verdict::Refused) => is_approved(&now.value),
                Some(Verdict::Accepted | Verdict::Duplicate | Verdict::Ignored) | None => false,
            };
            waits.then(|| {
                let mut next = now.value.clone();
                let approval = CommitApproval { sha: sha.clone(), by: caller.user.id };
                next.approval.commit = Some((&approval).into());
                let reason = is_full.then_some(DeliveryReason::QueueFull);
                Delivery { verdict: None, jobs: vec![job], reason, ..next }
            })
        };
        let changed = self.ledger.deliveries.change(&entry.key, approved).await?;
        let entry = changed.ok_or(ApiError::NotFound("delivery"))?;
        let done = self.finish_delivery(entry, Some(&repo)).await?;
        tracing::info!(delivery = done.key, user = %caller.user.id, %sha, "pull request approved");
        match done.value.verdict {
            Some(Verdict::Ignored) => {
                conflict(done.value.reason.map(|reason| reason.to_string()).unwrap_or_default())
            }
            Some(Verdict::Refused) => Err(ApiError::TooMany(DeliveryReason::QueueFull.to_string())),
            Some(Verdict::Accepted | Verdict::Duplicate | Verdict::Held) | None => Ok(done),
        }
    }
}
