//! A GitHub for one test: it believes the App's proof alone, mints tokens that it remembers, and knows
//! installations, repositories and webhooks. The same repositories are Gitea's and GitLab's ([`repositories`]).

#![expect(dead_code, reason = "each test file uses some of it")]

pub(crate) mod repositories;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    process::Command,
    sync::{Arc, Mutex, MutexGuard, OnceLock},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, Query, Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use http::{HeaderMap, StatusCode};
use octocrab::jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

/// The App's id here.
pub(crate) const APP_ID: u64 = 4711;
/// A user's token that may do everything; so may each that begins with it.
pub(crate) const ADMIN_TOKEN: &str = "ghp_may_do_all";
/// A user's token that may only read.
pub(crate) const READER_TOKEN: &str = "ghp_reads";
/// A user's token that sees no repository.
pub(crate) const BLIND_TOKEN: &str = "ghp_sees_nothing";

/// One installation token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Minted {
    pub(crate) token: String,
    pub(crate) installation: u64,
    pub(crate) repositories: Vec<u64>,
    pub(crate) permissions: Value,
}

/// One delivery to the App's webhook that failed.
#[derive(Debug, Clone)]
pub(crate) struct Lost {
    pub(crate) guid: &'static str,
    /// Answers to whoever wants it once more.
    pub(crate) once_more: StatusCode,
}

/// What the double knows.
#[derive(Default)]
pub(crate) struct Known {
    /// Installations, and their repositories: number and full name.
    pub(crate) installations: HashMap<u64, Vec<(u64, String)>>,
    pub(crate) suspended: HashSet<u64>,
    /// Every token, in order.
    pub(crate) minted: Vec<Minted>,
    /// Lives of the next tokens of a single repository, in seconds; an hour after that.
    pub(crate) lives_s: VecDeque<i64>,
    /// Webhooks: number and where they lead.
    pub(crate) webhooks: HashMap<u64, String>,
    /// How often it was asked whose the App is.
    pub(crate) asked_for_owner: usize,
    /// What the App's webhook was sent and when it failed; the id of each try is its place, from 1.
    pub(crate) lost: Vec<Lost>,
    /// Tries that were asked for once more, in order.
    pub(crate) asked_again: Vec<u64>,
    /// Whether every request is answered with 502.
    pub(crate) is_down: bool,
    /// Every request is answered so late.
    pub(crate) slow: Option<Duration>,
    /// Tokens that may only read, besides the usual one.
    pub(crate) readers: HashSet<String>,
    /// How often it was asked about a repository, by whomever.
    pub(crate) asked_about: usize,
    /// The events of every request for a webhook, in order.
    pub(crate) subscribed: Vec<Value>,
    /// Whether it is too old to know merge queues.
    pub(crate) knows_no_queues: bool,
}

struct Desk {
    public_key: &'static str,
    known: Mutex<Known>,
    asked_again: Notify,
}

/// The App's key: made once for all tests of a file, because it takes a second.
fn key() -> &'static (String, String) {
    static KEY: OnceLock<(String, String)> = OnceLock::new();
    KEY.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let openssl = |arguments: &[&str]| {
            let output = Command::new("openssl").current_dir(folder.path()).args(arguments).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let private = openssl(&["genrsa", "2048"]);
        std::fs::write(folder.path().join("in"), &private).unwrap();
        (private, openssl(&["rsa", "-in", "in", "-pubout"]))
    })
}

/// A GitHub that answers on a port of its own.
pub(crate) struct Github {
    pub(crate) url: String,
    desk: Arc<Desk>,
    folder: TempDir,
    serving: JoinHandle<()>,
}

impl Drop for Github {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Github {
    pub(crate) async fn start() -> Self {
        let (private, public_key) = key();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.pem");
        std::fs::write(&path, private).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let desk = Arc::new(Desk { public_key, known: Mutex::default(), asked_again: Notify::new() });
        let app = Router::new()
            .route("/app", get(owner))
            .route("/app/installations/{id}/access_tokens", post(mint))
            .route("/app/hook/deliveries", get(deliveries))
            .route("/app/hook/deliveries/{id}/attempts", post(deliver_again))
            .route("/installation/repositories", get(list))
            .route("/repos/{owner}/{name}/installation", get(installed_on))
            .route("/repos/{owner}/{name}/hooks", post(make_webhook))
            .route("/repos/{owner}/{name}/hooks/{id}", delete(remove_webhook))
            .merge(repositories::routes())
            .layer(from_fn_with_state(Arc::clone(&desk), unless_down))
            .with_state(Arc::clone(&desk));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, desk, folder, serving }
    }

    /// What a gateway must be told to be this GitHub's App.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let key_file = self.folder.path().join("app.pem").to_str().unwrap().to_owned();
        vec![
            ("GITFAAS_GITHUB_API_URL", self.url.clone()),
            ("GITFAAS_GITHUB_APP_ID", APP_ID.to_string()),
            ("GITFAAS_GITHUB_APP_KEY_FILE", key_file),
            ("GITFAAS_CLONE_ALLOW", "127.0.0.1/32".to_owned()),
        ]
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.desk.known.lock().unwrap()
    }

    /// Returns once it was asked for this try of a delivery once more.
    pub(crate) async fn is_asked_again(&self, attempt: u64) {
        while !self.known().asked_again.contains(&attempt) {
            self.desk.asked_again.notified().await;
        }
    }

    /// Returns once it was asked for so many tries once more.
    pub(crate) async fn is_asked(&self, times: usize) {
        while self.known().asked_again.len() < times {
            self.desk.asked_again.notified().await;
        }
    }

    /// The App is on these repositories now.
    pub(crate) fn install(&self, installation: u64, repositories: &[(u64, &str)]) {
        let repositories = repositories.iter().map(|(id, name)| (*id, (*name).to_owned())).collect();
        self.known().installations.insert(installation, repositories);
    }

    /// The token with which somebody does something, as it was minted.
    pub(crate) fn behind(&self, token: &str) -> Minted {
        let found = self.known().minted.iter().find(|minted| minted.token == token).cloned();
        found.unwrap_or_else(|| panic!("{token} was not minted here"))
    }

    /// Where the webhooks lead.
    pub(crate) fn webhooks(&self) -> Vec<String> {
        self.known().webhooks.values().cloned().collect()
    }

    /// Tokens that were minted for single repositories so far.
    pub(crate) fn lent(&self) -> usize {
        self.known().minted.iter().filter(|minted| !minted.repositories.is_empty()).count()
    }
}

fn bearer(headers: &HeaderMap) -> &str {
    let value = headers.get("authorization").and_then(|value| value.to_str().ok());
    value.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default()
}

/// The token, in the header of whichever forge.
fn credential(headers: &HeaderMap) -> &str {
    let of = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let plain = of("private-token").or_else(|| of("authorization")?.strip_prefix("token "));
    plain.unwrap_or_else(|| bearer(headers))
}

fn may_do_all(token: &str) -> bool {
    token.starts_with(ADMIN_TOKEN)
}

fn said(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "message": message }))).into_response()
}

impl Desk {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    /// Whether the bearer proves to be the App: signed with its key, in its name, made before now, for ten
    /// minutes at most.
    fn is_app(&self, headers: &HeaderMap) -> bool {
        let key = DecodingKey::from_rsa_pem(self.public_key.as_bytes()).unwrap();
        let mut rules = Validation::new(Algorithm::RS256);
        rules.set_required_spec_claims(&["exp"]);
        let Ok(proof) = decode::<Value>(bearer(headers), &key, &rules) else { return false };
        let number = |claim: &str| proof.claims[claim].as_i64();
        let (Some(made), Some(ends)) = (number("iat"), number("exp")) else { return false };
        let issuer = proof.claims["iss"].to_string();
        issuer.trim_matches('"') == APP_ID.to_string()
            && made <= jiff::Timestamp::now().as_second()
            && (0..=600).contains(&(ends - made))
    }

    /// The repositories that a bearer sees.
    fn seen_by(&self, headers: &HeaderMap) -> Option<Vec<(u64, String)>> {
        let known = self.known();
        let token = credential(headers);
        if token == BLIND_TOKEN {
            return Some(Vec::new());
        }
        if may_do_all(token) || token == READER_TOKEN {
            return Some(known.installations.values().flatten().cloned().collect());
        }
        let minted = known.minted.iter().find(|minted| minted.token == token)?;
        let all = known.installations.get(&minted.installation)?;
        let sees = |id: &u64| minted.repositories.is_empty() || minted.repositories.contains(id);
        Some(all.iter().filter(|(id, _)| sees(id)).cloned().collect())
    }
}

type At = State<Arc<Desk>>;

async fn unless_down(State(desk): At, request: Request, next: Next) -> Response {
    if desk.known().is_down {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let slow = desk.known().slow;
    if let Some(late) = slow {
        tokio::time::sleep(late).await;
    }
    next.run(request).await
}

async fn owner(State(desk): At, headers: HeaderMap) -> Response {
    if !desk.is_app(&headers) {
        return said(StatusCode::UNAUTHORIZED, "A JSON web token could not be decoded");
    }
    desk.known().asked_for_owner += 1;
    Json(json!({ "id": APP_ID, "owner": { "id": 5, "login": "acme" } })).into_response()
}

async fn mint(
    State(desk): At,
    Path(installation): Path<u64>,
    headers: HeaderMap,
    Json(asked): Json<Value>,
) -> Response {
    if !desk.is_app(&headers) {
        return said(StatusCode::UNAUTHORIZED, "A JSON web token could not be decoded");
    }
    let mut known = desk.known();
    if known.suspended.contains(&installation) {
        return said(StatusCode::FORBIDDEN, "This installation has been suspended");
    }
    let Some(all) = known.installations.get(&installation) else {
        return said(StatusCode::NOT_FOUND, "Not Found");
    };
    let wanted: Vec<u64> = serde_json::from_value(asked["repository_ids"].clone()).unwrap_or_default();
    if !wanted.iter().all(|id| all.iter().any(|(known, _)| known == id)) {
        return said(
            StatusCode::UNPROCESSABLE_ENTITY,
            "There is at least one repository that does not exist",
        );
    }
    let life_s = if wanted.is_empty() { 3600 } else { known.lives_s.pop_front().unwrap_or(3600) };
    let token = format!("ghs_{}", known.minted.len());
    let permissions = asked["permissions"].clone();
    known.minted.push(Minted { token: token.clone(), installation, repositories: wanted, permissions });
    let ends = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(life_s);
    (StatusCode::CREATED, Json(json!({ "token": token, "expires_at": ends }))).into_response()
}

async fn deliveries(State(desk): At, headers: HeaderMap) -> Response {
    if !desk.is_app(&headers) {
        return said(StatusCode::UNAUTHORIZED, "A JSON web token could not be decoded");
    }
    let known = desk.known();
    let tries = known.lost.iter().enumerate().rev().map(|(place, lost)| {
        let id = place + 1;
        json!({ "id": id, "guid": lost.guid, "delivered_at": format!("2026-01-02T03:04:{id:02}Z"),
                "redelivery": false, "status": "Service Unavailable", "status_code": 503, "event": "push" })
    });
    Json(tries.collect::<Vec<_>>()).into_response()
}

async fn deliver_again(State(desk): At, Path(attempt): Path<u64>, headers: HeaderMap) -> Response {
    if !desk.is_app(&headers) {
        return said(StatusCode::UNAUTHORIZED, "A JSON web token could not be decoded");
    }
    let mut known = desk.known();
    let index = usize::try_from(attempt - 1).unwrap();
    known.asked_again.push(attempt);
    let answer = known.lost[index].once_more;
    desk.asked_again.notify_one();
    (answer, Json(json!({}))).into_response()
}

async fn list(State(desk): At, Query(page): Query<HashMap<String, usize>>, headers: HeaderMap) -> Response {
    let Some(seen) = desk.seen_by(&headers) else {
        return said(StatusCode::UNAUTHORIZED, "Bad credentials");
    };
    let (size, number) = (page["per_page"], page["page"]);
    let described: Vec<Value> =
        seen.iter().map(|(id, name)| json!({ "id": id, "full_name": name, "private": true })).collect();
    let some: Vec<Value> = described.iter().skip(size * (number - 1)).take(size).cloned().collect();
    Json(json!({ "total_count": described.len(), "repositories": some })).into_response()
}

async fn installed_on(
    State(desk): At,
    Path((owner, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if !desk.is_app(&headers) {
        return said(StatusCode::UNAUTHORIZED, "A JSON web token could not be decoded");
    }
    let known = desk.known();
    let full_name = format!("{owner}/{name}");
    let has = |all: &[(u64, String)]| all.iter().any(|(_, name)| *name == full_name);
    match known.installations.iter().find(|(_, all)| has(all)) {
        Some((id, _)) => Json(json!({ "id": id })).into_response(),
        None => said(StatusCode::NOT_FOUND, "Not Found"),
    }
}

async fn make_webhook(State(desk): At, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if !may_do_all(credential(&headers)) {
        return said(StatusCode::FORBIDDEN, "Resource not accessible by personal access token");
    }
    let secret = body["config"]["secret"].as_str().unwrap_or_default();
    assert!(secret.len() >= 32 && body["config"]["content_type"] == "json", "{body}");
    let mut known = desk.known();
    known.subscribed.push(body["events"].clone());
    if known.knows_no_queues && body["events"].to_string().contains("merge_group") {
        let message = "Validation Failed: `merge_group` is not an event of this webhook";
        return said(StatusCode::UNPROCESSABLE_ENTITY, message);
    }
    let id = 500 + known.webhooks.len() as u64;
    known.webhooks.insert(id, body["config"]["url"].as_str().unwrap().to_owned());
    (StatusCode::CREATED, Json(json!({ "id": id }))).into_response()
}

async fn remove_webhook(
    State(desk): At,
    Path((_, _, id)): Path<(String, String, u64)>,
    headers: HeaderMap,
) -> Response {
    if !may_do_all(credential(&headers)) {
        return said(StatusCode::FORBIDDEN, "Resource not accessible by personal access token");
    }
    match desk.known().webhooks.remove(&id) {
        Some(_) => StatusCode::NO_CONTENT.into_response(),
        None => said(StatusCode::NOT_FOUND, "Not Found"),
    }
}
