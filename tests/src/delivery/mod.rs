//! Sends webhook deliveries: as a forge does, and invalid ones.

mod merge_group;

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{
    api::Api,
    fake_forge::{self, OWNER},
    repository::{Commit, NO_COMMIT, Repository},
};

pub use merge_group::{Destroyed, MergeGroup};

/// A forge waits 10 s for an answer.
const ANSWER: Duration = Duration::from_secs(10);

/// A delivery, before it is sent.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// `X-GitHub-Delivery`
    pub id: String,
    /// `X-GitHub-Event`
    pub event: String,
    /// The body.
    pub body: Vec<u8>,
    /// Values of `X-Hub-Signature-256`, usually one.
    pub signatures: Vec<String>,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
}

impl Delivery {
    /// A push of `commit` to `repository`, signed with `secret`.
    pub fn push(repository: &Repository, commit: &Commit, secret: &str) -> Self {
        Self::of("push", &payload(repository, commit), secret)
    }

    /// Any event, signed with `secret`.
    pub fn of(event: &str, payload: &Value, secret: &str) -> Self {
        let body = serde_json::to_vec(payload).expect("a value is JSON");
        let signatures = vec![signature(secret, &body)];
        let id = uuid::Uuid::now_v7().to_string();
        Self { id, event: event.to_owned(), body, signatures, headers: Vec::new() }
    }

    /// Sends it to a path of the gateway, which must answer.
    pub async fn send(&self, api: &Api, path: &str) -> (StatusCode, Value) {
        send_as(api, path, self.headers(), self.body.clone()).await
    }

    /// Sends it to a path of a gateway that may be gone.
    pub async fn try_send(&self, api: &Api, path: &str) -> Option<(StatusCode, Value)> {
        let request = api.anybody().request(http::Method::POST, path).headers(self.headers());
        let answer = request.body(self.body.clone()).timeout(ANSWER).send().await.ok()?;
        Some((answer.status(), answer.json().await.ok()?))
    }

    /// Its headers, as GitHub sends them.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let value = |text: &str| HeaderValue::from_str(text).expect("a header");
        headers.insert("content-type", value("application/json"));
        headers.insert("user-agent", value("GitHub-Hookshot/044aadd"));
        headers.insert("x-github-event", value(&self.event));
        headers.insert("x-github-delivery", value(&self.id));
        for signature in &self.signatures {
            headers.append("x-hub-signature-256", value(signature));
        }
        for (name, text) in &self.headers {
            headers.append(*name, value(text));
        }
        headers
    }
}

/// Sends any headers and bytes to a path of the gateway, which must answer.
pub async fn send_as(
    api: &Api,
    path: &str,
    headers: HeaderMap,
    body: impl Into<reqwest::Body>,
) -> (StatusCode, Value) {
    let anybody = api.anybody();
    let request = anybody.request(http::Method::POST, path).headers(headers).body(body);
    let answer = anybody.send(request).await;
    (answer.status(), answer.json().await.unwrap_or_default())
}

/// `sha256=…` of a body.
pub fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes any key length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// Headers and body of a delivery as Gitea sends it to a webhook whose content type is a form.
///
/// What is signed is the JSON, not the form that holds it. `X-Hub-Signature`, of SHA-1, is left out.
pub fn gitea_form(event: &str, payload: &Value, secret: &str) -> (HeaderMap, Vec<u8>) {
    // Gitea indents.
    let json = serde_json::to_string_pretty(payload).expect("a value is JSON");
    let signed = signature(secret, json.as_bytes());
    let digest = signed.trim_start_matches("sha256=");
    let id = uuid::Uuid::now_v7().to_string();
    let mut headers = HeaderMap::new();
    for (name, text) in [
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-gitea-delivery", &*id),
        ("x-gitea-event", event),
        ("x-gitea-event-type", event),
        ("x-gitea-signature", digest),
        ("x-gitea-hook-installation-target-type", "repository"),
        ("x-gogs-delivery", &*id),
        ("x-gogs-event", event),
        ("x-gogs-event-type", event),
        ("x-gogs-signature", digest),
        ("x-hub-signature-256", &*signed),
        ("x-github-delivery", &*id),
        ("x-github-event", event),
        ("x-github-event-type", event),
        ("x-github-hook-installation-target-type", "repository"),
    ] {
        headers.insert(name, HeaderValue::from_str(text).expect("a header"));
    }
    let form = url::form_urlencoded::Serializer::new(String::new()).append_pair("payload", &json).finish();
    (headers, form.into_bytes())
}

/// What GitHub says of a push.
pub fn payload(repository: &Repository, commit: &Commit) -> Value {
    let gone = commit.sha == NO_COMMIT;
    let head = json!({ "id": commit.sha, "message": "a change", "timestamp": "2026-01-01T00:00:00Z" });
    json!({
        "ref": commit.reference, "before": commit.before, "after": commit.sha,
        "created": commit.before == NO_COMMIT, "deleted": gone, "forced": false,
        "head_commit": if gone { Value::Null } else { head }, "commits": [],
        "repository": described(repository),
        "pusher": { "name": "ada" }, "sender": { "login": "ada", "id": 1 },
    })
}

/// What GitHub says of a repository.
pub(crate) fn described(repository: &Repository) -> Value {
    let full_name = format!("{OWNER}/{}", repository.name);
    json!({
        "id": fake_forge::number(&full_name), "name": repository.name, "full_name": full_name,
        "private": false, "owner": { "name": OWNER, "login": OWNER }, "clone_url": repository.url,
        "html_url": repository.url.trim_end_matches(".git"), "default_branch": "main",
        "created_at": 1_700_000_000,
    })
}

/// The path of a webhook's address.
pub fn path(webhook_url: &str) -> String {
    webhook_url.parse::<url::Url>().expect("a webhook has a URL").path().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_of_giteas_is_signed_as_gitea_signs_the_same_json() {
        let saved: Value = serde_json::from_str(include_str!("../../testdata/gitea-webhooks.json")).unwrap();
        let (secret, delivery) = (saved["secret"].as_str().unwrap(), &saved["deliveries"][0]);
        let json = delivery["body"].as_str().unwrap();
        let signed = signature(secret, json.as_bytes());
        assert_eq!(delivery["headers"]["X-Hub-Signature-256"], signed);

        let (headers, body) = gitea_form("push", &serde_json::from_str(json).unwrap(), secret);
        let fields: Vec<_> = url::form_urlencoded::parse(&body).into_owned().collect();
        let [(name, payload)] = &fields[..] else { panic!("{fields:?}") };
        assert_eq!(name, "payload");
        let signed = signature(secret, payload.as_bytes());
        assert_eq!(headers["x-hub-signature-256"], signed);
        assert_eq!(format!("sha256={}", headers["x-gitea-signature"].to_str().unwrap()), signed);
        let left_out = ["X-Hub-Signature"];
        for name in delivery["headers"].as_object().unwrap().keys() {
            assert!(left_out.contains(&name.as_str()) || headers.contains_key(name), "{name}");
        }
    }
}
