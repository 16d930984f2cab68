//! A branch or tag was created, updated or deleted.

use serde::{Deserialize, Serialize};

use super::Repository;
use crate::{CommitSha, GitRef};

/// A branch or tag was made, moved or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// Where.
    pub repository: Repository,
    /// Which branch or tag.
    #[serde(rename = "ref")]
    pub reference: GitRef,
    /// What it pointed to; `None` when it was made, or when the forge does not say.
    #[serde(default)]
    pub before: Option<CommitSha>,
    /// What it points to, of an annotated tag the tag object; see [`Push::commit`]. `None`: removed.
    #[serde(default)]
    pub after: Option<CommitSha>,
    /// Of an annotated tag, the commit that it was put on, where the forge says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tagged: Option<CommitSha>,
    /// Whether commits were left behind. Gitea and GitLab do not say; it is then `false`.
    #[serde(default)]
    pub forced: bool,
    /// The beginning of the newest commit's message.
    #[serde(default)]
    pub head_message: Option<String>,
    /// Whether the whole message asks for no run: `[skip ci]`, `[ci skip]`, or `skip-checks: true` at its
    /// end.
    #[serde(default)]
    pub skip_ci: bool,
    /// Who pushed, by the forge's name.
    #[serde(default)]
    pub pusher: Option<String>,
    /// The App's installation through which this came.
    #[serde(default)]
    pub installation: Option<u64>,
    /// Whether no delivery told of it: the ref poll found it at the forge. Then `before` and the message are
    /// not known.
    #[serde(rename = "made_up", default, skip_serializing_if = "std::ops::Not::not")]
    pub synthetic: bool,
}

impl Push {
    /// Whether the ref was removed.
    pub fn is_deletion(&self) -> bool {
        self.after.is_none()
    }

    /// What is to be run and told of: forges take statuses of commits alone.
    pub fn commit(&self) -> Option<&CommitSha> {
        self.tagged.as_ref().or(self.after.as_ref())
    }

    /// Whether the newest commit asks for no run, in either spelling and any case.
    pub fn asks_to_skip(&self) -> bool {
        self.skip_ci
    }
}
