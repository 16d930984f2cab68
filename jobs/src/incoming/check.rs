//! A check was requested again at the forge.

use serde::{Deserialize, Serialize};

use super::Repository;
use crate::CommitSha;

/// A re-run of a check was requested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rerequested {
    /// Where.
    pub repository: Repository,
    /// The commit.
    pub sha: CommitSha,
    /// The check run; `None` when the whole suite is meant.
    #[serde(default)]
    pub check_run: Option<u64>,
    /// The check's name, of a single run.
    #[serde(default)]
    pub name: Option<String>,
    /// What we called the check run when we made it: the job's id.
    #[serde(default)]
    pub external_id: Option<String>,
    /// The App whose check it is.
    #[serde(default)]
    pub app_id: Option<u64>,
    /// The user who requested it, by the forge's name.
    #[serde(default)]
    pub sender: Option<String>,
    /// The App's installation through which this came.
    #[serde(default)]
    pub installation: Option<u64>,
}
