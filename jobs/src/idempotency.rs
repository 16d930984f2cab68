//! The record of an idempotency key: the same request made again is the same job.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::{Delivery, JobId, UserId};

/// For this long a repeated request is the same job.
pub const LIFE: SignedDuration = SignedDuration::from_hours(24);

/// An idempotency key that a caller has used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IdempotencyKey {
    /// The caller, to whom it is charged.
    pub owner: UserId,
    /// The job of the request.
    pub job: JobId,
    /// SHA-256 of the request, hex: another request cannot use the same key.
    pub request: String,
    /// Of a signed call of a function: that its job was made, whose record may be gone since. Others are looked up
    /// by their job alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub made: bool,
    /// What a newer program added.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl IdempotencyKey {
    /// The key in `idempotency`.
    pub fn key(owner: UserId, key: &str) -> String {
        format!("{owner}.{}", hex::encode(Sha256::digest(key.as_bytes())))
    }

    /// Where older programs stored it, in `deliveries`. Read until no such entry can be younger
    /// than [`LIFE`].
    pub fn key_among_deliveries(owner: UserId, key: &str) -> String {
        format!("idempotency.{}", Self::key(owner, key))
    }

    /// What such an entry of `deliveries` says; `None` when it is none.
    pub fn of_delivery(entry: &Delivery) -> Option<Self> {
        Some(Self {
            owner: entry.owner?,
            job: *entry.jobs.first()?,
            request: entry.reason.as_ref()?.to_string(),
            made: false,
            other: Map::new(),
        })
    }

    /// Whether a key written at this time may be used for another request.
    pub fn is_expired(written_at: Timestamp, now: Timestamp) -> bool {
        now.duration_since(written_at) > LIFE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: &str = r#"{"invented_later":1,"job":"01890a5d-ac96-774b-bcce-b302099a8057","owner":"01890a5d-ac96-774b-bcce-b302099a8058","request":"e3b0c442"}"#;

    #[test]
    fn a_key_keeps_what_a_newer_program_added() {
        let key: IdempotencyKey = serde_json::from_str(BYTES).unwrap();
        assert_eq!(serde_json::to_value(&key).unwrap(), serde_json::from_str::<Value>(BYTES).unwrap());
    }

    #[test]
    fn an_entry_among_deliveries_is_understood() {
        let user: UserId = "01890a5d-ac96-774b-bcce-b302099a8058".parse().unwrap();
        let entry = r#"{"delivery_id":"","event":"call","hook":"idempotency.01890a5d-ac96-774b-bcce-b302099a8058","jobs":["01890a5d-ac96-774b-bcce-b302099a8057"],"nonce":"0123456789abcdef","owner":"01890a5d-ac96-774b-bcce-b302099a8058","reason":"e3b0c442","v":1}"#;
        let key = IdempotencyKey::of_delivery(&serde_json::from_str(entry).unwrap()).unwrap();
        assert_eq!((key.owner, key.request.as_str()), (user, "e3b0c442"));
        assert_eq!(key.job.to_string(), "01890a5d-ac96-774b-bcce-b302099a8057");
        let place = IdempotencyKey::key_among_deliveries(user, "k");
        assert_eq!(
            place,
            "idempotency.01890a5d-ac96-774b-bcce-b302099a8058.8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a"
        );
    }

    #[test]
    fn a_key_is_free_again_after_a_day() {
        let written_at = Timestamp::UNIX_EPOCH;
        assert!(!IdempotencyKey::is_expired(written_at, written_at + LIFE));
        assert!(IdempotencyKey::is_expired(written_at, written_at + LIFE + SignedDuration::from_secs(1)));
    }
}
