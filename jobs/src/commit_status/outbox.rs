//! Which commits may be out of date at the forge: entries of `commits`, and messages of `STATUSES`.
//!
//! What to post is derived from the newest job's record at the moment of posting; a message here
//! carries nothing.

use crate::{
    bucket::{BucketError, Entry},
    commit_status::CommitStatus,
    ledger::{Ledger, LedgerError},
    record::Job,
    streams,
};

impl Ledger {
    /// Writes a job into `commits` if it is that commit's newest, and notifies the posters. Does
    /// nothing for a job without a context: calls post no status.
    ///
    /// # Errors
    /// NATS is away; the reconciler finds the difference later.
    pub async fn mark_status_dirty(&self, entry: &Entry<Job>) -> Result<(), LedgerError> {
        let keys = self.enter_job_statuses(entry).await?;
        self.publish_statuses(&keys).await
    }

    /// The first half of [`Ledger::mark_status_dirty`]: the keys of which the posters are to be notified.
    pub(crate) async fn enter_job_statuses(&self, entry: &Entry<Job>) -> Result<Vec<String>, LedgerError> {
        let job = &entry.value;
        let (Some(repo), Some(sha)) = (job.spec.repo, &job.spec.sha) else { return Ok(Vec::new()) };
        let mut keys = Vec::new();
        for context in job.contexts() {
            let fresh = CommitStatus::of_job(repo, sha, context, job.spec.id, entry.created_revision());
            keys.push(self.enter_status(fresh, job.status.attempt).await?);
        }
        Ok(keys)
    }

    /// Enters a commit that a delivery brought which waits for an approval; a job's entry stays.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn enter_delivery_status(&self, fresh: CommitStatus) -> Result<String, LedgerError> {
        self.enter_status(fresh, 0).await
    }

    /// `attempt` tells how likely an entry is there already.
    async fn enter_status(&self, fresh: CommitStatus, attempt: u32) -> Result<String, LedgerError> {
        let key = streams::commit_key(fresh.repo(), fresh.sha(), fresh.context());
        // Most often there is none yet, so nobody is asked first.
        let mut written = match attempt {
            0 => self.commits.create(&key, &fresh).await,
            _ => Err(BucketError::Conflict { key: key.clone() }),
        };
        loop {
            match written {
                Ok(_) => return Ok(key),
                Err(BucketError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            written = match self.commits.get(&key).await? {
                None => self.commits.create(&key, &fresh).await,
                Some(found) => match found.value.superseded_by(&fresh) {
                    None => return Ok(key),
                    Some(newer) => self.commits.update(&key, &newer, found.revision).await,
                },
            };
        }
    }

    /// Notifies the posters of each of these.
    pub(crate) async fn publish_statuses(&self, keys: &[String]) -> Result<(), LedgerError> {
        for key in keys {
            self.publish_status(key).await?;
        }
        Ok(())
    }

    /// Notifies the posters that a commit's status may be out of date.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn publish_status(&self, commit_key: &str) -> Result<(), LedgerError> {
        let failed = |error| LedgerError::nats("queue a status", error);
        self.js
            .publish(format!("statuses.{commit_key}"), "".into())
            .await
            .map_err(failed)?
            .await
            .map_err(failed)?;
        Ok(())
    }
}
