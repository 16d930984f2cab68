//! A push: one job, unless the same push made one before.

use hooks::{GitRef, Push};
use jobs::{Delivery, JobId, NewJob, Repo, Trigger, Verdict};

use super::{
    HEAD_REVISION,
    heads::Moved,
    made::{Decided, rerun_of},
};
use crate::{error::ApiError, gateway::Gateway};

impl Gateway {
    pub(super) async fn run_push(
        &self,
        delivery: &Delivery,
        push: &Push,
        repo: &Repo,
    ) -> Result<Decided, ApiError> {
        let over = delivery.other.get(HEAD_REVISION).and_then(serde_json::Value::as_u64);
        let moved = Moved::of_push(push).map(|moved| Moved { over, ..moved });
        let (Some(moved), Some(job)) = (moved, delivery.jobs.first().copied()) else {
            self.remove_ref(push.reference.as_str(), repo).await?;
            return Ok(Decided::because(Verdict::Ignored, "the ref was removed"));
        };
        if delivery.replay_of.is_none()
            && let Some(earlier) = self.seen_before(&moved, repo, job).await?
        {
            if push.made_up {
                self.move_head(&moved, repo, Some(earlier)).await?;
            }
            return Ok(Decided::duplicate_of(earlier));
        }
        self.make(delivery, new_job(delivery, push, repo, job), Some((&moved, repo))).await
    }
}

fn new_job(delivery: &Delivery, push: &Push, repo: &Repo, id: JobId) -> NewJob {
    let (trigger, context) = kind(&push.reference);
    NewJob {
        id,
        trigger,
        label: repo.label.clone(),
        repo: Some(repo.id),
        reference: Some(push.reference.to_string()),
        sha: push.commit().cloned(),
        before: push.before.clone(),
        paths: repo.paths.clone(),
        name: repo.name.clone(),
        context: repo.posts.then(|| context.to_owned()),
        rerun_of: rerun_of(delivery),
        ..NewJob::call(repo.owner, repo.url.clone())
    }
}

fn kind(reference: &GitRef) -> (Trigger, &'static str) {
    match reference.tag() {
        Some(_) => (Trigger::Tag, "gitfaas/tag"),
        None => (Trigger::Push, "gitfaas/push"),
    }
}
