//! The GitHub App, installed on repositories of the fake forge, and the webhooks that it gets.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    delivery::{Delivery, payload},
    fake_forge::{ACCOUNT, APP_ID, FakeForge, OWNER, number},
    repository::{Commit, Repository},
    service::{Service, WEBHOOK_SECRET},
};

/// The installation's number.
pub const INSTALLATION: u64 = 12;

/// A service that is the App, and new repositories that it is installed on.
pub async fn installed(names: &[&str]) -> (Service, Vec<Repository>) {
    let forge = FakeForge::start().await;
    let mut repositories = Vec::new();
    for name in names {
        repositories.push(forge.repository(name).await);
    }
    let full_names: Vec<String> = names.iter().map(|name| format!("{OWNER}/{name}")).collect();
    forge.installs(INSTALLATION, &full_names.iter().map(String::as_str).collect::<Vec<_>>());
    let service = Service::start_as_app(forge, &[]).await;
    let listed = full_names
        .iter()
        .map(|full_name| json!({ "id": number(full_name), "full_name": full_name, "private": false }));
    let event = json!({
        "action": "created",
        "installation": {
            "id": INSTALLATION, "app_id": APP_ID, "account": { "id": ACCOUNT.0, "login": ACCOUNT.1 },
        },
        "repositories": listed.collect::<Vec<_>>(),
    });
    let (status, answer) = deliver(&service, "installation", &event).await;
    let reason = answer["reason"].as_str().unwrap_or_default();
    let registered = reason.starts_with(&format!("registered {} repositor", names.len()));
    assert!(status == StatusCode::ACCEPTED && registered, "{answer}");
    (service, repositories)
}

/// Tells the App's own hook.
pub async fn deliver(service: &Service, event: &str, payload: &Value) -> (StatusCode, Value) {
    Delivery::of(event, payload, WEBHOOK_SECRET).send(service, "/webhooks/github").await
}

/// What GitHub tells an App of a push.
pub fn told(repository: &Repository, commit: &Commit) -> Value {
    let mut told = payload(repository, commit);
    told["installation"] = json!({ "id": INSTALLATION });
    told
}

/// Tells of a push as GitHub does: the job.
pub async fn tell(service: &Service, repository: &Repository, commit: &Commit) -> String {
    let (status, answer) = deliver(service, "push", &told(repository, commit)).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    answer["jobs"][0].as_str().expect("it made a job").to_owned()
}
