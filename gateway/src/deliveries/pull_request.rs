//! A pull request: a job of its newest commit, fetched from the base repository alone.
//!
//! One from a fork is a stranger's program: it is held until an owner approves its commit, unless the
//! registration says otherwise, and it never gets secrets. The same commit of the same pull request is
//! one job, whatever the event that brought it: opened, no draft any more, or a redelivery.

use hooks::incoming::{PullRequest, PullRequestAction};
use jobs::{Delivery, DeliveryReason, JobId, NewJob, Repo, Trigger, Verdict};

use crate::{
    deliveries::{
        Deliveries,
        approval_status::PULL_REQUEST,
        approved_run,
        create_job::{Decided, rerun_of},
        push::PUSH,
        ref_heads::Moved,
    },
    error::ApiError,
};

impl Deliveries {
    pub(super) async fn run_pull(
        &self,
        delivery: &Delivery,
        pull: &PullRequest,
        repo: &Repo,
    ) -> Result<Decided, ApiError> {
        let moved = Moved::of_pull(pull);
        // A crash may have moved the head already; then GitHub's word for it is left.
        let older = self.newest(&moved.reference, repo).await?.filter(|older| *older != moved.after);
        let older = older.or_else(|| pull.previous_sha.clone());
        if pull.action == PullRequestAction::Closed {
            self.remove_ref(&moved.reference, repo).await?;
            self.show_void(repo, older.as_ref().unwrap_or(&moved.after)).await?;
            return Ok(Decided::because(Verdict::Ignored, DeliveryReason::PullRequestClosed));
        }
        let Some(job) = delivery.jobs.first().copied() else {
            let held = self.hold(delivery, &moved, repo).await?;
            if held.verdict == Verdict::Held && delivery.replay_of.is_none() {
                let key = Delivery::key(&delivery.hook, &delivery.delivery_id);
                self.show_waiting(repo, pull, &key).await?;
            }
            if let Some(older) = older {
                self.show_void(repo, &older).await?;
            }
            return Ok(held);
        };
        if approved_run::is_in(delivery) && self.ledger.job(job).await?.is_none() {
            let newest = self.newest(&moved.reference, repo).await?;
            if newest.as_ref() != Some(&moved.after) {
                return Ok(Decided::because(Verdict::Ignored, DeliveryReason::Outdated));
            }
        }
        if delivery.replay_of.is_none()
            && let Some(earlier) = self.seen_before(&moved, repo, job).await?
        {
            self.move_head(&moved, repo, Some(earlier)).await?;
            return Ok(Decided::duplicate_of(earlier));
        }
        let same_as = self.twin_of(repo, pull).await?;
        let new = NewJob { same_as, ..new_job(delivery, pull, repo, job) };
        self.make(delivery, new, Some((&moved, repo))).await
    }

    /// The job of the push that brought the same commit, where the registration wants it to answer for both.
    async fn twin_of(&self, repo: &Repo, pull: &PullRequest) -> Result<Option<JobId>, ApiError> {
        if pull.from_fork {
            return Ok(None);
        }
        self.twin(repo, &pull.head_sha, PUSH).await
    }

    /// No job, but the newest commit is known from here on, so that an approval can name it. A replay
    /// brings no newer one.
    async fn hold(&self, delivery: &Delivery, moved: &Moved, repo: &Repo) -> Result<Decided, ApiError> {
        if delivery.replay_of.is_none() {
            // A commit that was approved before needs no second approval, nor a second job.
            let earlier = self.made_before(moved, repo).await?;
            self.move_head(moved, repo, earlier).await?;
            if let Some(earlier) = earlier {
                return Ok(Decided::duplicate_of(earlier));
            }
        }
        Ok(Decided::because(Verdict::Held, DeliveryReason::AwaitsApproval))
    }
}

/// The base's commit is what path filters compare with.
fn new_job(delivery: &Delivery, pull: &PullRequest, repo: &Repo, id: JobId) -> NewJob {
    NewJob {
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
        ..NewJob::call(repo.owner, repo.url.clone())
    }
}
