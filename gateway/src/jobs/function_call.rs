//! Makes the job of a call of a function, for its owner.

use jobs::{IdempotencyKey, Input, Job, JobSpec, UserId, bucket::Entry};

use crate::{error::ApiError, jobs::Jobs};

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
            if found.revision.is_none() && self.ledger.job(new.id).await?.is_some() {
                // Completes what an earlier attempt may have left between record and queue.
                let entry = self.ledger.submit(new).await?;
                return self.job_records.verified(entry).ok_or(ApiError::NotFound("job"));
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
