//! A fake GitHub for one test: it authenticates the App, mints tokens that it remembers, and has
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
pub(crate) struct FailedDelivery {
    pub(crate) guid: &'static str,
    /// The answer to a request for its redelivery.
    pub(crate) redelivery_status: StatusCode,
}

/// The data of the forge.
#[derive(Default)]
pub(crate) struct ForgeData {
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
    pub(crate) failed_deliveries: Vec<FailedDelivery>,
    /// Attempts whose redelivery was requested, in order.
    pub(crate) redeliveries: Vec<u64>,
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
    pub(crate) lacks_merge_queues: bool,
}

struct FakeForge {
    public_key: &'static str,
    known: Mutex<ForgeData>,
    redeliveries: Notify,
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
    forge: Arc<FakeForge>,
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
        let forge = Arc::new(FakeForge { public_key, known: Mutex::default(), redeliveries: Notify::new() });
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
            .layer(from_fn_with_state(Arc::clone(&forge), unless_down))
            .with_state(Arc::clone(&forge));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, forge, folder, serving }
    }

    /// The settings of a gateway that is this GitHub's App.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let key_file = self.folder.path().join("app.pem").to_str().unwrap().to_owned();
        vec![
            ("GITFAAS_GITHUB_API_URL", self.url.clone()),
            ("GITFAAS_GITHUB_APP_ID", APP_ID.to_string()),
            ("GITFAAS_GITHUB_APP_KEY_FILE", key_file),
            ("GITFAAS_CLONE_ALLOW", "127.0.0.1/32".to_owned()),
        ]
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, ForgeData> {
        self.forge.known.lock().unwrap()
    }

    /// Returns once the redelivery of this attempt was requested.
    pub(crate) async fn is_asked_to_redeliver(&self, attempt: u64) {
        while !self.known().redeliveries.contains(&attempt) {
            self.forge.redeliveries.notified().await;
        }
    }

    /// Returns once so many redeliveries were requested.
    pub(crate) async fn is_asked_times(&self, times: usize) {
        while self.known().redeliveries.len() < times {
            self.forge.redeliveries.notified().await;
        }
    }

    /// The App is on these repositories now.
    pub(crate) fn install(&self, installation: u64, repositories: &[(u64, &str)]) {
        let repositories = repositories.iter().map(|(id, name)| (*id, (*name).to_owned())).collect();
        self.known().installations.insert(installation, repositories);
    }

    /// A token as it was minted.
    pub(crate) fn behind(&self, token: &str) -> Minted {
        let found = self.known().minted.iter().find(|minted| minted.token == token).cloned();
        found.unwrap_or_else(|| panic!("{token} was not minted here"))
    }

    /// Where the webhooks lead.
    pub(crate) fn webhooks(&self) -> Vec<String> {
        self.known().webhooks.values().cloned().collect()
    }

    /// Tokens that were minted for single repositories so far.
    pub(crate) fn repository_tokens(&self) -> usize {
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

fn error_response(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "message": message }))).into_response()
}

impl FakeForge {
    fn known(&self) -> MutexGuard<'_, ForgeData> {
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

type ForgeState = State<Arc<FakeForge>>;

async fn unless_down(State(forge): ForgeState, request: Request, next: Next) -> Response {
    if forge.known().is_down {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let slow = forge.known().slow;
    if let Some(late) = slow {
        tokio::time::sleep(late).await;
    }
    next.run(request).await
}

async fn owner(State(forge): ForgeState, headers: HeaderMap) -> Response {
    if !forge.is_app(&headers) {
        return error_response(StatusCode::UNAUTHORIZED, "A JSON web token could not be decoded");
    }
    forge.known().asked_for_owner += 1;
    Json(json!({ "id": APP_ID, "owner": { "id": 5, "login": "acme" } })).into_response()
}

async fn mint(
    State(forge): ForgeState,
    Path(installation): Path<u64>,
    headers: HeaderMap,
    Json(asked): Json<Value>,
) -> Response {
    if !forge.is_app(&headers) {
        return error_response(StatusCode::UNAUTHORIZED, "A JSON web token could not be decoded");
    }
    let mut known = forge.known();
    if known.suspended.contains(&installation) {
        return error_response(StatusCode::FORBIDDEN, "This installation has been suspended");
    }
    let Some(all) = known.installations.get(&installation) else {
        return error_response(StatusCode::NOT_FOUND, "Not Found");
    };
    let wanted: Vec<u64> = serde_json::from_value(asked["repository_ids"].clone()).unwrap_or_default();
    if !wanted.iter().all(|id| all.iter().any(|(known, _)| known == id)) {
        return error_response(
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

async fn deliveries(State(forge): ForgeState, headers: HeaderMap) -> Response {
    if !forge.is_app(&headers) {
        return error_response(StatusCode::UNAUTHORIZED, "A JSON web token could not be decoded");
    }
    let known = forge.known();
    let tries = known.failed_deliveries.iter().enumerate().rev().map(|(place, lost)| {
        let id = place + 1;
        json!({ "id": id, "guid": lost.guid, "delivered_at": format!("2026-01-02T03:04:{id:02}Z"),
                "redelivery": false, "status": "Service Unavailable", "status_code": 503, "event": "push" })
    });
    Json(tries.collect::<Vec<_>>()).into_response()
}

async fn deliver_again(State(forge): ForgeState, Path(attempt): Path<u64>, headers: HeaderMap) -> Response {
    if !forge.is_app(&headers) {
        return error_response(StatusCode::UNAUTHORIZED, "A JSON web token could not be decoded");
    }
    let mut known = forge.known();
    let index = usize::try_from(attempt - 1).unwrap();
    known.redeliveries.push(attempt);
    let answer = known.failed_deliveries[index].redelivery_status;
    forge.redeliveries.notify_one();
    (answer, Json(json!({}))).into_response()
}

async fn list(
    State(forge): ForgeState,
    Query(page): Query<HashMap<String, usize>>,
    headers: HeaderMap,
) -> Response {
    let Some(seen) = forge.seen_by(&headers) else {
        return error_response(StatusCode::UNAUTHORIZED, "Bad credentials");
    };
    let (size, number) = (page["per_page"], page["page"]);
    let described: Vec<Value> =
        seen.iter().map(|(id, name)| json!({ "id": id, "full_name": name, "private": true })).collect();
    let some: Vec<Value> = described.iter().skip(size * (number - 1)).take(size).cloned().collect();
    Json(json!({ "total_count": described.len(), "repositories": some })).into_response()
}

async fn installed_on(
    State(forge): ForgeState,
    Path((owner, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if !forge.is_app(&headers) {
        return error_response(StatusCode::UNAUTHORIZED, "A JSON web token could not be decoded");
    }
    let known = forge.known();
    let full_name = format!("{owner}/{name}");
    let has = |all: &[(u64, String)]| all.iter().any(|(_, name)| *name == full_name);
    match known.installations.iter().find(|(_, all)| has(all)) {
        Some((id, _)) => Json(json!({ "id": id })).into_response(),
        None => error_response(StatusCode::NOT_FOUND, "Not Found"),
    }
}

async fn make_webhook(State(forge): ForgeState, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if !may_do_all(credential(&headers)) {
        return error_response(StatusCode::FORBIDDEN, "Resource not accessible by personal access token");
    }
    let secret = body["config"]["secret"].as_str().unwrap_or_default();
    assert!(secret.len() >= 32 && body["config"]["content_type"] == "json", "{body}");
    let mut known = forge.known();
    known.subscribed.push(body["events"].clone());
    if known.lacks_merge_queues && body["events"].to_string().contains("merge_group") {
        let message = "Validation Failed: `merge_group` is not an event of this webhook";
        return error_response(StatusCode::UNPROCESSABLE_ENTITY, message);
    }
    let id = 500 + known.webhooks.len() as u64;
    known.webhooks.insert(id, body["config"]["url"].as_str().unwrap().to_owned());
    (StatusCode::CREATED, Json(json!({ "id": id }))).into_response()
}

async fn remove_webhook(
    State(forge): ForgeState,
    Path((_, _, id)): Path<(String, String, u64)>,
    headers: HeaderMap,
) -> Response {
    if !may_do_all(credential(&headers)) {
        return error_response(StatusCode::FORBIDDEN, "Resource not accessible by personal access token");
    }
    match forge.known().webhooks.remove(&id) {
        Some(_) => StatusCode::NO_CONTENT.into_response(),
        None => error_response(StatusCode::NOT_FOUND, "Not Found"),
    }
}
