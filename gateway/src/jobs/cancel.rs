//! Cancels jobs.

use jobs::{Cause, Job, JobId, Outcome, RepoId, audit::Action, bucket::Entry};

use crate::{auth::identity::Identity, error::ApiError, jobs::Jobs};

impl Jobs {
    /// Cancels a job for a caller.
    pub(crate) async fn cancel_for(&self, caller: &Identity, job: JobId) -> Result<Entry<Job>, ApiError> {
        let outcome = Outcome::wished(Cause::Cancelled, "cancelled");
        let entry = self.ledger.end(job, &outcome).await?.ok_or(ApiError::NotFound("job"))?;
        self.job_records.note(&entry).await;
        // A job that was final already is unchanged.
        if entry.value.status.cause == Some(Cause::Cancelled) {
            self.audit.write(caller, Action::JobCancelled, job).await;
        }
        Ok(entry)
    }

    /// Cancels every open job of a registration; returns how many.
    pub(crate) async fn cancel_jobs_of(&self, repo: RepoId, why: &str) -> Result<usize, ApiError> {
        let mut cancelled = 0;
        for job in self.index.run(move |tables| tables.open_jobs_of(repo)).await? {
            cancelled += usize::from(self.cancel_because(job, why).await?);
        }
        Ok(cancelled)
    }

    /// Cancels a job that is not final; returns whether this call did it.
    pub(crate) async fn cancel_because(&self, job: JobId, why: &str) -> Result<bool, ApiError> {
        if self.ledger.job(job).await?.is_none_or(|entry| entry.value.status.state.is_final()) {
            return Ok(false);
        }
        let ended = self.ledger.end(job, &Outcome::wished(Cause::Cancelled, why)).await?;
        let Some(ended) = ended else { return Ok(false) };
        self.job_records.note(&ended).await;
        Ok(ended.value.status.message.as_deref() == Some(why))
    }
}
