//! What GitHub, Gitea and GitLab tell of a repository, and a file of a user's that looks like an answer.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::{FakeForge, ForgeState, READER_TOKEN, credential, error_response, make_webhook};

/// The number that a user's file claims to be of.
pub(crate) const CLAIMED: u64 = 77;
/// Where users' files lie, as at Gitea.
pub(crate) const FILES: &str = "/b/x/raw/branch/main";

pub(super) fn routes() -> Router<Arc<FakeForge>> {
    Router::new()
        .route("/repos/{owner}/{name}", get(repository))
        .route("/api/v1/repos/{owner}/{name}", get(repository))
        .route("/api/v1/repos/{owner}/{name}/hooks", post(make_webhook))
        .route("/api/v4/projects/{path}", get(project))
        .route(&format!("{FILES}/api/v1/repos/{{owner}}/{{name}}"), get(users_file))
        .route(&format!("{FILES}/repos/{{owner}}/{{name}}"), get(users_file))
}

async fn repository(
    State(forge): ForgeState,
    Path((owner, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let full_name = format!("{owner}/{name}");
    let id = match forge.look_up(&headers, &full_name) {
        Ok(id) => id,
        Err((status, message)) => return error_response(status, message),
    };
    let mut found = json!({ "id": id, "full_name": full_name });
    let token = credential(&headers);
    if !token.is_empty() {
        found["permissions"] = json!({ "push": forge.may_push(token) });
    }
    Json(found).into_response()
}

impl FakeForge {
    fn may_push(&self, token: &str) -> bool {
        token != READER_TOKEN && !self.known().readers.contains(token)
    }

    /// The number of a repository that the caller sees.
    fn look_up(&self, headers: &HeaderMap, full_name: &str) -> Result<u64, (StatusCode, &'static str)> {
        self.known().asked_about += 1;
        // Every repository is public here.
        let all = || self.known().installations.values().flatten().cloned().collect();
        let is_nobody = credential(headers).is_empty();
        let seen = if is_nobody { Some(all()) } else { self.seen_by(headers) };
        let Some(seen) = seen else { return Err((StatusCode::UNAUTHORIZED, "Bad credentials")) };
        let found = seen.iter().find(|(_, name)| name == full_name).map(|(id, _)| *id);
        found.ok_or((StatusCode::NOT_FOUND, "Not Found"))
    }
}

async fn project(State(forge): ForgeState, Path(path): Path<String>, headers: HeaderMap) -> Response {
    let id = match forge.look_up(&headers, &path) {
        Ok(id) => id,
        Err((status, message)) => return error_response(status, message),
    };
    let level = if forge.may_push(credential(&headers)) { 30 } else { 20 };
    let mut found = json!({ "id": id, "path_with_namespace": path });
    if !credential(&headers).is_empty() {
        found["permissions"] = json!({ "project_access": { "access_level": level }, "group_access": null });
    }
    Json(found).into_response()
}

/// What a user wrote into a file of a repository of the user's own.
async fn users_file() -> Response {
    let claim = json!({ "id": CLAIMED, "full_name": "a/secret", "permissions": { "push": true } });
    Json(claim).into_response()
}
