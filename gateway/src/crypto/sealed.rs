//! Sealed values as they are stored, and the context that each is sealed for.

use jobs::{RepoId, SecretEvent};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A sealed secret of a repository: `secrets/<repo id>.<name>`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SealedSecret {
    pub(crate) sealed: String,
    /// The events whose jobs may receive it.
    #[serde(default = "default_events")]
    pub(crate) events: Vec<SecretEvent>,
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

/// The default events of a secret: those that need write access to the repository, or the right to call it.
pub(crate) fn default_events() -> Vec<SecretEvent> {
    vec![SecretEvent::Push, SecretEvent::Tag, SecretEvent::Call]
}

/// The sealing context of a repository's webhook secret.
pub(crate) fn webhook_secret_context(repo: RepoId) -> String {
    format!("{repo}.secret")
}

/// The sealing context of a repository's forge token.
pub(crate) fn forge_token_context(repo: RepoId) -> String {
    format!("{repo}.token")
}

/// Stored bytes of a secret besides its sealed value: key, events and headers.
pub(crate) const OVERHEAD_BYTES: u64 = 300;

/// The stored size of a secret, read without keeping its value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SecretSize {
    /// The sealed value and its overhead.
    #[serde(rename = "sealed", deserialize_with = "length")]
    pub(crate) bytes: u64,
}

fn length<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let sealed = String::deserialize(deserializer)?;
    Ok(sealed.len() as u64 + OVERHEAD_BYTES)
}
