//! Deliveries of GitHub's merge queue: the push of the group's branch, the request for checks, and the end of
//! the group.
//!
//! The fields are those of GitHub's schemas (`merge_group` in octokit/webhooks), and those of a real push
//! of a group's branch (`service/hook/github/github_test.go` of bitrise-io/bitrise-webhooks).

use serde_json::{Value, json};

use super::{described, payload};
use crate::repository::{Commit, NO_COMMIT, Repository};

/// Requester pushes a group's branch.
const QUEUE: &str = "github-merge-queue[bot]";
/// The tree of the group's commit, which nobody looks up.
const TREE: &str = "ca78a46cdb752ae92599844f4fe30983eacc27de";

/// Pull requests that are merged on trial, on a branch of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeGroup {
    /// The number of the last pull request in it.
    pub pull: u64,
    /// The branch that it is for, without `refs/heads/`.
    pub base: String,
    /// The commit that it starts from.
    pub base_sha: String,
    /// The merge.
    pub head_sha: String,
}

/// Why a group is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destroyed {
    /// It is merged.
    Merged,
    /// An earlier one of the queue was removed.
    Invalidated,
    /// It was taken out of the queue.
    Dequeued,
}

impl MergeGroup {
    /// A group for `main`.
    pub fn new(pull: u64, base_sha: &str, head_sha: &str) -> Self {
        let base = "main".to_owned();
        Self { pull, base, base_sha: base_sha.to_owned(), head_sha: head_sha.to_owned() }
    }

    /// The group's branch, in full.
    pub fn reference(&self) -> String {
        format!("refs/heads/gh-readonly-queue/{}/pr-{}-{}", self.base, self.pull, self.base_sha)
    }

    /// The merge, as the push of a branch that was not there before.
    pub fn commit(&self) -> Commit {
        Commit {
            reference: self.reference(),
            before: NO_COMMIT.to_owned(),
            sha: self.head_sha.clone(),
            told: String::new(),
        }
    }

    /// `push`: the branch is made.
    pub fn push(&self, repository: &Repository) -> Value {
        let mut push = payload(repository, &self.commit());
        let url = format!(
            "{}/commit/{}",
            push["repository"]["html_url"].as_str().unwrap_or_default(),
            self.head_sha
        );
        push["base_ref"] = self.base_ref().into();
        push["head_commit"] = self.head_commit();
        push["head_commit"]["distinct"] = true.into();
        push["head_commit"]["url"] = url.into();
        for field in ["added", "removed", "modified"] {
            push["head_commit"][field] = json!([]);
        }
        push["pusher"] = json!({ "name": QUEUE, "email": null });
        push["sender"] = sender();
        push
    }

    /// `merge_group`: its commit is to be checked.
    pub fn checks_requested(&self, repository: &Repository) -> Value {
        self.event("checks_requested", repository)
    }

    /// `merge_group`: it is no more.
    pub fn destroyed(&self, repository: &Repository, why: Destroyed) -> Value {
        let mut event = self.event("destroyed", repository);
        let reason = match why {
            Destroyed::Merged => "merged",
            Destroyed::Invalidated => "invalidated",
            Destroyed::Dequeued => "dequeued",
        };
        event["reason"] = reason.into();
        event
    }

    fn event(&self, action: &str, repository: &Repository) -> Value {
        json!({
            "action": action,
            "merge_group": {
                "head_sha": self.head_sha, "head_ref": self.reference(),
                "base_sha": self.base_sha, "base_ref": self.base_ref(),
                "head_commit": self.head_commit(),
            },
            "repository": described(repository),
            "sender": sender(),
        })
    }

    fn base_ref(&self) -> String {
        format!("refs/heads/{}", self.base)
    }

    fn head_commit(&self) -> Value {
        json!({
            "id": self.head_sha, "tree_id": TREE,
            "message": format!("Merge pull request #{} from acme/change\n\na change", self.pull),
            "timestamp": "2026-01-01T00:00:00Z",
            "author": { "name": "Ada", "email": "ada@example.com" },
            "committer": { "name": "GitHub", "email": "noreply@github.com" },
        })
    }
}

fn sender() -> Value {
    json!({ "login": QUEUE, "id": 118_344_674, "type": "Bot" })
}
