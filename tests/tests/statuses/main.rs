//! The check beside a commit: on time, and true, whatever becomes of jobs, registrations and tokens.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

mod approval;
mod burst;
mod idle;
mod merge_queue;
mod owners;
mod removal;
mod repositories;
mod reuse;
mod setup;
mod skipped;
mod tokens;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{
    Api, Delivery, Function, Repository, Service,
    delivery::path,
    fake_forge::{OWNER, Status},
    repository::Commit,
};

/// A program that runs until it is ended.
const FOREVER: &str = "import time\nprint('begun', flush=True)\ntime.sleep(300)";

fn told(status: &Status) -> String {
    format!("{} {}: {}", status.context, status.state, status.description)
}

fn hello() -> Function {
    Function::python("print('hello')")
}

/// Registers a repository of the forge, for whoever `api` is.
async fn registered(api: &Api, repository: Repository, wishes: Value) -> Repository {
    let mut body = json!({ "url": repository.url });
    body.as_object_mut().unwrap().extend(wishes.as_object().unwrap().clone());
    let made = Api::json(api.post("/api/v1/repos", &body).await, StatusCode::CREATED).await;
    repository.hooked(serde_json::from_value(made).unwrap()).await
}

/// A registration as its owner sees it.
async fn shown(api: &Api, id: &str) -> Value {
    Api::json(api.get(&format!("/api/v1/repos/{id}")).await, StatusCode::OK).await
}

async fn patched(api: &Api, id: &str, wishes: Value) -> Value {
    let request = api.request(Method::PATCH, &format!("/api/v1/repos/{id}")).json(&wishes);
    Api::json(api.send(request).await, StatusCode::OK).await
}

/// Sends an event to a repository's own hook.
async fn deliver(
    service: &Service,
    repository: &Repository,
    event: &str,
    payload: &Value,
) -> (StatusCode, Value) {
    let registration = repository.registration();
    let delivery = Delivery::of(event, payload, &registration.secret);
    delivery.send(service, &path(&registration.webhook_url)).await
}

/// What GitHub tells of a pull request.
fn pull_request(repository: &Repository, action: &str, base: &Commit, head: &str, is_fork: bool) -> Value {
    let full_name = format!("{OWNER}/{}", repository.name);
    let id = tests::fake_forge::number(&full_name);
    json!({
        "action": action, "number": 5,
        "pull_request": {
            "head": { "ref": "topic", "sha": head, "repo": {
                "id": if is_fork { id + 1 } else { id },
                "full_name": if is_fork { "stranger/fork" } else { &full_name },
            } },
            "base": { "ref": "main", "sha": base.sha, "repo": { "id": id, "full_name": full_name } },
            "draft": false,
        },
        "repository": {
            "id": id, "name": repository.name, "full_name": full_name, "clone_url": repository.url,
            "owner": { "login": OWNER }, "private": false,
        },
    })
}

/// The same commit, for those who look at its statuses.
fn commit(sha: &str) -> Commit {
    Commit { reference: String::new(), before: String::new(), sha: sha.to_owned(), told: String::new() }
}
