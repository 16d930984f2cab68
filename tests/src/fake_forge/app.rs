//! The GitHub App of a test: its key, its installations, and its tokens.
//!
//! A token is accepted for what it was created for, until it expires; the App's JWT only if it is signed with
//! its key, has its id, and is valid for ten minutes at most.

use std::{
    collections::BTreeMap, os::unix::fs::OpenOptionsExt as _, path::Path, process::Command, sync::OnceLock,
};

use axum::response::Response;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::{Value, json};

use super::{
    Requester, ServerState,
    openapi::{Operation, example},
    repositories::number,
    said,
};

/// The App's id.
pub const APP_ID: u64 = 4711;
/// Its owner's account.
pub const ACCOUNT: (u64, &str) = (5, super::OWNER);
/// GitHub's bound on a proof's life, in seconds.
const MAX_PROOF_S: i64 = 600;
/// How long a token lives.
const TOKEN_LIFE: SignedDuration = SignedDuration::from_hours(1);

const MINT: Operation = Operation("post", "/app/installations/{installation_id}/access_tokens");
const LIST: Operation = Operation("get", "/installation/repositories");
const OF_REPOSITORY: Operation = Operation("get", "/repos/{owner}/{repo}/installation");

/// A token of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Minted {
    /// What is sent.
    pub token: String,
    /// Whose it is.
    pub installation: u64,
    /// For these alone; empty: for all of the installation.
    pub repositories: Vec<u64>,
    /// For this alone.
    pub permissions: Value,
    ends: Timestamp,
}

impl Minted {
    /// Whether it may do this to a repository.
    pub(super) fn may(&self, right: &str, repository: u64) -> bool {
        self.permissions[right] == "write" && self.sees(repository)
    }

    /// Whether it may fetch from a repository.
    pub(super) fn may_read(&self, repository: u64) -> bool {
        (self.permissions["contents"] == "read" || self.permissions["contents"] == "write")
            && self.sees(repository)
    }

    fn sees(&self, repository: u64) -> bool {
        self.repositories.is_empty() || self.repositories.contains(&repository)
    }
}

/// What the forge knows of the App.
#[derive(Debug, Default)]
pub(super) struct Installed {
    /// Installations, and the full names of their repositories.
    pub(super) installations: BTreeMap<u64, Vec<String>>,
    pub(super) minted: Vec<Minted>,
    /// Repositories that have another number than their name makes.
    pub(super) numbers: BTreeMap<String, u64>,
    /// The App's id, where it is another than the usual.
    pub(super) app_id: Option<u64>,
}

/// The App's key and what proofs are checked with: made once, because it takes a second.
fn keys() -> &'static (String, String) {
    static KEYS: OnceLock<(String, String)> = OnceLock::new();
    KEYS.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let openssl = |arguments: &[&str]| {
            let output = Command::new("openssl").current_dir(folder.path()).args(arguments).output();
            String::from_utf8(output.expect("openssl can be started").stdout).expect("PEM is text")
        };
        let private = openssl(&["genrsa", "2048"]);
        std::fs::write(folder.path().join("key"), &private).expect("a file can be written");
        (private, openssl(&["rsa", "-in", "key", "-pubout"]))
    })
}

/// Writes the App's key where a gateway reads it.
pub(super) fn write_key(path: &Path) {
    let mut options = std::fs::File::options();
    let file = options.create(true).truncate(true).write(true).mode(0o600).open(path);
    std::io::Write::write_all(&mut file.expect("a file can be written"), keys().0.as_bytes())
        .expect("a file can be written");
}

impl Installed {
    fn number(&self, full_name: &str) -> u64 {
        self.numbers.get(full_name).copied().unwrap_or_else(|| number(full_name))
    }
}

impl ServerState {
    /// The forge's number of a repository.
    pub(super) fn number(&self, full_name: &str) -> u64 {
        self.installed.lock().number(full_name)
    }

    /// Whether a token proves to be the App.
    pub(super) fn is_app(&self, proof: &str) -> bool {
        let key = DecodingKey::from_rsa_pem(keys().1.as_bytes()).expect("openssl writes PEM");
        let mut rules = Validation::new(Algorithm::RS256);
        rules.set_required_spec_claims(&["exp"]);
        let Ok(proof) = decode::<Value>(proof, &key, &rules) else { return false };
        let number = |claim: &str| proof.claims[claim].as_i64();
        let (Some(iat), Some(exp)) = (number("iat"), number("exp")) else { return false };
        let id = self.installed.lock().app_id.unwrap_or(APP_ID).to_string();
        proof.claims["iss"].to_string().trim_matches('"') == id
            && iat <= Timestamp::now().as_second()
            && (0..=MAX_PROOF_S).contains(&(exp - iat))
    }

    /// The token as it was minted, if it has not ended.
    pub(super) fn minted(&self, token: &str) -> Option<Minted> {
        let installed = self.installed.lock();
        installed
            .minted
            .iter()
            .find(|minted| minted.token == token && minted.ends > Timestamp::now())
            .cloned()
    }

    pub(super) fn app(&self, who: &Requester) -> Response {
        if *who != Requester::App {
            return said(StatusCode::UNAUTHORIZED, "A JSON web token could not be decoded");
        }
        let id = self.installed.lock().app_id.unwrap_or(APP_ID);
        said_json(&json!({ "id": id, "owner": { "id": ACCOUNT.0, "login": ACCOUNT.1 } }))
    }

    pub(super) fn mint(&self, who: &Requester, installation: &str, asked: &Value) -> Response {
        if *who != Requester::App {
            return said(StatusCode::UNAUTHORIZED, "A JSON web token could not be decoded");
        }
        if let Some(refused) = self.misdescribed(MINT, asked) {
            return refused;
        }
        let mut installed = self.installed.lock();
        let installation = installation.parse().unwrap_or(0);
        let Some(names) = installed.installations.get(&installation) else {
            return said(StatusCode::NOT_FOUND, "Not Found");
        };
        let known: Vec<u64> = names.iter().map(|name| installed.number(name)).collect();
        let repositories: Vec<u64> =
            serde_json::from_value(asked["repository_ids"].clone()).unwrap_or_default();
        if !repositories.iter().all(|id| known.contains(id)) {
            let message = "There is at least one repository that does not exist or is not accessible.";
            return said(StatusCode::UNPROCESSABLE_ENTITY, message);
        }
        // Longer than they used to be: nobody may count on a length.
        let token = format!("ghs_{}_{}", installed.minted.len(), "0123456789abcdef".repeat(12));
        let permissions = asked["permissions"].clone();
        let ends = Timestamp::now() + TOKEN_LIFE;
        installed.minted.push(Minted { token: token.clone(), installation, repositories, permissions, ends });
        let permissions = asked["permissions"].clone();
        drop(installed);
        let reply = json!({ "token": token, "expires_at": ends.to_string(), "permissions": permissions });
        self.reply(MINT, StatusCode::CREATED, reply)
    }

    pub(super) fn repositories_of_installation(&self, who: &Requester) -> Response {
        let Requester::Installation(minted) = who else {
            return said(StatusCode::UNAUTHORIZED, "Bad credentials");
        };
        let names =
            self.installed.lock().installations.get(&minted.installation).cloned().unwrap_or_default();
        let page = example("repository-paginated-2");
        let all: Vec<Value> = names
            .iter()
            .map(|name| {
                let mut repository = page["repositories"][0].clone();
                repository["id"] = self.number(name).into();
                repository["full_name"] = name.as_str().into();
                repository["name"] = name.rsplit('/').next().into();
                repository
            })
            .collect();
        self.reply(LIST, StatusCode::OK, json!({ "total_count": all.len(), "repositories": all }))
    }

    pub(super) fn installed_on(&self, who: &Requester, full_name: &str) -> Response {
        if *who != Requester::App {
            return said(StatusCode::UNAUTHORIZED, "A JSON web token could not be decoded");
        }
        let found = self
            .installed
            .lock()
            .installations
            .iter()
            .find(|(_, names)| names.iter().any(|name| name == full_name))
            .map(|(id, _)| *id);
        let Some(id) = found else { return said(StatusCode::NOT_FOUND, "Not Found") };
        let mut installation = example("installation");
        installation["id"] = id.into();
        self.reply(OF_REPOSITORY, StatusCode::OK, installation)
    }

    /// Tokens that were given so far are not taken any more.
    pub(super) fn expire_tokens(&self) {
        let now = Timestamp::now();
        self.installed.lock().minted.iter_mut().for_each(|minted| minted.ends = now);
    }
}

fn said_json(value: &Value) -> Response {
    axum::response::IntoResponse::into_response(axum::Json(value))
}
