//! The baseline marker: the refs that a repository had when it was registered are recorded.

use jobs::{RepoId, bucket::purge_key, streams};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{error::ApiError, repos::Registrations};

/// `heads/filled.<repo id>`: the refs of the repository are recorded; what is new from here on was pushed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Baseline {
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

pub(crate) fn baseline_key(repo: RepoId) -> String {
    format!("filled.{repo}")
}

impl Registrations {
    /// Removes the marker of a repository that is not registered any more.
    pub(crate) async fn forget_baseline(&self, repo: RepoId) -> Result<(), ApiError> {
        Ok(purge_key(&self.ledger.js, streams::HEADS, &baseline_key(repo)).await?)
    }
}
