//! The outbox of commit statuses: which commits may be out of date at the forge.
//!
//! What to post is derived from the newest job's record at the moment of posting; a message here
//! carries nothing.

use serde_json::Map;

use crate::{
    bucket::{BucketError, Entry},
    commit::{Commit, Doubts},
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
        match self.enter_commit(entry).await? {
            Some(key) => self.publish_status(&key).await,
            None => Ok(()),
        }
    }

    /// The first half of [`Ledger::touch_status`]: the key under which the posters are to be told.
    pub(crate) async fn enter_commit(&self, entry: &Entry<Job>) -> Result<Option<String>, LedgerError> {
        let job = &entry.value;
        let (Some(repo), Some(sha), Some(context)) = (job.repo, &job.sha, &job.context) else {
            return Ok(None);
        };
        let key = streams::commit_key(repo, sha, context);
        let fresh = Commit {
            repo,
            sha: sha.clone(),
            context: context.clone(),
            job: job.id,
            created_revision: entry.created_revision(),
            posted: None,
            poster: None,
            refused: None,
            refused_state: None,
            check_run: None,
            check_run_unsure: false,
            doubts: Doubts::default(),
            other: Map::new(),
        };
        // Most often there is none yet, so nobody is asked first.
        let mut written = match job.attempt {
            0 => self.commits.create(&key, &fresh).await,
            _ => Err(BucketError::Conflict { key: key.clone() }),
        };
        loop {
            match written {
                Ok(_) => return Ok(Some(key)),
                Err(BucketError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            written = match self.commits.get(&key).await? {
                None => self.commits.create(&key, &fresh).await,
                Some(found)
                    if found.value.job == job.id
                        || found.value.created_revision >= fresh.created_revision =>
                {
                    return Ok(Some(key));
                }
                Some(found) => {
                    let newer = Commit {
                        job: job.id,
                        created_revision: fresh.created_revision,
                        refused: None,
                        refused_state: None,
                        // A newer job has a run of its own.
                        check_run: None,
                        check_run_unsure: false,
                        doubts: found.value.doubts.for_newer_job(),
                        ..found.value.clone()
                    };
                    self.commits.update(&key, &newer, found.revision).await
                }
            };
        }
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
