//! A branch or tag was deleted, or a pull request closed.

use hooks::GitRef;
use jobs::{
    CommitSha, RefHead, Repo, Stored, Trigger,
    bucket::{BucketError, Entry},
    head_key, push_key,
};

use crate::{deliveries::Deliveries, error::ApiError};

impl Deliveries {
    /// A deleted ref has no head, and the same push may come again. Jobs that wait or run only for a branch or tag
    /// that is gone are cancelled.
    pub(crate) async fn remove_ref(&self, reference: &str, repo: &Repo) -> Result<(), ApiError> {
        let key = head_key(repo.id, reference);
        let head = self.ledger.heads.get(&key).await?;
        if reference.parse::<GitRef>().is_ok() {
            self.cancel_jobs_of_ref(reference, head.as_ref(), repo).await?;
        }
        self.ledger.forget_live(repo.id, reference).await?;
        let Some(head) = head else { return Ok(()) };
        let seen = push_key(repo.id, reference, &head.value.after);
        if let Some(seen) = self.ledger.pushes.get(&seen).await? {
            ignore_conflict(self.ledger.pushes.delete(&seen.key, seen.revision).await)?;
        }
        ignore_conflict(self.ledger.heads.delete(&key, head.revision).await)?;
        self.budgets.ref_counts.removed(repo.id);
        Ok(())
    }
}

impl Deliveries {
    async fn cancel_jobs_of_ref(
        &self,
        reference: &str,
        head: Option<&Entry<RefHead>>,
        repo: &Repo,
    ) -> Result<(), ApiError> {
        // The index may not know the newest job yet.
        let mut jobs = {
            let repo = repo.id;
            self.index.run(move |tables| tables.open_jobs_of(repo)).await?
        };
        jobs.extend(head.and_then(|head| head.value.job));
        jobs.sort_unstable();
        jobs.dedup();
        for id in jobs {
            let Some(entry) = self.job_records.record(id).await? else { continue };
            let job = &entry.value;
            let of_event = match job.spec.trigger {
                Trigger::Push | Trigger::Tag | Trigger::PullRequest => true,
                // A caller requested these.
                Trigger::Call | Trigger::Rerun => false,
            };
            let is_of_ref = job.spec.repo == Some(repo.id)
                && job.spec.reference.as_ref().map(Stored::as_str) == Some(reference);
            if job.status.state.is_final() || !of_event || !is_of_ref {
                continue;
            }
            if let Some(sha) = &job.spec.sha
                && self.is_head_of_other_ref(sha, reference, repo).await?
            {
                continue;
            }
            let what = if reference.starts_with("refs/tags/") { "tag" } else { "branch" };
            self.jobs.cancel_because(id, &format!("the {what} was deleted")).await?;
        }
        Ok(())
    }

    /// Whether another ref of the repository points to this commit: then the job's status is shown for it too.
    async fn is_head_of_other_ref(
        &self,
        sha: &CommitSha,
        reference: &str,
        repo: &Repo,
    ) -> Result<bool, ApiError> {
        let own = head_key(repo.id, reference);
        for key in self.ledger.heads.subjects_under(&format!("{}.", repo.id)).await? {
            if key != own
                && let Some(head) = self.ledger.heads.get(&key).await?
                && head.value.after == *sha
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A conflict means a concurrent write: then there is a newer push, which stays.
fn ignore_conflict(deleted: Result<(), BucketError>) -> Result<(), ApiError> {
    match deleted {
        Ok(()) | Err(BucketError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
