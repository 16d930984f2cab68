//! Check runs, created and updated by an App alone: `POST` and `PATCH …/check-runs`, and the list of a
//! commit, in GitHub's shapes and with the rules that its description lacks.

use std::time::Instant;

use axum::response::{IntoResponse as _, Response};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    Requester, ServerState,
    openapi::{Operation, example},
    said,
};

/// GitHub's limit on the annotations of one request.
const MAX_ANNOTATIONS: usize = 50;

const MAKE: Operation = Operation("post", "/repos/{owner}/{repo}/check-runs");
const CHANGE: Operation = Operation("patch", "/repos/{owner}/{repo}/check-runs/{check_run_id}");

/// A check run as it stands.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CheckRun {
    /// GitHub's number of it.
    pub id: u64,
    /// `owner/name`.
    pub repository: String,
    /// The commit.
    pub sha: String,
    /// Which of the commit's checks.
    pub name: String,
    /// Whatever its App calls it.
    pub external_id: String,
    /// The page behind it.
    pub details_url: String,
    /// Every status it had: `queued`, `in_progress`, `completed`.
    pub statuses: Vec<String>,
    /// How it ended.
    pub conclusion: Option<String>,
    /// What happened.
    pub title: String,
    /// More of it.
    pub summary: String,
    /// The end of the log.
    pub text: String,
    /// Remarks beside lines: path, line and message.
    pub annotations: Vec<(String, u64, String)>,
    /// How it stood after each request, oldest first.
    pub history: Vec<CheckState>,
}

/// How a check run stood, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckState {
    /// `queued`, `in_progress` or `completed`.
    pub status: String,
    /// How it ended.
    pub conclusion: Option<String>,
    /// What was shown.
    pub title: String,
    /// When the request came.
    pub at: Instant,
}

impl CheckRun {
    /// Whether the last that was said of it is that it ended.
    pub fn is_completed(&self) -> bool {
        self.statuses.last().is_some_and(|status| status == "completed")
    }

    fn takes(&mut self, body: &Value) {
        let text = |value: &Value, old: &str| value.as_str().unwrap_or(old).to_owned();
        self.external_id = text(&body["external_id"], &self.external_id);
        self.details_url = text(&body["details_url"], &self.details_url);
        self.conclusion = body["conclusion"].as_str().map(str::to_owned).or(self.conclusion.take());
        self.statuses.extend(body["status"].as_str().map(str::to_owned));
        let output = &body["output"];
        self.title = text(&output["title"], &self.title);
        self.summary = text(&output["summary"], &self.summary);
        self.text = text(&output["text"], &self.text);
        let new = output["annotations"].as_array().cloned().unwrap_or_default();
        self.annotations.extend(new.iter().map(|annotation| {
            let line = annotation["start_line"].as_u64().unwrap_or_default();
            (text(&annotation["path"], ""), line, text(&annotation["message"], ""))
        }));
        self.history.push(CheckState {
            status: self.statuses.last().cloned().unwrap_or_default(),
            conclusion: self.conclusion.clone(),
            title: self.title.clone(),
            at: Instant::now(),
        });
    }

    fn shown(&self) -> Value {
        let mut shown = example("check-run-example-of-in-progress-conclusion");
        for (field, value) in [
            ("id", json!(self.id)),
            ("head_sha", json!(self.sha)),
            ("name", json!(self.name)),
            ("external_id", json!(self.external_id)),
            ("details_url", json!(self.details_url)),
            ("status", json!(self.statuses.last())),
            ("conclusion", json!(self.conclusion)),
        ] {
            shown[field] = value;
        }
        shown["output"]["title"] = json!(self.title);
        shown["output"]["summary"] = json!(self.summary);
        shown["output"]["annotations_count"] = json!(self.annotations.len());
        shown
    }
}

impl ServerState {
    /// Makes a run, or changes the one with this id.
    pub(super) async fn check_run(
        &self,
        who: &Requester,
        method: &Method,
        full_name: &str,
        id: Option<&str>,
        body: &Value,
    ) -> Response {
        match who {
            Requester::InvalidToken => return said(StatusCode::UNAUTHORIZED, "Bad credentials"),
            Requester::Anonymous | Requester::User(_) | Requester::App => {
                return said(StatusCode::FORBIDDEN, "You must authenticate via a GitHub App.");
            }
            Requester::Installation(minted) if !minted.may("checks", self.number(full_name)) => {
                return said(StatusCode::FORBIDDEN, "Resource not accessible by integration");
            }
            Requester::Installation(_) => {}
        }
        let operation = match (method, id) {
            (&Method::POST, None) => MAKE,
            (&Method::PATCH, Some(_)) => CHANGE,
            _ => return said(StatusCode::NOT_FOUND, "Not Found"),
        };
        if let Some(refused) = self.misdescribed(operation, body) {
            return refused;
        }
        let annotations = body["output"]["annotations"].as_array().map_or(0, Vec::len);
        if annotations > MAX_ANNOTATIONS {
            return self.complains(&format!("{annotations} annotations in one request"));
        }
        if body["status"] == "completed" && !body["conclusion"].is_string() {
            return self.complains("completed without a conclusion");
        }
        let sha = body["head_sha"].as_str().unwrap_or_default();
        if id.is_none() && !self.has_commit(full_name, sha).await {
            let message = format!("No commit found for SHA: {sha}");
            return said(StatusCode::UNPROCESSABLE_ENTITY, &message);
        }
        let mut shown = None;
        self.checks.send_modify(|all| {
            let run = match id {
                Some(id) => {
                    all.iter_mut().find(|run| run.repository == full_name && run.id.to_string() == id)
                }
                None => {
                    all.push(CheckRun {
                        id: 9000 + all.len() as u64,
                        repository: full_name.to_owned(),
                        sha: sha.to_owned(),
                        name: body["name"].as_str().unwrap_or_default().to_owned(),
                        ..CheckRun::default()
                    });
                    all.last_mut()
                }
            };
            shown = run.map(|run| {
                run.takes(body);
                run.shown()
            });
        });
        let status = if id.is_none() { StatusCode::CREATED } else { StatusCode::OK };
        match shown {
            Some(shown) => self.reply(operation, status, shown),
            None => said(StatusCode::NOT_FOUND, "Not Found"),
        }
    }

    /// The runs of a commit, newest first as GitHub lists them.
    pub(super) fn check_runs_of(&self, who: &Requester, full_name: &str, sha: &str) -> Response {
        match who {
            Requester::InvalidToken => return said(StatusCode::UNAUTHORIZED, "Bad credentials"),
            Requester::Anonymous | Requester::User(_) | Requester::App => {
                return said(StatusCode::NOT_FOUND, "Not Found");
            }
            Requester::Installation(_) => {}
        }
        let all = self.checks.borrow();
        let runs: Vec<Value> = all
            .iter()
            .rev()
            .filter(|run| run.repository == full_name && run.sha == sha)
            .map(CheckRun::shown)
            .collect();
        axum::Json(json!({ "total_count": runs.len(), "check_runs": runs })).into_response()
    }
}
