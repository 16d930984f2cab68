//! The server of the fake forge: authenticates a request, routes it, and injects outages.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};

use axum::{
    Json,
    extract::Request,
    response::{IntoResponse as _, Response},
};
use http::{StatusCode, Uri, header, request::Parts};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;

use super::{
    CheckRun, Hook, Kind, Minted, Outage, Rights, Seen, Status, app,
    app_deliveries::Sent,
    kind::Dialect,
    limits::Limits,
    openapi::{self, Operation},
    outage::{Cut, Outages, Part},
    said,
    token_rights::Tokens,
};
use crate::{
    git,
    git_server::{self, Fault},
};

/// Far more than a request to the API has.
const MAX_BODY_BYTES: usize = 1 << 20;

/// Requester asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Requester {
    /// No credential at all.
    Anonymous,
    /// An invalid or revoked credential.
    InvalidToken,
    /// A user, with the rights of the token.
    User(Rights),
    /// The App itself.
    App,
    /// An installation of the App.
    Installation(Minted),
}

/// The state of a fake forge, shared with its server.
#[derive(Debug)]
pub(super) struct ServerState {
    pub(super) repos: PathBuf,
    pub(super) token: Option<String>,
    pub(super) tokens: Mutex<Tokens>,
    pub(super) limits: Mutex<Limits>,
    pub(super) kind: Mutex<Kind>,
    /// The path that everything is below; none: an empty text.
    pub(super) root: Mutex<String>,
    pub(super) seen: watch::Sender<Vec<Seen>>,
    pub(super) faults: Mutex<HashMap<String, Fault>>,
    pub(super) statuses: watch::Sender<Vec<Status>>,
    pub(super) checks: watch::Sender<Vec<CheckRun>>,
    pub(super) hooks: Mutex<Vec<Hook>>,
    pub(super) sent: Mutex<Vec<Sent>>,
    pub(super) installed: Mutex<app::Installed>,
    pub(super) outages: Mutex<BTreeMap<Part, Outages>>,
    /// Requests that GitHub would not have understood, and answers that it would not have given.
    pub(super) complaints: Mutex<Vec<String>>,
}

impl ServerState {
    pub(super) async fn answer(&self, cut: &Cut, mut request: Request) -> Response {
        let authorization = request.headers().get(header::AUTHORIZATION);
        let seen = Seen {
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            authorization: authorization.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
        };
        self.seen.send_modify(|all| all.push(seen));
        let root = self.root.lock().clone();
        let Some(uri) = below(&root, request.uri()) else { return StatusCode::NOT_FOUND.into_response() };
        *request.uri_mut() = uri;
        let path = request.uri().path().to_owned();
        let kind = *self.kind.lock();
        match Dialect::of(&path) {
            Some((dialect, _)) if !kind.speaks(dialect) => StatusCode::NOT_FOUND.into_response(),
            Some((dialect, segments)) if segments == ["version"] => self.version(dialect, request.headers()),
            Some((Dialect::GitHub, segments)) => {
                let mut answer = self.api(cut, &segments, Dialect::GitHub, request).await;
                self.stamp(answer.headers_mut());
                answer
            }
            Some((Dialect::Gitea, segments)) => self.api(cut, &segments, Dialect::Gitea, request).await,
            Some((Dialect::GitLab, segments)) => {
                let (parts, body) = request.into_parts();
                let bytes = axum::body::to_bytes(body, MAX_BODY_BYTES).await.unwrap_or_default();
                let body = serde_json::from_slice(&bytes).unwrap_or_default();
                self.gitlab(&parts.method, &segments, page(parts.uri.query()), &parts.headers, &body).await
            }
            None => {
                if let Some(refused) = self.refuses_fetch(&path, request.headers()) {
                    return refused;
                }
                let path = path.trim_start_matches('/');
                let fault = self
                    .faults
                    .lock()
                    .iter()
                    .find(|(repo, _)| path.starts_with(*repo))
                    .map(|(_, fault)| fault.clone());
                git_server::serve(&self.repos, fault.as_ref(), request).await
            }
        }
    }

    async fn api(&self, cut: &Cut, path: &[&str], dialect: Dialect, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let bytes = axum::body::to_bytes(body, MAX_BODY_BYTES).await.unwrap_or_default();
        let body: Value = match serde_json::from_slice(&bytes) {
            Ok(body) => body,
            Err(_) if bytes.is_empty() => Value::Null,
            Err(_) => return said(StatusCode::BAD_REQUEST, "Problems parsing JSON"),
        };
        if !parts.headers.contains_key(header::USER_AGENT) {
            return said(StatusCode::FORBIDDEN, "Request forbidden by administrative rules.");
        }
        let at = parts.uri.path();
        let wrong = openapi::wrong_with(parts.method.as_str(), at, parts.uri.query(), &body);
        if let Some(wrong) = wrong.filter(|_| dialect == Dialect::GitHub) {
            return self.complains(&wrong);
        }
        // As it is now: a token may end before a request that is late is taken.
        let who = self.who(&parts.headers);
        let outage = Part::of(path).and_then(|part| self.outages.lock().entry(part).or_default().next());
        match &outage {
            Some(Outage::Answer(code, headers)) => {
                let mut answer = said(StatusCode::from_u16(*code).expect("a status"), "no");
                for (name, value) in headers {
                    answer.headers_mut().insert(*name, value.parse().expect("a header's value"));
                }
                return answer;
            }
            Some(Outage::Hang) => std::future::pending().await,
            Some(Outage::Late(time)) => tokio::time::sleep(*time).await,
            Some(Outage::Reset) => {
                cut.now();
                return StatusCode::BAD_GATEWAY.into_response();
            }
            Some(Outage::Lost) | None => {}
        }
        let answer = match self.refuses(&who, dialect, path, &parts) {
            Some(refused) => refused,
            None => self.route(&who, path, &parts, &body).await,
        };
        if outage == Some(Outage::Lost) {
            cut.now();
        }
        answer
    }

    /// The answer to a request that is over a limit, or that the token may not make.
    fn refuses(&self, who: &Requester, dialect: Dialect, path: &[&str], parts: &Parts) -> Option<Response> {
        let Parts { method, headers, .. } = parts;
        match dialect {
            Dialect::GitHub => self
                .spent()
                .or_else(|| dialect.refusal(who, method, path))
                .or_else(|| self.limited(who, method, path, headers)),
            Dialect::Gitea | Dialect::GitLab => dialect.refusal(who, method, path),
        }
    }

    async fn route(&self, who: &Requester, path: &[&str], parts: &Parts, body: &Value) -> Response {
        let method = &parts.method;
        let full_name = match path {
            ["repos", owner, name, ..] => format!("{owner}/{name}"),
            _ => String::new(),
        };
        match path[..] {
            ["repos", _, _] => self.repository(who, &full_name),
            ["repos", _, _, "installation"] => self.installed_on(who, &full_name),
            ["repos", _, _, "statuses", sha] => self.status(who, method, &full_name, sha, body).await,
            ["repos", _, _, "check-runs"] => self.check_run(who, method, &full_name, None, body).await,
            ["repos", _, _, "check-runs", id] => {
                self.check_run(who, method, &full_name, Some(id), body).await
            }
            ["repos", _, _, "commits", sha, "status"] => {
                self.combined(who, &full_name, sha, page(parts.uri.query()))
            }
            ["repos", _, _, "commits", sha, "check-runs"] => self.check_runs_of(who, &full_name, sha),
            ["repos", _, _, "hooks"] => self.hooks(who, method, &full_name, body),
            ["repos", _, _, "hooks", id] => self.hook(who, method, id, body),
            ["app"] => self.app(who),
            ["app", "hook", "deliveries"] => self.tries(who),
            ["app", "hook", "deliveries", id, "attempts"] => self.once_more(who, id).await,
            ["app", "installations", id, "access_tokens"] => self.mint(who, id, body),
            ["installation", "repositories"] => self.repositories_of_installation(who),
            _ => said(StatusCode::NOT_FOUND, "Not Found"),
        }
    }

    pub(super) fn bare(&self, full_name: &str) -> PathBuf {
        self.repos.join(format!("{full_name}.git"))
    }

    /// A tag object is none, though it leads to one.
    pub(super) async fn has_commit(&self, full_name: &str, sha: &str) -> bool {
        let bare = self.bare(full_name);
        bare.is_dir()
            && git::command(&bare)
                .args(["cat-file", "-t", sha])
                .output()
                .await
                .is_ok_and(|output| output.status.success() && output.stdout.trim_ascii() == b"commit")
    }

    /// The answer to a request that is not as GitHub describes it.
    pub(super) fn misdescribed(&self, operation: Operation, body: &Value) -> Option<Response> {
        let (field, error) = operation.request(body).err()?;
        Some(self.complains(&format!("{operation:?}: {field}: {error}")))
    }

    /// Notes what GitHub would not have understood, and refuses it.
    pub(super) fn complains(&self, what: &str) -> Response {
        self.complaints.lock().push(format!("understood this: {what}"));
        said(StatusCode::UNPROCESSABLE_ENTITY, &format!("Validation Failed: {what}"))
    }

    /// An answer, which must be one of GitHub's.
    pub(super) fn reply(&self, operation: Operation, status: StatusCode, body: Value) -> Response {
        if let Err((field, error)) = operation.reply(status.as_u16(), &body) {
            self.complaints.lock().push(format!("answered so: {operation:?}: {field}: {error}"));
        }
        (status, Json(body)).into_response()
    }
}

/// An address as it is below the path of the forge's root; none: it lies outside.
fn below(root: &str, uri: &Uri) -> Option<Uri> {
    let rest = uri.path_and_query()?.as_str().strip_prefix(root)?;
    rest.starts_with('/').then(|| rest.parse().ok()).flatten()
}

/// Which page of a list is asked for.
fn page(query: Option<&str>) -> usize {
    let mut fields = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    fields.find(|(name, _)| name == "page").and_then(|(_, page)| page.parse().ok()).unwrap_or(1)
}
