//! What was last posted for a commit.

use serde::{Deserialize, Serialize};

use crate::{CommitState, JobId};

/// What was last posted for a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    /// The job whose record was posted.
    pub job: JobId,
    /// The revision of that record.
    pub revision: u64,
    /// Its state at the forge.
    pub state: CommitState,
    /// Of what is pending: whether it was posted as running.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub running: bool,
    /// Of what was posted as queued: after how long in milliseconds the forge is told that it runs. Absent
    /// in entries of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_after_ms: Option<u64>,
    /// Whether the forge is still to be asked whether it shows this; set for final states. Absent in
    /// entries of older programs, whose statuses are left as they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not", rename = "to_compare")]
    pub to_verify: bool,
}
