//! Which registration of a repository posts: the forge says so, and nobody else.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod apps;
mod claims;
#[path = "../github/mod.rs"]
mod github;
mod silence;
#[path = "../support/mod.rs"]
mod support;

use futures_util::StreamExt as _;
use github::{ADMIN_TOKEN, Github};
use jobs::{
    Job, Repo,
    bucket::{Entry, from_watch},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{Answered, PATIENCE, Service};

/// Forges as registrations name them.
const FORGES: [&str; 3] = ["github", "gitea", "gitlab"];

/// A gateway for this GitHub without an App.
async fn service(github: &Github, more: &[(&str, &str)]) -> Service {
    let usual = [("GITFAAS_GITHUB_API_URL", github.url.as_str()), ("GITFAAS_CLONE_ALLOW", "127.0.0.1/32")];
    Service::with(&usual.iter().chain(more).copied().collect::<Vec<_>>()).await
}

/// A full token of one user.
fn token_of(user: &str) -> String {
    format!("{ADMIN_TOKEN}_{user}")
}

/// What somebody says to register a repository with a token.
fn wish(github: &Github, forge: &str, name: &str, token: &str) -> Value {
    let mut wish = json!({ "url": format!("{}/{name}", github.url), "token": token, "webhook": false });
    if forge != "github" {
        // The double is GitHub's by its address; another forge there has to be named.
        wish["forge"] = forge.into();
    }
    wish
}

fn id(repo: &Value) -> &str {
    repo["id"].as_str().unwrap()
}

/// A registration as its owner sees it.
async fn seen(service: &Service, token: &str, repo: &Value) -> Value {
    service.get(&format!("/api/v1/repos/{}", id(repo)), token).answers(StatusCode::OK).await
}

fn patch(service: &Service, token: &str, repo: &Value, change: &Value) -> support::described::RequestBuilder {
    let path = format!("/api/v1/repos/{}", id(repo));
    service.request(Method::PATCH, &path).bearer_auth(token).json(change)
}

async fn removed(service: &Service, token: &str, repo: &Value) {
    let path = format!("/api/v1/repos/{}", id(repo));
    let response = service.request(Method::DELETE, &path).bearer_auth(token).send().await.unwrap();
    assert!(response.status().is_success(), "{response:?}");
}

async fn stored(service: &Service, repo: &Value) -> Repo {
    service.ledger.repos.get(id(repo)).await.unwrap().unwrap().value
}

/// The registration, once it is so.
async fn until(service: &Service, repo: &Value, is_so: impl Fn(&Repo) -> bool) -> Repo {
    let mut changes = service.ledger.repos.watch(0).await.unwrap();
    let found = async {
        loop {
            let change = changes.next().await.unwrap().unwrap();
            // Places lie in the same bucket.
            if change.key == id(repo)
                && let Some(Entry { value, .. }) = from_watch::<Repo>(&change).unwrap()
                && is_so(&value)
            {
                return value;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("the registration changes")
}

/// A push to `main`, as a forge of this kind tells of it and a registrant can sign it.
fn push(
    service: &Service,
    github: &Github,
    repo: &Value,
    told: (u64, &str, &str),
) -> support::described::RequestBuilder {
    let (number, name, after) = told;
    let secret = repo["secret"].as_str().unwrap();
    let url = format!("{}/{name}.git", github.url);
    let (before, after) = ("0".repeat(40), after.repeat(40));
    let id_of_delivery = format!("{name}-{number}-{after}");
    match repo["forge"].as_str().unwrap() {
        "gitlab" => {
            let body = json!({
                "object_kind": "push", "ref": "refs/heads/main", "before": before, "after": after,
                "checkout_sha": after, "project_id": number, "user_username": "someone",
                "project": { "id": number, "path_with_namespace": name, "git_http_url": url },
                "commits": [{ "id": after, "message": "work" }],
            });
            service
                .request(Method::POST, &format!("/webhooks/{}", id(repo)))
                .header("x-gitlab-event", "Push Hook")
                .header("x-gitlab-token", secret)
                .header("x-gitlab-event-uuid", id_of_delivery)
                .json(&body)
        }
        forge => {
            let body = json!({
                "ref": "refs/heads/main", "before": before, "after": after,
                "repository": { "id": number, "full_name": name, "clone_url": url },
                "head_commit": { "id": after, "message": "work" },
                "commits": [{ "id": after, "message": "work" }],
                "pusher": { "name": "someone", "login": "someone", "username": "someone" },
            });
            let request = service.deliver(id(repo), secret, "push", &id_of_delivery, &body.to_string());
            match forge {
                "gitea" => request.header("x-gitea-event", "push").header("x-gitea-delivery", id_of_delivery),
                _ => request,
            }
        }
    }
}

/// What the gateway answers to such a push.
async fn pushed(service: &Service, github: &Github, repo: &Value, told: (u64, &str, &str)) -> Value {
    let answer = push(service, github, repo, told).send().await.unwrap();
    answer.json().await.unwrap()
}

/// The first job of an answered delivery.
async fn job_of(service: &Service, answer: &Value) -> Job {
    let job = answer["jobs"][0].as_str().unwrap_or_else(|| panic!("{answer}")).parse().unwrap();
    service.ledger.job(job).await.unwrap().unwrap().value
}
