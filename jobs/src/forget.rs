//! Forgetting a job that is over: its logs, its results, its input, what made its push once, and last its record.
//!
//! The record goes last, so that a forgetting which broke off is found and done again.

use crate::{
    Job, Ledger, LedgerError,
    bucket::Entry,
    push_key,
    streams::{self, commit_key},
};

impl Ledger {
    /// Removes all that is kept of a job. One that is not over, or was written since, stays; tells whether it
    /// is gone.
    ///
    /// # Errors
    /// NATS is away; then it can be done again.
    pub async fn forget(&self, entry: &Entry<Job>) -> Result<bool, LedgerError> {
        let job = &entry.value;
        if !job.status.state.is_final() {
            return Ok(false);
        }
        let purge = self.logs().purge().filter(streams::logs(job.spec.id));
        purge.await.map_err(|error| LedgerError::nats("purge a log", error))?;
        let has_long_result = job.status.result.as_ref().is_some_and(|result| !result.is_whole());
        // An attempt that was cancelled at its last moment may have left one as well.
        if has_long_result || job.status.attempt > 1 || job.status.cause == Some(crate::Cause::Cancelled) {
            for attempt in 1..=job.status.attempt {
                let removed = self.results.remove(job.spec.id, attempt).await;
                removed.map_err(|error| LedgerError::nats("remove a result", error))?;
            }
        }
        if job.spec.input.is_some() {
            let removed = self.inputs.remove(job.spec.id).await;
            removed.map_err(|error| LedgerError::nats("remove an input", error))?;
        }
        self.forget_push(job).await?;
        match self.jobs.delete(&entry.key, entry.revision).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_conflict() => Ok(self.jobs.get(&entry.key).await?.is_none()),
            Err(error) => Err(error.into()),
        }
    }

    /// The same push may come again, and the commit's status is no longer ours to tell.
    async fn forget_push(&self, job: &Job) -> Result<(), LedgerError> {
        let (Some(repo), Some(sha)) = (job.spec.repo, &job.spec.sha) else { return Ok(()) };
        if let Some(reference) = &job.spec.reference {
            let key = push_key(repo, reference.as_str(), sha);
            if let Some(seen) = self.pushes.get(&key).await?
                && seen.value.job == job.spec.id
            {
                deleted(self.pushes.delete(&key, seen.revision).await)?;
            }
        }
        for context in job.contexts() {
            let key = commit_key(repo, sha, context);
            if let Some(commit) = self.commits.get(&key).await?
                && commit.value.job() == job.spec.id
            {
                deleted(self.commits.delete(&key, commit.revision).await)?;
            }
        }
        Ok(())
    }
}

/// One that was written in between is another job's.
fn deleted(result: Result<(), crate::bucket::BucketError>) -> Result<(), LedgerError> {
    match result {
        Ok(()) => Ok(()),
        Err(error) if error.is_conflict() => Ok(()),
        Err(error) => Err(error.into()),
    }
}
