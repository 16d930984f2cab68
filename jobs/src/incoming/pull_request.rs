//! A pull request has new commits, or was closed.

use serde::{Deserialize, Serialize};

use super::Repository;
use crate::CommitSha;

/// What happened to a pull request, of those things that matter to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullRequestAction {
    /// It is new.
    Opened,
    /// It is open again.
    Reopened,
    /// Its branch has new commits.
    Synchronized,
    /// It is no draft any more.
    ReadyForReview,
    /// Merged or rejected.
    Closed,
}

/// A pull request has new commits, or was closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// The repository that it wants to get into: the only one that is fetched from.
    pub repository: Repository,
    /// What happened.
    pub action: PullRequestAction,
    /// Its number; its commits are at `refs/pull/<number>/head`.
    pub number: u64,
    /// The newest commit.
    pub head_sha: CommitSha,
    /// The newest commit before new ones came. GitHub tells it, Gitea does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_sha: Option<CommitSha>,
    /// The branch it comes from, as its repository names it.
    pub head_branch: String,
    /// The repository it comes from; `None` when that is gone.
    #[serde(default)]
    pub head_repository: Option<String>,
    /// Whether it comes from another repository: no secrets, and only after an approval.
    pub from_fork: bool,
    /// The branch it wants to get into.
    pub base_branch: String,
    /// That branch's commit when the payload was made.
    #[serde(default)]
    pub base_sha: Option<CommitSha>,
    /// Whether it is a draft.
    #[serde(default)]
    pub draft: bool,
    /// Who did this, by the forge's name.
    #[serde(default)]
    pub sender: Option<String>,
    /// The App's installation through which this came.
    #[serde(default)]
    pub installation: Option<u64>,
}

impl PullRequest {
    /// Where the base repository keeps its commits, at GitHub and Gitea.
    pub fn reference(&self) -> String {
        format!("refs/pull/{}/head", self.number)
    }
}
