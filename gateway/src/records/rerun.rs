//! Reruns a job: copies what was signed, and nothing else.

use jobs::{
    CommitSha, Filter, Job, JobId, JobSpec, NewJob, RepoId, Stored, Trigger, bucket::Entry, head_key,
    push_key,
};

use crate::{crypto::record_verifier::SignatureStatus, error::ApiError, records::JobRecords};

/// Why a job cannot be rerun.
const UNSIGNED: &str =
    "the job was made before records were signed, so it cannot be repeated; make a new one";

impl JobRecords {
    /// A new job that repeats this one. Its paths are not filtered, but an untrusted commit stays untrusted.
    ///
    /// # Errors
    /// The record is not signed: its content cannot be trusted.
    pub(crate) async fn rerun(&self, of: &Entry<Job>, id: JobId) -> Result<NewJob, ApiError> {
        let (event, sha) = match self.verifier.signature_status(of) {
            SignatureStatus::Signed(signature) => (signature.event, signature.sha),
            SignatureStatus::Upgrading => (self.event_of(&of.value).await?, of.value.spec.sha.clone()),
            SignatureStatus::Legacy => return Err(ApiError::Conflict(UNSIGNED.to_owned())),
            SignatureStatus::Rejected(_) => return Err(ApiError::NotFound("job")),
        };
        let is_known = match (&sha, &of.value.spec.sha, of.value.spec.repo) {
            // A worker resolved the ref to this commit, which may come from a fork.
            (None, Some(found), Some(repo)) => {
                self.was_on_ref(repo, of.value.spec.reference.as_ref().map(Stored::as_str), found).await?
            }
            (Some(_), _, _) | (None, None, _) | (None, Some(_), None) => true,
        };
        let rerun = copy_of(&of.value.spec, id);
        let spec = JobSpec {
            untrusted: rerun.untrusted || !is_known,
            sha: sha.or(rerun.sha),
            push_revision: push_revision(of),
            ..rerun
        };
        Ok(NewJob { spec, rerun_event: event })
    }

    /// What orders a push that repeats this job's; `None` where that is not known any more.
    pub(crate) async fn push_revision_of(&self, job: JobId) -> Result<Option<u64>, ApiError> {
        Ok(self.record(job).await?.as_ref().and_then(push_revision))
    }

    /// Whether a forge reported this commit on this branch or tag; without a ref, as the head of a branch.
    async fn was_on_ref(
        &self,
        repo: RepoId,
        reference: Option<&str>,
        sha: &CommitSha,
    ) -> Result<bool, ApiError> {
        let Some(reference) = reference else { return self.is_branch_head(repo, sha).await };
        let full: Vec<String> = match reference.starts_with("refs/") {
            true => vec![reference.to_owned()],
            false => vec![format!("refs/heads/{reference}"), format!("refs/tags/{reference}")],
        };
        for full in full {
            let head = self.ledger.heads.get(&head_key(repo, &full)).await?;
            if head.is_some_and(|head| head.value.after == *sha)
                || self.ledger.pushes.get(&push_key(repo, &full, sha)).await?.is_some()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn is_branch_head(&self, repo: RepoId, sha: &CommitSha) -> Result<bool, ApiError> {
        for key in self.ledger.heads.subjects_under(&format!("{repo}.")).await? {
            if let Some(head) = self.ledger.heads.get(&key).await?
                && head.value.after == *sha
                && head.value.reference.is_some_and(|reference| reference.as_str().starts_with("refs/heads/"))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What orders the repeated push among the pushes of its ref; `None` of what is no push of a branch or tag.
fn push_revision(of: &Entry<Job>) -> Option<u64> {
    match of.value.spec.trigger {
        // Workers write the first one too, and none is larger than the record's newest.
        Trigger::Push | Trigger::Tag => {
            of.value.spec.push_revision.or_else(|| Some(of.created_revision().min(of.revision)))
        }
        Trigger::Rerun => of.value.spec.push_revision,
        Trigger::Call | Trigger::PullRequest => None,
    }
}

fn copy_of(of: &JobSpec, id: JobId) -> JobSpec {
    JobSpec {
        id,
        trigger: Trigger::Rerun,
        paths: Filter::default(),
        same_as: None,
        rerun_of: Some(of.id),
        ..of.clone()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jobs::UserId;
    use test_case::test_case;

    use super::*;

    #[test_case(Trigger::Push, None, Some(3) => Some(3) ; "a push")]
    #[test_case(Trigger::Tag, None, None => Some(9) ; "a tag whose record was never changed")]
    #[test_case(Trigger::Push, None, Some(99) => Some(9) ; "a revision that never was")]
    #[test_case(Trigger::Push, Some(2), Some(3) => Some(2) ; "a replay")]
    #[test_case(Trigger::Rerun, Some(2), Some(3) => Some(2) ; "a rerun")]
    #[test_case(Trigger::Rerun, None, Some(3) => None ; "a rerun of a call")]
    #[test_case(Trigger::Call, None, Some(3) => None)]
    #[test_case(Trigger::PullRequest, None, Some(3) => None)]
    fn orders_pushes(trigger: Trigger, push_revision: Option<u64>, created: Option<u64>) -> Option<u64> {
        let call = JobSpec::call(UserId::new(), "https://example.com/r");
        let mut job = Job::new(JobSpec { trigger, push_revision, ..call });
        job.status.created_revision = created;
        super::push_revision(&Entry {
            key: job.spec.id.to_string(),
            value: job,
            revision: 9,
            written_at: Timestamp::UNIX_EPOCH,
        })
    }
}
