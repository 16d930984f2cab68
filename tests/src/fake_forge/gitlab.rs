//! GitLab's `/api/v4`: a project, its webhooks, and the statuses of its commits. The token is in a
//! header of its own, and states have other names.

use std::time::Instant;

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use super::{
    Hook, Requester, Rights, ServerState, Status,
    kind::{Dialect, Refusal},
    number,
};

/// GitLab's words for a status.
const WORDS: [&str; 6] = ["pending", "running", "success", "failed", "canceled", "skipped"];
/// The levels of who may read, who may push, and who may change webhooks.
const REPORTER: u64 = 20;
const DEVELOPER: u64 = 30;
const MAINTAINER: u64 = 40;

fn said(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "message": message }))).into_response()
}

impl ServerState {
    /// Answers what is below `/api/v4`.
    pub(super) async fn gitlab(
        &self,
        method: &Method,
        path: &[&str],
        page: usize,
        headers: &HeaderMap,
        body: &Value,
    ) -> Response {
        let Some(rights) = self.private_token(headers) else {
            return Dialect::GitLab.says(Refusal::BadToken);
        };
        let ["projects", project, rest @ ..] = path else {
            return said(StatusCode::NOT_FOUND, "404 Not Found");
        };
        // The project's path is one segment: its slash must be encoded.
        let full_name = project.replace("%2F", "/");
        if !rights.see(&full_name) || !self.bare(&full_name).is_dir() {
            return Dialect::GitLab.says(Refusal::Unseen);
        }
        match rest {
            ["hooks", ..] if !rights.hooks => return Dialect::GitLab.says(Refusal::Hooks),
            ["statuses", ..] if !rights.statuses => return Dialect::GitLab.says(Refusal::Statuses),
            _ => {}
        }
        let level = match (rights.push, rights.hooks) {
            (false, _) => REPORTER,
            (true, false) => DEVELOPER,
            (true, true) => MAINTAINER,
        };
        match (method.as_str(), rest) {
            ("GET", []) => Json(json!({
                "id": number(&full_name), "path_with_namespace": full_name, "visibility": "private",
                "permissions": { "project_access": { "access_level": level }, "group_access": null },
            }))
            .into_response(),
            ("POST", ["hooks"]) => self.make_gitlab_hook(full_name, body),
            ("DELETE", ["hooks", id]) => {
                let mut hooks = self.hooks.lock();
                let before = hooks.len();
                hooks.retain(|hook| hook.repository != full_name || hook.id.to_string() != *id);
                let gone = hooks.len() < before;
                if gone { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }.into_response()
            }
            ("POST", ["statuses", sha]) => self.gitlab_status(full_name, sha, body).await,
            ("GET", ["repository", "commits", sha, "statuses"]) => {
                let all = self.statuses.borrow();
                let of_commit = all.iter().enumerate().filter(|(_, one)| one.sha == *sha && page == 1);
                let list = of_commit.map(|(at, status)| gitlab_shows(at + 1, status));
                Json(list.collect::<Vec<_>>()).into_response()
            }
            _ => said(StatusCode::NOT_FOUND, "404 Not Found"),
        }
    }

    /// What the token that came along in GitLab's own header may do.
    pub(super) fn private_token(&self, headers: &HeaderMap) -> Option<Rights> {
        let given = headers.get("private-token")?.to_str().ok()?;
        let Requester::User(rights) = self.whose(given) else { return None };
        Some(rights).filter(|_| !given.is_empty())
    }

    fn make_gitlab_hook(&self, repository: String, body: &Value) -> Response {
        let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
        let (url, secret) = (text("url"), text("token"));
        if url.is_empty() || secret.is_empty() {
            return self.complains(&format!("a webhook of GitLab's without url or token: {body}"));
        }
        let wished = |field: &&str| body[*field] == true;
        let kinds = ["push_events", "tag_push_events", "merge_requests_events"];
        let events = kinds.iter().filter(|kind| wished(kind)).map(|kind| (*kind).to_owned()).collect();
        let mut hooks = self.hooks.lock();
        let hook = Hook { id: 700 + hooks.len() as u64, repository, url, events, secret };
        hooks.push(hook.clone());
        (StatusCode::CREATED, Json(json!({ "id": hook.id, "url": hook.url }))).into_response()
    }

    async fn gitlab_status(&self, repository: String, sha: &str, body: &Value) -> Response {
        let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
        let status = Status {
            state: text("state"),
            context: text("name"),
            description: text("description"),
            target_url: text("target_url"),
            sha: sha.to_owned(),
            at: Instant::now(),
            repository,
        };
        if !WORDS.contains(&status.state.as_str()) || status.context.is_empty() {
            return self.complains(&format!("a status of GitLab's without name, or in another word: {body}"));
        }
        if !self.has_commit(&status.repository, sha).await {
            return said(StatusCode::NOT_FOUND, "404 Commit Not Found");
        }
        let newest = |all: &[Status]| {
            let same = |other: &&Status| other.sha == status.sha && other.context == status.context;
            all.iter().rfind(same).map(|status| status.state.clone())
        };
        if newest(&self.statuses.borrow()).as_ref() == Some(&status.state) {
            let message = format!("Cannot transition status via :enqueue from :{}", status.state);
            return said(StatusCode::BAD_REQUEST, &message);
        }
        let shown = gitlab_shows(self.statuses.borrow().len() + 1, &status);
        self.statuses.send_modify(|all| all.push(status));
        (StatusCode::CREATED, Json(shown)).into_response()
    }
}

fn gitlab_shows(id: usize, status: &Status) -> Value {
    json!({
        "id": id, "sha": status.sha, "status": status.state, "name": status.context,
        "description": status.description, "target_url": status.target_url,
    })
}
