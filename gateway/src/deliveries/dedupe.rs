//! Deduplication by content: the same event creates one job, whatever the id of its delivery.

use jobs::{Cause, JobId, Repo, SeenPush, bucket::BucketError, push_key};
use serde_json::Map;

use crate::{
    deliveries::{Deliveries, ref_heads::RefUpdate},
    error::ApiError,
};

/// What makes two events duplicates of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DedupeKey {
    /// The ref and its old and new commit: a branch that is forced back is another push.
    BeforeAndAfter,
    /// The ref and its new commit: of pull requests, whose events do not all name the old one, and of synthetic
    /// pushes.
    After,
}

impl RefUpdate {
    fn is_duplicate_of(&self, seen: &SeenPush) -> bool {
        match self.dedupe_key {
            DedupeKey::After => true,
            DedupeKey::BeforeAndAfter => {
                seen.before == self.before || (seen.synthetic && seen.before.is_none())
            }
        }
    }
}

impl Deliveries {
    /// The job that the same event created before, if it can still stand for it. Otherwise the event is recorded
    /// as that of `job`.
    pub(super) async fn find_duplicate_or_record(
        &self,
        update: &RefUpdate,
        repo: &Repo,
        job: JobId,
    ) -> Result<Option<JobId>, ApiError> {
        let key = push_key(repo.id, &update.reference, &update.after);
        let synthetic = update.replaces.is_some();
        let seen = SeenPush { before: update.before.clone(), synthetic, job, other: Map::new() };
        loop {
            match self.ledger.pushes.create(&key, &seen).await {
                Ok(_) => return Ok(None),
                Err(BucketError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            let Some(found) = self.ledger.pushes.get(&key).await? else { continue };
            if found.value.job == job {
                return Ok(None);
            }
            if update.is_duplicate_of(&found.value) && self.is_reusable(found.value.job).await? {
                return Ok(Some(found.value.job));
            }
            match self.ledger.pushes.update(&key, &seen, found.revision).await {
                Ok(_) => return Ok(None),
                Err(BucketError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The job that the same event created before, if it can still stand for it. Nothing is recorded.
    pub(super) async fn find_duplicate(
        &self,
        update: &RefUpdate,
        repo: &Repo,
    ) -> Result<Option<JobId>, ApiError> {
        let key = push_key(repo.id, &update.reference, &update.after);
        match self.ledger.pushes.get(&key).await? {
            Some(seen) if update.is_duplicate_of(&seen.value) && self.is_reusable(seen.value.job).await? => {
                Ok(Some(seen.value.job))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// Whether a job stands for its event: not one that ended without a verdict on the commit. A record that does
    /// not exist yet belongs to a delivery that is being ingested.
    async fn is_reusable(&self, job: JobId) -> Result<bool, ApiError> {
        let Some(entry) = self.ledger.job(job).await? else { return Ok(true) };
        Ok(match entry.value.status.cause {
            Some(Cause::Superseded | Cause::Cancelled | Cause::Refused | Cause::Lost) => false,
            Some(
                Cause::Skipped
                | Cause::Exit
                | Cause::Timeout
                | Cause::Memory
                | Cause::Disk
                | Cause::Processes
                | Cause::Output
                | Cause::Manifest
                | Cause::Checkout
                | Cause::Prepare,
            )
            | None => true,
        })
    }
}
