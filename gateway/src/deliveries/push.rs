//! A push: one job, unless the same push created one before. A push of a merge queue counts as a pull request.

use std::collections::VecDeque;

use hooks::{Forge, GitRef, Push};
use jobs::{
    CommitSha, Delivery, DeliveryReason, JobId, JobSpec, Outcome, PullRequests, Repo, RepoEvent, StoredJson,
    Trigger, Verdict, git_ref::merge_queue_target, streams::commit_key,
};

use crate::{
    deliveries::{
        Deliveries,
        approval::status::PULL_REQUEST,
        create_job::{Resolution, rerun_of},
        ref_heads::RefUpdate,
    },
    error::ApiError,
    repos::forge_kind::forge_of,
};

/// The status context of pushes to branches.
pub(super) const PUSH: &str = "gitfaas/push";

impl Deliveries {
    pub(super) async fn run_push(
        &self,
        delivery: &Delivery,
        push: &Push,
        repo: &Repo,
    ) -> Result<Resolution, ApiError> {
        let replaces = delivery.plan.head_revision.as_ref().and_then(StoredJson::get);
        let update = RefUpdate::of_push(push).map(|update| RefUpdate { replaces, ..update });
        let (Some(update), Some(job)) = (update, delivery.jobs.first().copied()) else {
            self.remove_ref(push.reference.as_str(), repo).await?;
            return Ok(Resolution::new(Verdict::Ignored, DeliveryReason::RefRemoved));
        };
        if delivery.replay_of.is_none()
            && let Some(earlier) = self.find_duplicate_or_record(&update, repo, job).await?
        {
            if push.synthetic {
                self.update_head(&update, repo, Some(earlier)).await?;
            }
            return Ok(Resolution::duplicate_of(earlier));
        }
        // A replay repeats its push and comes where that came.
        let push_revision = match rerun_of(delivery) {
            Some(repeated) => self.job_records.push_revision_of(repeated).await?,
            None => None,
        };
        let new = JobSpec { push_revision, ..new_job(delivery, push, repo, job) };
        if is_skipped_job(repo, push) {
            return self.create_skipped_job(new, &update, repo).await;
        }
        let same_as = match (&new.sha, new.trigger) {
            (Some(sha), Trigger::Push) => self.equivalent_job(repo, sha, PULL_REQUEST).await?,
            (Some(_) | None, _) => None,
        };
        self.create_job(delivery, JobSpec { same_as, ..new }, Some((&update, repo))).await
    }

    /// A job that ends before it begins, because the commit asks for no run; the previous job of the ref goes on.
    async fn create_skipped_job(
        &self,
        new: JobSpec,
        update: &RefUpdate,
        repo: &Repo,
    ) -> Result<Resolution, ApiError> {
        let job = new.id;
        let entry = self
            .ledger
            .record_ended(new, &Outcome::Skipped { why: DeliveryReason::SkippedByCommit.to_string() })
            .await?;
        self.job_records.note(&entry).await;
        self.update_head(update, repo, None).await?;
        self.ledger.mark_status_dirty(&entry).await?;
        Ok(Resolution {
            jobs: vec![job],
            ..Resolution::new(Verdict::Accepted, DeliveryReason::SkippedByCommit)
        })
    }

    /// The job of the same commit under `context` whose result counts for the other event too.
    pub(super) async fn equivalent_job(
        &self,
        repo: &Repo,
        sha: &CommitSha,
        context: &str,
    ) -> Result<Option<JobId>, ApiError> {
        match repo.pull_requests {
            PullRequests::Run => return Ok(None),
            PullRequests::Reuse => {}
        }
        let Some(commit) = self.ledger.commits.get(&commit_key(repo.id, sha, context)).await? else {
            return Ok(None);
        };
        // Workers write commit entries too: the job that one names is checked against its signed record.
        let Some(entry) = self.job_records.record(commit.value.job()).await? else { return Ok(None) };
        let job = &entry.value;
        if job.spec.repo != Some(repo.id) || job.spec.sha.as_ref() != Some(sha) {
            return Ok(None);
        }
        // A merge group's job is neither a push's nor a pull request's alone.
        let of_queue = job.spec.reference.as_ref().and_then(|name| name.get()?.as_git_ref());
        let of_queue =
            of_queue.is_some_and(|name| name.branch().is_some_and(|it| merge_queue_target(it).is_some()));
        let is_plain = match job.spec.trigger {
            Trigger::Push | Trigger::PullRequest => {
                !job.spec.untrusted && job.spec.same_as.is_none() && !of_queue
            }
            Trigger::Tag | Trigger::Call | Trigger::Rerun => false,
        };
        let agrees = is_plain && self.secret_store.same_secrets_for_all_events(repo.id).await?;
        Ok(agrees.then_some(job.spec.id))
    }
}

/// Whether a push only creates a skipped job. Pushes of a merge queue are never skipped: they would merge untested.
pub(super) fn is_skipped_job(repo: &Repo, push: &Push) -> bool {
    push.asks_to_skip() && merge_queue_branch(repo, push).is_none()
}

/// The target branch of a push of GitHub's merge queue.
pub(super) fn merge_queue_branch<'a>(repo: &Repo, push: &'a Push) -> Option<&'a str> {
    match forge_of(repo) {
        Forge::Github => merge_queue_target(push.reference.branch()?),
        Forge::Gitea | Forge::Gitlab | Forge::Plain => None,
    }
}

fn new_job(delivery: &Delivery, push: &Push, repo: &Repo, id: JobId) -> JobSpec {
    let (trigger, mut contexts) = match merge_queue_branch(repo, push) {
        // It may contain code of forks, so it has the rights of a pull request. It reports every context that a
        // required check may name.
        Some(_) => {
            let asked = [(RepoEvent::Push, PUSH), (RepoEvent::PullRequest, PULL_REQUEST)];
            let contexts = asked.into_iter().filter(|(event, _)| repo.events.contains(event));
            (Trigger::PullRequest, contexts.map(|(_, context)| context.to_owned()).collect())
        }
        None => {
            let (trigger, context) = kind(&push.reference);
            (trigger, VecDeque::from([context.to_owned()]))
        }
    };
    let context = contexts.pop_front().filter(|_| repo.posts);
    JobSpec {
        id,
        trigger,
        label: repo.label.clone(),
        repo: Some(repo.id),
        reference: Some(push.reference.clone().into()),
        sha: push.commit().cloned(),
        before: push.before.clone(),
        paths: repo.paths.clone(),
        name: repo.name.clone(),
        also_contexts: context.as_ref().map(|_| contexts.into()).unwrap_or_default(),
        context,
        rerun_of: rerun_of(delivery),
        ..JobSpec::call(repo.owner, repo.url.clone())
    }
}

fn kind(reference: &GitRef) -> (Trigger, &'static str) {
    match reference.tag() {
        Some(_) => (Trigger::Tag, "gitfaas/tag"),
        None => (Trigger::Push, PUSH),
    }
}
