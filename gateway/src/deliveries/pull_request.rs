//! A pull request: a job of its head commit, fetched from the base repository only.
//!
//! Code from a fork is untrusted: it is held until an owner approves the commit, unless the registration says
//! otherwise, and it never gets secrets. The same commit of the same pull request is one job, whatever the event
//! that brought it: opened, ready for review, or a redelivery.

use hooks::incoming::{PullRequest, PullRequestAction};
use jobs::{Delivery, DeliveryReason, JobId, JobSpec, Repo, Trigger, Verdict};

use crate::{
    deliveries::{
        Deliveries,
        approval::{pull_request::is_approved, status::PULL_REQUEST},
        create_job::{Resolution, rerun_of},
        push::PUSH,
        ref_heads::RefUpdate,
    },
    error::ApiError,
};

impl Deliveries {
    pub(super) async fn run_pull_request(
        &self,
        delivery: &Delivery,
        pull: &PullRequest,
        repo: &Repo,
    ) -> Result<Resolution, ApiError> {
        let update = RefUpdate::of_pull(pull);
        // A crash may have updated the head already; then the payload names the previous commit.
        let older = self.head_commit(&update.reference, repo).await?.filter(|older| *older != update.after);
        let older = older.or_else(|| pull.previous_sha.clone());
        if pull.action == PullRequestAction::Closed {
            self.remove_ref(&update.reference, repo).await?;
            self.refresh_approval_status(repo, older.as_ref().unwrap_or(&update.after)).await?;
            return Ok(Resolution::new(Verdict::Ignored, DeliveryReason::PullRequestClosed));
        }
        let Some(job) = delivery.jobs.first().copied() else {
            let held = self.hold_for_approval(delivery, &update, repo).await?;
            if held.verdict == Verdict::Held && delivery.replay_of.is_none() {
                let key = Delivery::key(&delivery.hook, &delivery.delivery_id);
                self.show_awaiting_approval(repo, pull, &key).await?;
            }
            if let Some(older) = older {
                self.refresh_approval_status(repo, &older).await?;
            }
            return Ok(held);
        };
        if is_approved(delivery) && self.ledger.job(job).await?.is_none() {
            let head = self.head_commit(&update.reference, repo).await?;
            if head.as_ref() != Some(&update.after) {
                return Ok(Resolution::new(Verdict::Ignored, DeliveryReason::Outdated));
            }
        }
        if delivery.replay_of.is_none()
            && let Some(earlier) = self.find_duplicate_or_record(&update, repo, job).await?
        {
            self.update_head(&update, repo, Some(earlier)).await?;
            return Ok(Resolution::duplicate_of(earlier));
        }
        let same_as = self.equivalent_push_job(repo, pull).await?;
        let new = JobSpec { same_as, ..new_job(delivery, pull, repo, job) };
        self.create_job(delivery, new, Some((&update, repo))).await
    }

    /// The job of the push of the same commit, where the registration lets it count for both.
    async fn equivalent_push_job(&self, repo: &Repo, pull: &PullRequest) -> Result<Option<JobId>, ApiError> {
        if pull.from_fork {
            return Ok(None);
        }
        self.equivalent_job(repo, &pull.head_sha, PUSH).await
    }

    /// Creates no job, but updates the head, so that an approval can name the commit. A replay brings no newer one.
    async fn hold_for_approval(
        &self,
        delivery: &Delivery,
        update: &RefUpdate,
        repo: &Repo,
    ) -> Result<Resolution, ApiError> {
        if delivery.replay_of.is_none() {
            // A commit that was approved before needs neither a second approval nor a second job.
            let earlier = self.find_duplicate(update, repo).await?;
            self.update_head(update, repo, earlier).await?;
            if let Some(earlier) = earlier {
                return Ok(Resolution::duplicate_of(earlier));
            }
        }
        Ok(Resolution::new(Verdict::Held, DeliveryReason::AwaitsApproval))
    }
}

/// Path filters compare with the base's commit.
fn new_job(delivery: &Delivery, pull: &PullRequest, repo: &Repo, id: JobId) -> JobSpec {
    JobSpec {
        id,
        trigger: Trigger::PullRequest,
        label: repo.label.clone(),
        repo: Some(repo.id),
        reference: Some(pull.reference().into()),
        sha: Some(pull.head_sha.clone()),
        before: pull.base_sha.clone(),
        paths: repo.paths.clone(),
        untrusted: pull.from_fork,
        name: repo.name.clone(),
        context: repo.posts.then(|| PULL_REQUEST.to_owned()),
        rerun_of: rerun_of(delivery),
        ..JobSpec::call(repo.owner, repo.url.clone())
    }
}
