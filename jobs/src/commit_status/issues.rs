//! What went wrong between us and the forge about one commit, as far as it matters later.

use serde::{Deserialize, Serialize};

/// What makes the forge's view of a commit worth another look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusIssues {
    /// A request went unanswered: the forge may act on it long after. Also of an older job of the commit.
    #[serde(default)]
    pub unanswered: bool,
    /// How often the forge rejected the final state of this job.
    #[serde(default, rename = "refusals")]
    pub rejections: u32,
    /// How often the forge showed something else than it was told of this job.
    #[serde(default)]
    pub differences: u32,
}

impl StatusIssues {
    /// None at all.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// What is left of them when a newer job takes the commit over.
    pub(super) fn for_newer_job(self) -> Self {
        Self { unanswered: self.unanswered, ..Self::default() }
    }
}
