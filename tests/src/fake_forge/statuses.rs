//! `POST /repos/{owner}/{repo}/statuses/{sha}`, in GitHub's shapes. Gitea's `/api/v1/…` is taken too.

use std::time::{Duration, Instant};

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{FakeForge, Requester, ServerState, openapi::Operation, said};
use crate::{
    repository::Commit,
    waiting::{STATUS, within},
};

/// GitHub's limit on a description, in characters. Its description of the API does not say so.
const MAX_DESCRIPTION_CHARS: usize = 140;
/// GitHub's limit on the statuses of one commit and context.
const MAX_STATUSES: usize = 1000;

const POST: Operation = Operation("post", "/repos/{owner}/{repo}/statuses/{sha}");
const COMBINED: Operation = Operation("get", "/repos/{owner}/{repo}/commits/{ref}/status");

/// A status as it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// `owner/name`.
    pub repository: String,
    /// The commit.
    pub sha: String,
    /// The forge's word: `pending`, `success`, `failure` or `error`; at GitLab also `running`.
    pub state: String,
    /// Which of the commit's statuses.
    pub context: String,
    /// What happened.
    pub description: String,
    /// The page behind it.
    pub target_url: String,
    /// When it came.
    pub at: Instant,
}

impl Status {
    /// Whether nothing more is to come.
    pub fn is_final(&self) -> bool {
        !["pending", "running"].contains(&self.state.as_str())
    }
}

impl FakeForge {
    /// The commit's oldest status that is as wished, once it has come, which may take so long.
    pub async fn shown_within(
        &self,
        time: Duration,
        commit: &Commit,
        wished: impl Fn(&Status) -> bool,
    ) -> Status {
        let found =
            |all: &Vec<Status>| all.iter().find(|status| status.sha == commit.sha && wished(status)).cloned();
        let mut news = self.watch();
        let what = format!("the status of {} that is wished for", commit.sha);
        let came = news.wait_for(|all| found(all).is_some());
        let all = within(time, &what, came, async || self.statuses(commit)).await.expect("the forge lives");
        found(&all).expect("it was waited for")
    }

    /// How long it took after `since` until the forge heard of the commit, once it has.
    pub async fn first_status_after(&self, commit: &Commit, since: Instant) -> Duration {
        let first = self.shown_within(STATUS, commit, |status| status.at >= since).await;
        first.at.duration_since(since)
    }
}

fn refused(status: StatusCode, message: &str, errors: Value) -> Response {
    let body = json!({
        "message": message, "errors": errors, "status": status.as_str(),
        "documentation_url": "https://docs.github.com/rest/commits/statuses#create-a-commit-status",
    });
    (status, Json(body)).into_response()
}

fn invalid(field: &str, message: &str) -> Response {
    let error = json!([{ "resource": "Status", "code": "custom", "field": field, "message": message }]);
    refused(StatusCode::UNPROCESSABLE_ENTITY, "Validation Failed", error)
}

impl Status {
    /// As the forge shows it. `id` is its place among all.
    fn shown(&self, id: usize) -> Value {
        let Self { repository, sha, .. } = self;
        let mut shown = super::openapi::example("status");
        for (field, value) in [
            ("id", json!(id)),
            ("state", json!(self.state)),
            // Gitea's word for it.
            ("status", json!(self.state)),
            ("context", json!(self.context)),
            ("description", json!(self.description)),
            ("target_url", json!(self.target_url)),
            ("url", json!(format!("https://api.github.com/repos/{repository}/statuses/{sha}"))),
        ] {
            shown[field] = value;
        }
        shown
    }
}

impl ServerState {
    /// The newest status of each context of a commit, on one page.
    pub(super) fn combined(&self, who: &Requester, full_name: &str, sha: &str, page: usize) -> Response {
        match who {
            Requester::Anonymous | Requester::App => return said(StatusCode::NOT_FOUND, "Not Found"),
            Requester::InvalidToken => return said(StatusCode::UNAUTHORIZED, "Bad credentials"),
            Requester::Installation(_) | Requester::User(_) => {}
        }
        let all = self.statuses.borrow();
        let of_commit =
            all.iter().enumerate().filter(|(_, one)| one.repository == full_name && one.sha == sha);
        let mut newest: Vec<(usize, &Status)> = Vec::new();
        for (at, status) in of_commit {
            newest.retain(|(_, older)| !older.context.eq_ignore_ascii_case(&status.context));
            newest.push((at, status));
        }
        let mut reply = super::openapi::example("combined-commit-status");
        let shown = newest.iter().filter(|_| page == 1).map(|(at, status)| status.shown(at + 1));
        reply["statuses"] = shown.collect();
        reply["total_count"] = newest.len().into();
        reply["sha"] = sha.into();
        self.reply(COMBINED, StatusCode::OK, reply)
    }

    pub(super) async fn status(
        &self,
        who: &Requester,
        method: &Method,
        full_name: &str,
        sha: &str,
        body: &Value,
    ) -> Response {
        if *method != Method::POST {
            return said(StatusCode::NOT_FOUND, "Not Found");
        }
        match who {
            Requester::Anonymous | Requester::App => return said(StatusCode::NOT_FOUND, "Not Found"),
            Requester::InvalidToken => return said(StatusCode::UNAUTHORIZED, "Bad credentials"),
            Requester::Installation(minted) if !minted.may("statuses", self.number(full_name)) => {
                return said(StatusCode::FORBIDDEN, "Resource not accessible by integration");
            }
            Requester::Installation(_) | Requester::User(_) => {}
        }
        if let Some(refused) = self.misdescribed(POST, body) {
            return refused;
        }
        self.take(full_name, sha, body).await
    }

    async fn take(&self, full_name: &str, sha: &str, body: &Value) -> Response {
        let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
        let status = Status {
            state: text("state"),
            context: body["context"].as_str().unwrap_or("default").to_owned(),
            description: text("description"),
            target_url: text("target_url"),
            repository: full_name.to_owned(),
            sha: sha.to_owned(),
            at: Instant::now(),
        };
        if status.description.chars().count() > MAX_DESCRIPTION_CHARS {
            return invalid("description", "description is too long (maximum is 140 characters)");
        }
        let is_web = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        if !status.target_url.is_empty() && !is_web(&status.target_url) {
            return invalid("target_url", "target_url must use http(s) scheme");
        }
        if !self.bare(full_name).is_dir() {
            return said(StatusCode::NOT_FOUND, "Not Found");
        }
        if !self.has_commit(full_name, sha).await {
            let message = format!("No commit found for SHA: {sha}");
            return refused(StatusCode::UNPROCESSABLE_ENTITY, &message, json!([]));
        }
        let same =
            |other: &&Status| other.sha == status.sha && other.context.eq_ignore_ascii_case(&status.context);
        if self.statuses.borrow().iter().filter(same).count() >= MAX_STATUSES {
            return invalid("sha", "This SHA and context has reached the maximum number of statuses.");
        }
        let id = self.statuses.borrow().len() + 1;
        let reply = status.shown(id);
        self.statuses.send_modify(|all| all.push(status));
        self.reply(POST, StatusCode::CREATED, reply)
    }
}
