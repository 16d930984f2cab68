//! Commit statuses: posting the state of a job to its forge, and reading it back.
//!
//! One post is one request with a time limit; nothing is retried here. Every error is classified by what to
//! do about it ([`StatusError`]), and the outbox does that. Which status is the newest is not decided here
//! either.

mod client;
mod error;
mod posted;

pub(crate) use client::credential_for;
pub use client::{StatusClient, Target};
pub use error::StatusError;
pub(crate) use error::{classify, date};
pub use jobs::CommitState;
pub use posted::{PostedStatus, StatusKey};

use jobs::CommitSha;
use serde::Serialize;

/// GitHub's limit on a description, in characters; Gitea takes 300, GitLab 255.
pub const MAX_DESCRIPTION_CHARS: usize = 140;

/// A commit status to post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusPost {
    /// The repository's owner, from the registered URL; of GitLab with all its groups.
    pub owner: String,
    /// The repository's name, from the registered URL.
    pub name: String,
    /// The commit.
    pub sha: CommitSha,
    /// Which of the commit's statuses: `gitfaas/push`. Forges compare it without case.
    pub context: String,
    /// The state of the job.
    pub state: CommitState,
    /// Of what is pending: whether it runs already. GitLab has a word for it; elsewhere the description
    /// tells.
    pub running: bool,
    /// What happened, in a few words; cut to [`MAX_DESCRIPTION_CHARS`] when it is sent.
    pub description: String,
    /// The page behind the status, http or https.
    pub target_url: Option<String>,
}

/// The body that GitHub, Gitea and Forgejo take.
#[derive(Debug, Serialize)]
struct GithubBody<'a> {
    state: CommitState,
    context: &'a str,
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_url: Option<&'a str>,
}

/// The body that GitLab takes.
#[derive(Debug, Serialize)]
struct GitlabBody<'a> {
    state: &'static str,
    name: &'a str,
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_url: Option<&'a str>,
}

/// GitLab's state for a post: running and pending are different ones.
fn gitlab_word(post: &StatusPost) -> &'static str {
    match post.state {
        CommitState::Pending if post.running => "running",
        CommitState::Pending | CommitState::Success | CommitState::Failure | CommitState::Error => {
            gitlab_state(post.state)
        }
    }
}

/// GitLab has no "error": a failure of the service is `failed` as well, and the description says so.
fn gitlab_state(state: CommitState) -> &'static str {
    match state {
        CommitState::Pending => "pending",
        CommitState::Success => "success",
        CommitState::Failure | CommitState::Error => "failed",
    }
}

/// One line of at most [`MAX_DESCRIPTION_CHARS`] characters, with `…` where it was cut.
pub(crate) fn one_line(text: &str) -> String {
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= MAX_DESCRIPTION_CHARS {
        return line;
    }
    line.chars().take(MAX_DESCRIPTION_CHARS - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_one_line_cut_between_characters() {
        assert_eq!(one_line("exit code 3\n"), "exit code 3");
        assert_eq!(one_line("a\r\nb\u{1b}[31m"), "a  b [31m");
        assert_eq!(one_line(&"é".repeat(140)), "é".repeat(140));
        assert_eq!(one_line(&"é".repeat(141)), format!("{}…", "é".repeat(139)));
    }
}
