//! Reruns a job, as a new one.

use jobs::{Job, JobId, Repo, audit::Action, bucket::Entry};

use crate::{auth::identity::Identity, error::ApiError, jobs::Jobs};

impl Jobs {
    /// Reruns a job for a caller: it is authorized as a new call, owning the old job is not enough.
    pub(crate) async fn rerun_for(&self, caller: &Identity, of: &Entry<Job>) -> Result<Entry<Job>, ApiError> {
        let repo = self.access.repo_of(&of.value).await?;
        if repo.as_ref().is_some_and(Repo::is_removing) {
            return Err(ApiError::Conflict("the job's repository is being removed".to_owned()));
        }
        if repo.is_some_and(|repo| !caller.can_view(&repo)) {
            return Err(ApiError::Forbidden("you may not call this job's repository any more".to_owned()));
        }
        let entry = self.rerun(of).await?;
        self.audit.write_with(caller, Action::JobRerun, entry.value.spec.id, Some(of.key.clone())).await;
        Ok(entry)
    }

    /// Reruns a job as a new one, for its original owner. The commit and the input stay the same.
    pub(crate) async fn rerun(&self, of: &Entry<Job>) -> Result<Entry<Job>, ApiError> {
        self.recheck_label(&of.value).await?;
        let new = self.job_records.rerun(of, JobId::new()).await?;
        self.check_queue(&new.spec).await?;
        if let Err(error) = self.copy_input(&of.value, &new.spec).await {
            self.budgets.release_job(&new.spec);
            return Err(error);
        }
        let entry = self.ledger.submit(new).await?;
        self.job_records.note(&entry).await;
        Ok(entry)
    }
}
