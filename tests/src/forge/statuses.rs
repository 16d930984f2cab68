//! `POST /repos/{owner}/{repo}/statuses/{sha}`, in GitHub's shapes. Gitea's `/api/v1/…` is taken too.

use std::sync::LazyLock;

use axum::{
    Json,
    extract::Request,
    response::{IntoResponse as _, Response},
};
use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::{Desk, lock};
use crate::git;

/// GitHub's limit on a description, in characters. Its description of the API does not say so.
const MAX_DESCRIPTION_CHARS: usize = 140;
/// GitHub's limit on the statuses of one commit and context.
const MAX_STATUSES: usize = 1000;
/// Far more than a status has.
const MAX_BODY_BYTES: usize = 1 << 20;

/// What GitHub says of the request's body.
static BODY: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let description: Value = serde_json::from_str(include_str!("../../testdata/github-openapi.json"))
        .expect("the copy of GitHub's description is JSON");
    let post = &description["paths"]["/repos/{owner}/{repo}/statuses/{sha}"]["post"];
    let mut schema = post["requestBody"]["content"]["application/json"]["schema"].clone();
    say_null(&mut schema);
    jsonschema::validator_for(&schema).expect("GitHub's schema is one")
});

/// OpenAPI 3.0's `nullable` in the words of JSON Schema.
fn say_null(schema: &mut Value) {
    if let Value::Object(fields) = schema {
        if fields.remove("nullable") == Some(Value::Bool(true)) {
            let kind = fields.get("type").cloned().unwrap_or_default();
            fields.insert("type".to_owned(), json!([kind, "null"]));
        }
        fields.values_mut().for_each(say_null);
    }
}

/// A status as it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// `owner/name`.
    pub repository: String,
    /// The commit.
    pub sha: String,
    /// `pending`, `success`, `failure` or `error`.
    pub state: String,
    /// Which of the commit's statuses.
    pub context: String,
    /// What happened.
    pub description: String,
    /// The page behind it.
    pub target_url: String,
}

/// Which statuses a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    repository: String,
    sha: String,
}

impl Place {
    pub(super) fn of(path: &str) -> Option<Self> {
        let path = path.strip_prefix("/api/v1").unwrap_or(path);
        match path.strip_prefix("/repos/")?.split('/').collect::<Vec<_>>()[..] {
            [owner, name, "statuses", sha] => {
                Some(Self { repository: format!("{owner}/{name}"), sha: sha.to_owned() })
            }
            _ => None,
        }
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

impl Desk {
    pub(super) async fn status(&self, place: Place, request: Request) -> Response {
        let failure = {
            let mut failures = lock(&self.failures);
            (!failures.is_empty()).then(|| failures.remove(0))
        };
        if let Some(code) = failure {
            return StatusCode::from_u16(code).expect("a status").into_response();
        }
        if request.method() != Method::POST {
            return refused(StatusCode::NOT_FOUND, "Not Found", json!([]));
        }
        let authorization =
            request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = authorization.and_then(|value| value.split_once(' ')).map(|(_, token)| token.to_owned());
        match (given, &self.token) {
            (None, _) => return refused(StatusCode::NOT_FOUND, "Not Found", json!([])),
            (Some(given), Some(token)) if given != *token => {
                return refused(StatusCode::UNAUTHORIZED, "Bad credentials", json!([]));
            }
            (Some(_), _) => {}
        }
        if !request.headers().contains_key(header::USER_AGENT) {
            return refused(StatusCode::FORBIDDEN, "Request forbidden by administrative rules.", json!([]));
        }
        let bytes = axum::body::to_bytes(request.into_body(), MAX_BODY_BYTES).await.unwrap_or_default();
        let Ok(body) = serde_json::from_slice::<Value>(&bytes) else {
            return refused(StatusCode::BAD_REQUEST, "Problems parsing JSON", json!([]));
        };
        self.take(place, &body).await
    }

    async fn take(&self, place: Place, body: &Value) -> Response {
        if let Err(error) = BODY.validate(body) {
            return invalid(&error.instance_path().to_string(), &error.to_string());
        }
        let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
        let status = Status {
            state: text("state"),
            context: body["context"].as_str().unwrap_or("default").to_owned(),
            description: text("description"),
            target_url: text("target_url"),
            repository: place.repository,
            sha: place.sha,
        };
        if status.description.chars().count() > MAX_DESCRIPTION_CHARS {
            return invalid("description", "description is too long (maximum is 140 characters)");
        }
        let is_web = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        if !status.target_url.is_empty() && !is_web(&status.target_url) {
            return invalid("target_url", "target_url must use http(s) scheme");
        }
        let bare = self.repos.join(format!("{}.git", status.repository));
        if !bare.is_dir() {
            return refused(StatusCode::NOT_FOUND, "Not Found", json!([]));
        }
        let commit = format!("{}^{{commit}}", status.sha);
        let known = git::command(&bare).args(["cat-file", "-e", &commit]).output().await;
        if !known.is_ok_and(|output| output.status.success()) {
            let message = format!("No commit found for SHA: {}", status.sha);
            return refused(StatusCode::UNPROCESSABLE_ENTITY, &message, json!([]));
        }
        let same =
            |other: &&Status| other.sha == status.sha && other.context.eq_ignore_ascii_case(&status.context);
        if self.statuses.borrow().iter().filter(same).count() >= MAX_STATUSES {
            return invalid("sha", "This SHA and context has reached the maximum number of statuses.");
        }
        let id = self.statuses.borrow().len() + 1;
        let reply = json!({
            "id": id, "state": status.state, "status": status.state, "context": status.context,
            "description": status.description, "target_url": status.target_url,
            "url": format!("/repos/{}/statuses/{}", status.repository, status.sha),
        });
        self.statuses.send_modify(|all| all.push(status));
        (StatusCode::CREATED, Json(reply)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn githubs_description_knows_four_states() {
        assert!(BODY.is_valid(&json!({ "state": "pending", "description": null })));
        assert!(!BODY.is_valid(&json!({ "state": "running" })));
        assert!(!BODY.is_valid(&json!({})));
    }

    #[test]
    fn a_path_of_a_repository_is_no_place_for_a_status() {
        let place = Place::of("/repos/a/b/statuses/1f").unwrap();
        assert_eq!((place.repository.as_str(), place.sha.as_str()), ("a/b", "1f"));
        assert!(Place::of("/api/v1/repos/a/b/statuses/1f").is_some());
        assert!(Place::of("/a/b.git/info/refs").is_none());
    }
}
