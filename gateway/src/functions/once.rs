//! Makes a signed call once, at all gateways together.
//!
//! What makes it once is entered in the bucket `idempotency` after the signature was verified, with the id that its
//! job gets, and charged to the function's owner as other keys are; over the owner's budget the oldest go first. The
//! entry lives for a day. A sender that got no answer, or was told of a failure, sends the same call again and must be
//! able to succeed: an entry whose job was not made is given back, and one whose job failed makes another one.

use jiff::{SignedDuration, Timestamp};
use jobs::{
    Cause, IdempotencyKey, Job, JobId, Repo, State,
    bucket::{BucketError, Entry},
};
use serde_json::Map;
use sha2::{Digest as _, Sha256};

use crate::functions::{access::FunctionAccess, refusal::Refusal};

/// Between an entry and its job there are two writes. An entry without a job that is older belongs to a gateway that
/// stopped in between.
const JOB_IS_MADE_WITHIN: SignedDuration = SignedDuration::from_secs(60);

/// A signed call that was not made before.
#[derive(Debug)]
pub(crate) struct SignedCall {
    /// The id that its job must get.
    pub(crate) job: JobId,
    at: String,
    entry: IdempotencyKey,
    revision: u64,
}

/// What is to become of a call that was received before.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Repeated {
    /// It is made, with this id of its job.
    Make(JobId),
    /// Its job is not over, or about to be made.
    InProgress,
    /// Its job ended well, or nobody knows any more how.
    Done,
}

impl FunctionAccess {
    /// Enters a verified call.
    pub(super) async fn enter(&self, repo: &Repo, once: &str) -> Result<SignedCall, Refusal> {
        // No header holds a NUL, so no caller's own idempotency key is like this.
        let at = IdempotencyKey::key(repo.owner, &format!("signed\0{}\0{once}", repo.id));
        let fresh = IdempotencyKey {
            owner: repo.owner,
            job: JobId::new(),
            request: hex::encode(Sha256::digest(once)),
            made: false,
            other: Map::new(),
        };
        let bucket = &self.ledger.idempotency;
        loop {
            match bucket.create(&at, &fresh).await {
                Ok(revision) => return Ok(SignedCall { job: fresh.job, at, entry: fresh, revision }),
                Err(BucketError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            let Some(found) = bucket.get(&at).await? else { continue };
            let job = match self.repeated(&found, fresh.job, Timestamp::now()).await? {
                Repeated::Make(job) => job,
                Repeated::InProgress => return Err(Refusal::InProgress),
                Repeated::Done => return Err(Refusal::Replayed(found.value.job)),
            };
            let entry = IdempotencyKey { job, ..fresh.clone() };
            match bucket.update(&at, &entry, found.revision).await {
                Ok(revision) => return Ok(SignedCall { job, at, entry, revision }),
                Err(BucketError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(super) async fn repeated(
        &self,
        found: &Entry<IdempotencyKey>,
        fresh: JobId,
        now: Timestamp,
    ) -> Result<Repeated, Refusal> {
        // The server removes it soon.
        if IdempotencyKey::is_expired(found.written_at, now) {
            return Ok(Repeated::Make(fresh));
        }
        let job = self.ledger.job(found.value.job).await.map_err(|error| Refusal::Api(error.into()))?;
        let is_old = now.duration_since(found.written_at) > JOB_IS_MADE_WITHIN;
        Ok(match job {
            Some(job) => of_job(&job.value, fresh),
            // Its record went with the owner's oldest, or was deleted.
            None if found.value.made => Repeated::Done,
            // The same id again: whoever entered it may still be about to make the job.
            None if is_old => Repeated::Make(found.value.job),
            None => Repeated::InProgress,
        })
    }

    /// Gives a call back whose job was not made: the same call may be made again at once.
    pub(crate) async fn give_back(&self, call: SignedCall) {
        match self.ledger.idempotency.delete(&call.at, call.revision).await {
            Ok(()) => {}
            // It was given to a later one already.
            Err(error) if error.is_conflict() => {}
            // The sender waits a minute for it then.
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::debug!(error = format!("{error:#}"), job = %call.job, "signed call not given back");
            }
        }
    }

    /// Notes that the job of a call was made: it stays made when the record of its job is gone.
    pub(crate) async fn note_made(&self, call: SignedCall) {
        let made = IdempotencyKey { made: true, ..call.entry };
        match self.ledger.idempotency.update(&call.at, &made, call.revision).await {
            Ok(_) => {}
            Err(error) if error.is_conflict() => {}
            // Until the record goes it tells the same.
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::debug!(error = format!("{error:#}"), job = %call.job, "job of a signed call not noted");
            }
        }
    }
}

/// What its job says of a repeated call: its sender was told of a failure and sends it again for another try.
fn of_job(job: &Job, fresh: JobId) -> Repeated {
    match (job.status.state, job.status.cause) {
        (State::Pending | State::Working, _) => Repeated::InProgress,
        (State::Finish | State::Error, None) => Repeated::Done,
        (State::Finish | State::Error, Some(cause)) => match cause {
            Cause::Skipped | Cause::Cancelled | Cause::Superseded => Repeated::Done,
            Cause::Exit
            | Cause::Timeout
            | Cause::Memory
            | Cause::Disk
            | Cause::Processes
            | Cause::Output
            | Cause::Manifest
            | Cause::Checkout
            | Cause::Prepare
            | Cause::Refused
            | Cause::Lost => Repeated::Make(fresh),
        },
    }
}
