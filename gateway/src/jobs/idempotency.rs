//! Idempotency keys: the same request made again is the same job.

use jiff::{SignedDuration, Timestamp};
use jobs::{Delivery, JobId, bucket::BucketError};
use serde_json::Map;
use sha2::{Digest as _, Sha256};

use crate::{
    auth::identity::Identity,
    error::ApiError,
    jobs::{Jobs, submit::Call},
};

/// The longest idempotency key, in bytes; a UUID has 36.
const MAX_KEY_BYTES: usize = 255;
/// For so long a repeated request is the same job.
const KEY_LIFE: SignedDuration = SignedDuration::from_hours(24);

/// An idempotency key, in the ledger.
pub(super) struct KeyEntered {
    pub(super) job: JobId,
    pub(super) at: String,
    /// Of the write that entered it, if this request is the first.
    pub(super) revision: Option<u64>,
}

impl Jobs {
    /// The job of this idempotency key. Kept in the bucket of
    /// deliveries, under a key that no delivery has; decided by a create-only write.
    pub(super) async fn idempotent(
        &self,
        caller: &Identity,
        key: &str,
        call: &Call,
        fresh: JobId,
    ) -> Result<KeyEntered, ApiError> {
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(ApiError::BadRequest(format!("Idempotency-Key: 1 to {MAX_KEY_BYTES} bytes")));
        }
        let bytes = serde_json::to_vec(call).expect("a call is JSON");
        let asked = hex::encode(Sha256::digest(&bytes));
        let hook = format!("idempotency.{}", caller.user.id);
        let at = format!("{hook}.{}", hex::encode(Sha256::digest(key.as_bytes())));
        let entry = Delivery {
            hook,
            delivery_id: String::new(),
            event: "call".to_owned(),
            owner: Some(caller.user.id),
            repo: None,
            jobs: vec![fresh],
            verdict: None,
            reason: Some(asked.as_str().into()),
            incoming: None,
            received_at: None,
            replay_of: None,
            plan: jobs::DeliveryPlan::default(),
            approval: jobs::DeliveryApproval::default(),
            other: Map::new(),
        };
        loop {
            let error = match self.ledger.deliveries.create(&at, &entry).await {
                Ok(revision) => return Ok(KeyEntered { job: fresh, at, revision: Some(revision) }),
                Err(error) => error,
            };
            if !matches!(error, BucketError::Conflict { .. }) {
                return Err(error.into());
            }
            let Some(found) = self.ledger.deliveries.get(&at).await? else { continue };
            if Timestamp::now().duration_since(found.written_at) > KEY_LIFE {
                match self.ledger.deliveries.update(&at, &entry, found.revision).await {
                    Ok(revision) => return Ok(KeyEntered { job: fresh, at, revision: Some(revision) }),
                    Err(BucketError::Conflict { .. }) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            if found.value.reason.as_ref().map(ToString::to_string).as_deref() != Some(&asked) {
                return Err(ApiError::KeyReused);
            }
            let first = found.value.jobs.first().copied();
            let job = first.ok_or_else(|| ApiError::NotFound("job"))?;
            return Ok(KeyEntered { job, at, revision: None });
        }
    }
}
