//! Payloads of GitLab, whose events are called hooks and whose repositories are called projects.

use serde::Deserialize;

use super::raw::{RawPush, RawRepository, lenient};
use super::{Incoming, Malformed};

#[derive(Debug, Deserialize)]
struct PushPayload {
    #[serde(rename = "ref")]
    reference: String,
    before: String,
    after: String,
    /// The commit, also of an annotated tag.
    #[serde(default, deserialize_with = "lenient")]
    checkout_sha: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    user_username: Option<String>,
    project: Project,
    /// Oldest first, the newest twenty; the last one is the head.
    #[serde(default, deserialize_with = "lenient")]
    commits: Option<Vec<Commit>>,
}

#[derive(Debug, Deserialize)]
struct Project {
    #[serde(default, deserialize_with = "lenient")]
    id: Option<u64>,
    path_with_namespace: String,
    git_http_url: String,
    #[serde(default, deserialize_with = "lenient")]
    web_url: Option<String>,
    /// 0 private, 10 internal, 20 public.
    #[serde(default, deserialize_with = "lenient")]
    visibility_level: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    default_branch: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Commit {
    id: String,
    message: String,
}

const PUBLIC: u64 = 20;

pub(super) fn parse(event: &str, json: &[u8]) -> Result<Incoming, Malformed> {
    if !matches!(event, "Push Hook" | "Tag Push Hook") {
        let shown: String = event.chars().filter(|c| !c.is_control()).take(100).collect();
        return Ok(Incoming::Ignored(format!("nothing to do for {shown}")));
    }
    let push: PushPayload = serde_json::from_slice(json).map_err(Malformed::Json)?;
    let project = &push.project;
    let commits = push.commits.as_deref().unwrap_or_default();
    let head = commits.iter().find(|commit| commit.id == push.after).or(commits.last());
    let raw = RawPush {
        repository: RawRepository {
            forge_id: project.id,
            full_name: &project.path_with_namespace,
            clone_url: Some(&project.git_http_url),
            html_url: project.web_url.as_deref(),
            private: project.visibility_level != Some(PUBLIC),
            default_branch: project.default_branch.as_deref(),
        },
        reference: &push.reference,
        before: &push.before,
        after: &push.after,
        commit: push.checkout_sha.as_deref(),
        forced: false,
        message: head.map(|commit| commit.message.as_str()),
        pusher: push.user_username.as_deref(),
        installation: None,
    };
    raw.checked()
}
