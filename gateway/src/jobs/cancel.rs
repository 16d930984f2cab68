//! Ends jobs before they are over.

use jobs::{Cause, Job, JobId, Outcome, RepoId, audit::Action, bucket::Entry};

use crate::{auth::identity::Identity, error::ApiError, jobs::Jobs};

impl Jobs {
    /// Ends a job at somebody's wish.
    pub(crate) async fn cancel_for(&self, caller: &Identity, job: JobId) -> Result<Entry<Job>, ApiError> {
        let outcome = Outcome::wished(Cause::Cancelled, "cancelled");
        let entry = self.ledger.end(job, &outcome).await?.ok_or(ApiError::NotFound("job"))?;
        self.job_records.note(&entry);
        // One that was over already is as it was.
        if entry.value.cause == Some(Cause::Cancelled) {
            self.audit.write(caller, Action::JobCancelled, job).await;
        }
        Ok(entry)
    }

    /// Ends every job of a registration; tells how many.
    pub(crate) async fn cancel_jobs_of(&self, repo: RepoId, why: &str) -> Result<usize, ApiError> {
        let mut cancelled = 0;
        for job in self.index.open_jobs_of(repo)? {
            cancelled += usize::from(self.cancel_because(job, why).await?);
        }
        Ok(cancelled)
    }

    /// Ends a job that is not over; tells whether this did it.
    pub(crate) async fn cancel_because(&self, job: JobId, why: &str) -> Result<bool, ApiError> {
        if self.ledger.job(job).await?.is_none_or(|entry| entry.value.state.is_final()) {
            return Ok(false);
        }
        let ended = self.ledger.end(job, &Outcome::wished(Cause::Cancelled, why)).await?;
        let Some(ended) = ended else { return Ok(false) };
        self.job_records.note(&ended);
        Ok(ended.value.message.as_deref() == Some(why))
    }
}
