//! Idempotency keys: the same request made again is the same job.

use jiff::Timestamp;
use jobs::{IdempotencyKey, JobId, UserId, api::SubmitJob, bucket::BucketError};
use serde::Serialize;
use serde_json::Map;
use sha2::{Digest as _, Sha256};

use crate::{auth::identity::Identity, error::ApiError, jobs::Jobs};

/// The longest idempotency key, in bytes; a UUID has 36.
const MAX_KEY_BYTES: usize = 255;

/// An idempotency key, in the ledger.
pub(super) struct KeyEntered {
    pub(super) job: JobId,
    pub(super) at: String,
    /// Of the write that entered it, if this request is the first.
    pub(super) revision: Option<u64>,
    /// When another request entered it.
    pub(super) entered_at: Option<Timestamp>,
}

/// Refuses a key that is too long, or none.
pub(crate) fn check_key(key: &str) -> Result<(), ApiError> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err(ApiError::BadRequest(format!("Idempotency-Key: 1 to {MAX_KEY_BYTES} bytes")));
    }
    Ok(())
}

impl Jobs {
    /// The job of this idempotency key; decided by a create-only write.
    pub(super) async fn idempotent(
        &self,
        caller: &Identity,
        key: &str,
        call: &SubmitJob,
        fresh: JobId,
    ) -> Result<KeyEntered, ApiError> {
        check_key(key)?;
        let request = digest(call);
        let owner = caller.user.id;
        let at = IdempotencyKey::key(owner, key);
        // Before the first write, so that nobody finds a new job under a key that has one.
        if let Some(found) = self.key_among_deliveries(caller, key).await? {
            return same_request(&found, &request, at);
        }
        self.enter_key(owner, at, request, fresh).await
    }

    /// Enters a key with the digest of its request, or finds it.
    pub(super) async fn enter_key(
        &self,
        owner: UserId,
        at: String,
        request: String,
        fresh: JobId,
    ) -> Result<KeyEntered, ApiError> {
        let entry = IdempotencyKey { owner, job: fresh, request, made: false, other: Map::new() };
        let bucket = &self.ledger.idempotency;
        loop {
            match bucket.create(&at, &entry).await {
                Ok(revision) => {
                    return Ok(KeyEntered { job: fresh, at, revision: Some(revision), entered_at: None });
                }
                Err(BucketError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            let Some(found) = bucket.get(&at).await? else { continue };
            // The server removes it soon.
            if IdempotencyKey::is_expired(found.written_at, Timestamp::now()) {
                match bucket.update(&at, &entry, found.revision).await {
                    Ok(revision) => {
                        return Ok(KeyEntered { job: fresh, at, revision: Some(revision), entered_at: None });
                    }
                    Err(BucketError::Conflict { .. }) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            let known = same_request(&found.value, &entry.request, at)?;
            return Ok(KeyEntered { entered_at: Some(found.written_at), ..known });
        }
    }

    /// A key that an older program stored among the deliveries, while it is in force.
    async fn key_among_deliveries(
        &self,
        caller: &Identity,
        key: &str,
    ) -> Result<Option<IdempotencyKey>, ApiError> {
        let at = IdempotencyKey::key_among_deliveries(caller.user.id, key);
        let Some(found) = self.ledger.deliveries.get(&at).await? else { return Ok(None) };
        if IdempotencyKey::is_expired(found.written_at, Timestamp::now()) {
            return Ok(None);
        }
        IdempotencyKey::of_delivery(&found.value).map(Some).ok_or(ApiError::NotFound("job"))
    }
}

/// The job of the key that was found, unless it was another request's.
fn same_request(found: &IdempotencyKey, request: &str, at: String) -> Result<KeyEntered, ApiError> {
    if found.request != request {
        return Err(ApiError::KeyReused);
    }
    Ok(KeyEntered { job: found.job, at, revision: None, entered_at: None })
}

/// The digest of a request, as it is stored with its idempotency key.
fn digest(call: &SubmitJob) -> String {
    let SubmitJob { repo, reference, args, input, input_base64, name, label } = call;
    let digested = Digested {
        repo,
        reference: reference.as_deref(),
        args: args.as_deref(),
        name: name.as_deref(),
        label: label.as_deref(),
        input: input.as_deref(),
        input_base64: input_base64.as_deref(),
    };
    hex::encode(Sha256::digest(serde_json::to_vec(&digested).expect("a call is JSON")))
}

/// What is digested of a request: its fields in this order. Stored digests depend on it, so those that came later
/// are left out where they are absent; the others are null.
#[derive(Serialize)]
struct Digested<'a> {
    repo: &'a str,
    #[serde(rename = "ref")]
    reference: Option<&'a str>,
    args: Option<&'a [String]>,
    name: Option<&'a str>,
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_base64: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_what_earlier_versions_stored() {
        let call = SubmitJob { repo: "example.com/r".to_owned(), ..SubmitJob::default() };
        let stored = br#"{"repo":"example.com/r","ref":null,"args":null,"name":null,"label":null}"#;
        assert_eq!(digest(&call), hex::encode(Sha256::digest(stored)));
    }

    #[test]
    fn an_input_is_part_of_the_request() {
        let call = SubmitJob { repo: "example.com/r".to_owned(), ..SubmitJob::default() };
        let text = SubmitJob { input: Some("eA==".to_owned()), ..call.clone() };
        let bytes = SubmitJob { input_base64: Some("eA==".to_owned()), ..call.clone() };
        let other = SubmitJob { input: Some(String::new()), ..call.clone() };
        let mut digests = [call, text, bytes, other].map(|call| digest(&call)).to_vec();
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), 4);
    }
}
