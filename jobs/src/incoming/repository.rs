//! The repository that an event is about.

use serde::{Deserialize, Serialize};

use crate::CloneUrl;

/// The repository that a payload is about. It is what the payload *says*: statuses and clones use the
/// registered URL, and a payload that names another repository is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// The forge's numeric id, which survives renames and transfers. Plain git servers have none.
    #[serde(default)]
    pub forge_id: Option<u64>,
    /// Owner and name, `octocat/hello`; of GitLab with all its groups.
    pub full_name: String,
    /// Where it is cloned from.
    pub clone_url: CloneUrl,
    /// Its page.
    #[serde(default)]
    pub html_url: Option<String>,
    /// Whether it is private. Taken to be private when the forge does not say.
    #[serde(default = "private_unless_told")]
    pub private: bool,
    /// The branch that a clone checks out.
    #[serde(default)]
    pub default_branch: Option<String>,
}

/// Repositories are taken to be private unless the forge says otherwise.
pub(super) fn private_unless_told() -> bool {
    true
}
