//! The records of a ref: its newest push, and the pushes that were seen already.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::{CommitSha, JobId, RefName, RepoId, Stored};

/// What makes the same push once: `pushes/<repo>.<sha256(ref)>.<after>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeenPush {
    /// What the ref was before; absent for a new ref, and for a synthetic push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<CommitSha>,
    /// Whether `before` is not known, because the push is synthetic: the ref poll found it.
    #[serde(rename = "made_up", default)]
    pub synthetic: bool,
    /// Its job.
    pub job: JobId,
    /// What a newer program added.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The newest push of a ref: `heads/<repo>.<sha256(ref)>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RefHead {
    /// What the ref was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<CommitSha>,
    /// What it is now.
    pub after: CommitSha,
    /// The job of this push; a push that was filtered has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// The ref, which the key tells only as a digest; absent in entries of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Stored<RefName>>,
    /// What a newer program added.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// `<repo>.<sha256(ref)>`
pub fn head_key(repo: RepoId, reference: &str) -> String {
    format!("{repo}.{}", hex::encode(Sha256::digest(reference.as_bytes())))
}

/// `<repo>.<sha256(ref)>.<after>`
pub fn push_key(repo: RepoId, reference: &str, after: &CommitSha) -> String {
    format!("{}.{after}", head_key(repo, reference))
}
