//! The outbox of commit statuses: which commits may be out of date at the forge.
//!
//! What to post is derived from the newest job's record at the moment of posting; a message here
//! carries nothing.

use crate::{
    bucket::{BucketError, Entry},
    commit::Commit,
    ledger::{Ledger, LedgerError},
    record::Job,
    streams,
};

impl Ledger {
    /// Writes a job into `commits` if it is that commit's newest, and tells the posters. Does
    /// nothing for a job without a context: calls post no status.
    ///
    /// # Errors
    /// NATS is away; the reconciler finds the difference later.
    pub async fn touch_status(&self, entry: &Entry<Job>) -> Result<(), LedgerError> {
        let keys = self.enter_commits(entry).await?;
        self.publish_statuses(&keys).await
    }

    /// The first half of [`Ledger::touch_status`]: the keys under which the posters are to be told.
    pub(crate) async fn enter_commits(&self, entry: &Entry<Job>) -> Result<Vec<String>, LedgerError> {
        let job = &entry.value;
        let (Some(repo), Some(sha)) = (job.repo, &job.sha) else { return Ok(Vec::new()) };
        let mut keys = Vec::new();
        for context in job.contexts() {
            let fresh = Commit::of_job(repo, sha, context, job.id, entry.created_revision());
            keys.push(self.enter_commit(fresh, job.attempt).await?);
        }
        Ok(keys)
    }

    /// Enters a commit that a delivery brought which waits for an approval; a job's entry stays.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn enter_commit_of(&self, fresh: Commit) -> Result<String, LedgerError> {
        self.enter_commit(fresh, 0).await
    }

    /// `attempt` tells how likely an entry is there already.
    async fn enter_commit(&self, fresh: Commit, attempt: u32) -> Result<String, LedgerError> {
        let key = streams::commit_key(fresh.repo, &fresh.sha, &fresh.context);
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
                Some(found) if !found.value.gives_way_to(&fresh) => return Ok(key),
                Some(found) => {
                    let newer = found.value.taken_over_by(&fresh);
                    self.commits.update(&key, &newer, found.revision).await
                }
            };
        }
    }

    /// Tells the posters of each of these.
    pub(crate) async fn publish_statuses(&self, keys: &[String]) -> Result<(), LedgerError> {
        for key in keys {
            self.publish_status(key).await?;
        }
        Ok(())
    }

    /// Says that a commit's status may be out of date.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn publish_status(&self, commit_key: &str) -> Result<(), LedgerError> {
        let refused = |error| LedgerError::nats("queue a status", error);
        self.js
            .publish(format!("statuses.{commit_key}"), "".into())
            .await
            .map_err(refused)?
            .await
            .map_err(refused)?;
        Ok(())
    }
}
