//! What a record says of a job's input.

use serde::{Deserialize, Serialize};

/// The input of a job, as its record describes it; it lies in the stream INPUTS ([`crate::input`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobInput {
    /// The length of the body, which the program reads.
    pub bytes: u64,
    /// SHA-256 of the body, in hex.
    pub sha256: String,
    /// The length of the head as it is stored.
    pub head_bytes: u64,
    /// SHA-256 of the head, in hex: it decides what the program is told.
    pub head_sha256: String,
    /// The media type of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The method of the HTTP request that it came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// That request's path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}
