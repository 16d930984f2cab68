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
        let spec = JobSpec { untrusted: rerun.untrusted || !is_known, sha: sha.or(rerun.sha), ..rerun };
        Ok(NewJob { spec, rerun_event: event })
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
