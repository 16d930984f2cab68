//! That what a repository has when it is registered is noted: its baseline.

use jobs::{RepoId, bucket::purge_key, streams};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{error::ApiError, repos::Registrations};

/// `heads/filled.<repo id>`: what lay in the repository is noted; what is new from here on was pushed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Baseline {
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

pub(crate) fn baseline_key(repo: RepoId) -> String {
    format!("filled.{repo}")
}

impl Registrations {
    /// The repository is not registered any more.
    pub(crate) async fn forget_baseline(&self, repo: RepoId) -> Result<(), ApiError> {
        Ok(purge_key(&self.ledger.js, streams::HEADS, &baseline_key(repo)).await?)
    }
}
