//! The API of repositories and their webhooks.

use axum::response::{IntoResponse as _, Response};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    Requester, ServerState,
    openapi::{Operation, example},
    said,
};

const LOOK: Operation = Operation("get", "/repos/{owner}/{repo}");
const MAKE_HOOK: Operation = Operation("post", "/repos/{owner}/{repo}/hooks");
const CHANGE_HOOK: Operation = Operation("patch", "/repos/{owner}/{repo}/hooks/{hook_id}");

/// The forge's number of a repository: made from its name, so that nobody has to keep it.
pub fn number(full_name: &str) -> u64 {
    let digest = Sha256::digest(full_name.to_lowercase().as_bytes());
    // Small enough to be exact in every JSON.
    digest[..5].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A webhook on the forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its number.
    pub id: u64,
    /// `owner/name`.
    pub repository: String,
    /// Where it leads.
    pub url: String,
    /// What is told.
    pub events: Vec<String>,
    /// What signs.
    pub secret: String,
}

impl ServerState {
    pub(super) fn repository(&self, who: &Requester, full_name: &str) -> Response {
        let sees = match who {
            Requester::Anonymous => !self.is_private(full_name),
            Requester::InvalidToken | Requester::App => false,
            Requester::User(rights) => rights.see(full_name),
            Requester::Installation(minted) => {
                minted.repositories.is_empty() || minted.repositories.contains(&self.number(full_name))
            }
        };
        if *who == Requester::InvalidToken {
            return said(StatusCode::UNAUTHORIZED, "Bad credentials");
        }
        if !sees || !self.bare(full_name).is_dir() {
            return said(StatusCode::NOT_FOUND, "Not Found");
        }
        let (owner, name) = full_name.split_once('/').unwrap_or_default();
        let mut repository = example("full-repository-default-response");
        repository["id"] = self.number(full_name).into();
        repository["full_name"] = full_name.into();
        repository["name"] = name.into();
        repository["owner"]["login"] = owner.into();
        // The example lacks one of the required fields, also where it tells of a fork's origin.
        repository["language"] = Value::Null;
        for origin in ["source", "parent"] {
            repository[origin]["language"] = Value::Null;
        }
        if self.is_private(full_name) {
            repository["private"] = true.into();
            repository["visibility"] = "private".into();
        }
        let (admin, push) = match who {
            Requester::User(rights) => (rights.hooks, rights.push),
            Requester::Anonymous | Requester::InvalidToken | Requester::App | Requester::Installation(_) => {
                (true, false)
            }
        };
        if *who == Requester::Anonymous {
            repository.as_object_mut().map(|fields| fields.remove("permissions"));
        } else {
            repository["permissions"] = json!({ "admin": admin, "push": push, "pull": true });
        }
        self.reply(LOOK, StatusCode::OK, repository)
    }

    pub(super) fn hooks(&self, who: &Requester, method: &Method, full_name: &str, body: &Value) -> Response {
        if *who == Requester::InvalidToken {
            return said(StatusCode::UNAUTHORIZED, "Bad credentials");
        }
        if !matches!(who, Requester::User(_)) {
            return said(StatusCode::NOT_FOUND, "Not Found");
        }
        match *method {
            Method::GET => {
                let hooks = self.hooks.lock();
                let list: Vec<Value> =
                    hooks.iter().filter(|hook| hook.repository == full_name).map(shown).collect();
                axum::Json(list).into_response()
            }
            Method::POST => {
                // Gitea's has a field more.
                if body.get("type").is_none()
                    && let Some(refused) = self.misdescribed(MAKE_HOOK, body)
                {
                    return refused;
                }
                let url = body["config"]["url"].as_str().unwrap_or_default().to_owned();
                let mut hooks = self.hooks.lock();
                if hooks.iter().any(|hook| hook.repository == full_name && hook.url == url) {
                    let message = "Validation Failed: Hook already exists on this repository";
                    return said(StatusCode::UNPROCESSABLE_ENTITY, message);
                }
                let hook = Hook {
                    id: 500 + hooks.len() as u64,
                    repository: full_name.to_owned(),
                    url,
                    events: serde_json::from_value(body["events"].clone()).unwrap_or_default(),
                    secret: body["config"]["secret"].as_str().unwrap_or_default().to_owned(),
                };
                hooks.push(hook.clone());
                drop(hooks);
                self.reply(MAKE_HOOK, StatusCode::CREATED, shown(&hook))
            }
            _ => said(StatusCode::NOT_FOUND, "Not Found"),
        }
    }

    pub(super) fn hook(&self, who: &Requester, method: &Method, id: &str, body: &Value) -> Response {
        if !matches!(who, Requester::User(_)) {
            return said(StatusCode::NOT_FOUND, "Not Found");
        }
        let mut hooks = self.hooks.lock();
        let Some(at) = hooks.iter().position(|hook| hook.id.to_string() == id) else {
            return said(StatusCode::NOT_FOUND, "Not Found");
        };
        match *method {
            Method::DELETE => {
                hooks.remove(at);
                StatusCode::NO_CONTENT.into_response()
            }
            Method::PATCH => {
                if let Some(refused) = self.misdescribed(CHANGE_HOOK, body) {
                    return refused;
                }
                hooks[at].secret = body["config"]["secret"].as_str().unwrap_or_default().to_owned();
                let hook = hooks[at].clone();
                drop(hooks);
                self.reply(CHANGE_HOOK, StatusCode::OK, shown(&hook))
            }
            _ => said(StatusCode::NOT_FOUND, "Not Found"),
        }
    }
}

fn shown(hook: &Hook) -> Value {
    let mut shown = example("hook");
    shown["id"] = hook.id.into();
    shown["events"] = json!(hook.events);
    shown["config"] =
        json!({ "url": hook.url, "content_type": "json", "insecure_ssl": "0", "secret": "********" });
    shown
}
