//! The record of one webhook delivery: what came in and what was decided about it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::{JobId, RepoId, UserId};

/// What was decided about a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Its jobs exist.
    Accepted,
    /// The same push made a job already.
    Duplicate,
    /// Understood, and nothing to do.
    Ignored,
    /// Not ours, or not allowed.
    Refused,
    /// Waits for an approval.
    Held,
}

/// One signed delivery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The hook that it came to: a repository's id, or `github`.
    pub hook: String,
    /// The forge's id of it, or the body's digest.
    pub delivery_id: String,
    /// The forge's word.
    pub event: String,
    /// Whom it is charged to: the owner of its repository, or who chose the idempotency key. Absent in
    /// entries of older programs, and of installations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserId>,
    /// The repository it concerns, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<RepoId>,
    /// The jobs it makes; noted before they exist.
    #[serde(default)]
    pub jobs: Vec<JobId>,
    /// Absent: not finished yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// One sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The parsed push, never the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incoming: Option<Value>,
    /// The server's time of the first write. Noted by the change after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_at: Option<Timestamp>,
    /// A replay of an earlier delivery: judged without the content rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<String>,
    /// What a newer program added.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Delivery {
    /// The key in `deliveries`, and the id that the API shows.
    pub fn key(hook: &str, delivery_id: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(hook.as_bytes());
        hash.update([0]);
        hash.update(delivery_id.as_bytes());
        hex::encode(hash.finalize())
    }
}
