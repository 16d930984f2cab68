//! The record of one webhook delivery: what came in and what was decided about it.

mod approval;
mod plan;
mod reason;
#[cfg(test)]
mod tests;

pub use approval::{CommitApproval, DeliveryApproval};
use jiff::Timestamp;
pub use plan::DeliveryPlan;
pub use reason::DeliveryReason;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::{Incoming, JobId, RepoId, StoredJson, UserId};

/// What was decided about a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Its jobs exist, or it did what it says.
    Accepted,
    /// The same event created a job before.
    Duplicate,
    /// Understood, and nothing to do.
    Ignored,
    /// Of another repository, malformed, or over a limit.
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
    /// What the forge calls the event.
    pub event: String,
    /// The owner of its repository, to whom it is charged. Absent in entries of older programs, and of
    /// installations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserId>,
    /// The repository it concerns, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<RepoId>,
    /// The jobs that it creates; written before they exist.
    #[serde(default)]
    pub jobs: Vec<JobId>,
    /// Absent: not finished yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Why; before there is a verdict, what the plan must respect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<DeliveryReason>,
    /// The event, parsed from the body, which is not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incoming: Option<StoredJson<Incoming>>,
    /// The server's time of the first write. Written by the change after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_at: Option<Timestamp>,
    /// The key of the delivery that this one replays: then duplicates are not looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<String>,
    /// What it does beyond what the event says.
    #[serde(flatten)]
    pub plan: DeliveryPlan,
    /// Who approved it, if it was held.
    #[serde(flatten)]
    pub approval: DeliveryApproval,
    /// What a newer program added.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Delivery {
    /// The event; `None` when none was kept or this program does not understand it.
    pub fn event(&self) -> Option<Incoming> {
        self.incoming.as_ref().and_then(StoredJson::get)
    }

    /// The key in `deliveries`, and the id that the API shows.
    pub fn key(hook: &str, delivery_id: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(hook.as_bytes());
        hash.update([0]);
        hash.update(delivery_id.as_bytes());
        hex::encode(hash.finalize())
    }
}
