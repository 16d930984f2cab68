//! Makes the job of a call of a function, for its owner.

use jiff::{SignedDuration, Timestamp};
use jobs::{IdempotencyKey, Input, Job, JobSpec, UserId, bucket::Entry};

use crate::{error::ApiError, jobs::Jobs};

/// Between an idempotency key and its job there are a few writes. A key without a job that is older belongs to a gateway
/// that stopped in between.
const JOB_IS_MADE_WITHIN: SignedDuration = SignedDuration::from_secs(60);

/// What makes a call once: an idempotency key and the request that it came with.
pub(crate) struct Once {
    /// Whose key it is.
    pub(crate) owner: UserId,
    /// The key, as its owner gave it.
    pub(crate) key: String,
    /// A digest of the request: the same key with another request is refused.
    pub(crate) request: String,
}

impl Jobs {
    /// Makes the job of a call, which was authorized; a repeated one with the same idempotency key is the same job.
    pub(crate) async fn call_function(
        &self,
        new: JobSpec,
        input: &Input,
        once: Option<Once>,
    ) -> Result<Entry<Job>, ApiError> {
        let mut new = new;
        let mut entered = None;
        if let Some(Once { owner, key, request }) = once {
            let at = IdempotencyKey::key(owner, &key);
            let found = self.enter_key(owner, at, request, new.id).await?;
            new.id = found.job;
            if found.revision.is_none() {
                if self.ledger.job(new.id).await?.is_some() {
                    // Completes what an earlier attempt may have left between record and queue.
                    let entry = self.ledger.submit(new).await?;
                    return self.job_records.verified(entry).ok_or(ApiError::NotFound("job"));
                }
                // Its headers may be other ones, and the record must describe the input that is stored.
                let is_being_made = |at: Timestamp| Timestamp::now().duration_since(at) < JOB_IS_MADE_WITHIN;
                if found.entered_at.is_some_and(is_being_made) {
                    return Err(ApiError::Conflict("the same call is being made; try again".to_owned()));
                }
            }
            entered = found.revision.map(|revision| (found.at, revision));
        }
        if let Err(error) = self.check_queue(&new).await {
            // The key of a refused request is deleted: the same request is validated again.
            if let Some((at, revision)) = entered {
                let _ = self.ledger.idempotency.delete(&at, revision).await;
            }
            return Err(error);
        }
        self.ledger.inputs.store(new.owner, new.id, input).await?;
        let entry = self.ledger.submit(new).await?;
        self.job_records.note(&entry).await;
        Ok(entry)
    }
}
