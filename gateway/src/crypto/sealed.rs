//! What is stored sealed, and what each is sealed for.

use jobs::{RepoId, SecretEvent};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A sealed secret of a repository: `secrets/<repo id>.<name>`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SealedSecret {
    pub(crate) sealed: String,
    /// What it may be given to.
    #[serde(default = "usual_events")]
    pub(crate) events: Vec<SecretEvent>,
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

/// What a secret is for unless told: whoever makes these may write to the repository, or call it.
pub(crate) fn usual_events() -> Vec<SecretEvent> {
    vec![SecretEvent::Push, SecretEvent::Tag, SecretEvent::Call]
}

/// What a repository's webhook secret is sealed for.
pub(crate) fn secret_place(repo: RepoId) -> String {
    format!("{repo}.secret")
}

/// What a repository's token is sealed for.
pub(crate) fn token_place(repo: RepoId) -> String {
    format!("{repo}.token")
}

/// What a secret takes up besides its sealed value, in bytes: key, events and headers.
pub(crate) const BESIDES_BYTES: u64 = 300;

/// How much a stored secret takes up, read from it without keeping its value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SecretSize {
    /// Of the sealed value and what goes with it.
    #[serde(rename = "sealed", deserialize_with = "length")]
    pub(crate) bytes: u64,
}

fn length<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let sealed = String::deserialize(deserializer)?;
    Ok(sealed.len() as u64 + BESIDES_BYTES)
}
