//! What a registration does at the forge itself: webhooks, numbers, and names that change.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod github;
mod support;

use github::{ADMIN_TOKEN, Github, READER_TOKEN};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{Answered, GITHUB_SECRET, Service};

/// A gateway for a GitHub without an App.
async fn service(github: &Github, more: &[(&str, &str)]) -> Service {
    let usual = [("GITFAAS_GITHUB_API_URL", github.url.as_str()), ("GITFAAS_CLONE_ALLOW", "127.0.0.1/32")];
    Service::with(&usual.iter().chain(more).copied().collect::<Vec<_>>()).await
}

fn push(github: &Github, id: u64, name: &str, after: &str) -> String {
    json!({
        "ref": "refs/heads/main",
        "before": "0".repeat(40),
        "after": after.repeat(40),
        "repository": { "id": id, "full_name": name, "clone_url": format!("{}/{name}.git", github.url) },
        "head_commit": { "message": "work" },
    })
    .to_string()
}

async fn pushed(service: &Service, repo: &Value, id: &str, body: &str) -> Value {
    let (hook, secret) = (repo["id"].as_str().unwrap(), repo["secret"].as_str().unwrap());
    let response = service.deliver(hook, secret, "push", id, body).send().await.unwrap();
    response.json().await.unwrap()
}

async fn url_of(service: &Service, repo: &Value) -> String {
    let stored = service.ledger.repos.get(repo["id"].as_str().unwrap()).await.unwrap().unwrap();
    stored.value.url.to_string()
}

#[tokio::test]
async fn a_token_that_may_makes_the_webhook_and_removes_it_again() {
    let github = Github::start().await;
    github.install(1, &[(99, "a/pi")]);
    let service = service(&github, &[]).await;
    let token = service.user("a@example.com").await;
    let url = format!("{}/a/pi", github.url);
    let repo = service.register(&token, json!({ "url": url, "token": ADMIN_TOKEN })).await;
    assert_eq!((&repo["webhook"], &repo["posts"]), (&json!("created"), &json!(true)));
    assert_eq!(json!(github.webhooks()), json!([repo["webhook_url"]]));
    let stored = service.ledger.repos.get(repo["id"].as_str().unwrap()).await.unwrap().unwrap().value;
    assert_eq!((stored.forge_id, stored.webhook_id), (Some(99), Some(500)));

    let path = format!("/api/v1/repos/{}", repo["id"].as_str().unwrap());
    let removed = service.request(Method::DELETE, &path).bearer_auth(&token).answers(StatusCode::OK).await;
    assert_eq!(removed, json!({ "webhook": "removed" }));
    assert_eq!(github.webhooks(), [""; 0]);
}

#[tokio::test]
async fn a_token_that_may_not_registers_all_the_same_and_the_answer_says_why() {
    let github = Github::start().await;
    github.install(1, &[(99, "a/pi")]);
    let service = service(&github, &[]).await;
    let token = service.user("a@example.com").await;
    let url = format!("{}/a/pi", github.url);
    let reader = service.register(&token, json!({ "url": url, "token": READER_TOKEN })).await;
    // Whoever may not push there does not speak for the repository.
    assert_eq!(reader["posts"], false);
    assert_eq!(
        reader["webhook"]["error"],
        "the token may not do this: 403 Forbidden: Resource not accessible by personal access token"
    );
    let wrong = service.register(&token, json!({ "url": url, "token": "ghp_wrong", "webhook": false })).await;
    assert_eq!((&wrong["posts"], wrong.get("webhook")), (&json!(false), None));
    let none = service.register(&token, json!({ "url": url, "webhook": true })).await;
    assert_eq!(none["webhook"]["error"], "there is no token that could make it");
    let good = service.register(&token, json!({ "url": url, "token": ADMIN_TOKEN, "webhook": false })).await;
    assert_eq!((&good["posts"], good.get("webhook")), (&json!(true), None));

    // Wished for later, and not any more.
    let path = format!("/api/v1/repos/{}", good["id"].as_str().unwrap());
    let patch = |webhook: bool| {
        service.request(Method::PATCH, &path).bearer_auth(&token).json(&json!({ "webhook": webhook }))
    };
    assert_eq!(patch(true).answers(StatusCode::OK).await["webhook"], "created");
    assert_eq!(patch(true).answers(StatusCode::OK).await["webhook"], "exists");
    assert_eq!(patch(false).answers(StatusCode::OK).await["webhook"], "removed");
    assert_eq!(patch(false).answers(StatusCode::OK).await.get("webhook"), None);
}

#[tokio::test]
async fn a_forge_elsewhere_is_not_told_an_address_of_this_machine() {
    let github = Github::start().await;
    let service = service(&github, &[]).await;
    let token = service.user("a@example.com").await;
    // An address that nobody may reach: nothing is sent, whatever happens.
    let wish = json!({ "url": "https://10.0.0.1/a/pi", "forge": "gitea", "token": "t0ken" });
    let repo = service.register(&token, wish).await;
    let said = repo["webhook"]["error"].as_str().unwrap();
    assert!(said.starts_with("GITFAAS_PUBLIC_URL is an address of this machine"), "{said}");
}

#[tokio::test]
async fn a_rename_is_followed_by_number_and_statuses_with_it() {
    let github = Github::start().await;
    github.install(1, &[(99, "a/pi")]);
    let service = service(&github, &[]).await;
    let token = service.user("a@example.com").await;
    // Without a credential the number is learned as anybody does.
    let repo = service.register(&token, json!({ "url": format!("{}/a/pi", github.url) })).await;
    assert_eq!(pushed(&service, &repo, "1", &push(&github, 99, "a/pi", "a")).await["verdict"], "accepted");
    github.install(1, &[(99, "b/tau"), (100, "b/x")]);
    let moved = pushed(&service, &repo, "2", &push(&github, 99, "b/tau", "b")).await;
    assert_eq!(moved["verdict"], "accepted");
    let job = service.ledger.job(moved["jobs"][0].as_str().unwrap().parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(job.value.spec.url.as_str(), format!("{}/b/tau.git", github.url));
    // Another number is another repository, and another host is none of this registration's.
    let other = pushed(&service, &repo, "3", &push(&github, 100, "b/x", "c")).await;
    assert_eq!(other["verdict"], "refused");
    let elsewhere = push(&github, 99, "b/rho", "d").replace(&github.url, "https://elsewhere.example");
    pushed(&service, &repo, "4", &elsewhere).await;
    assert_eq!(url_of(&service, &repo).await, format!("{}/b/tau.git", github.url));
}

#[tokio::test]
async fn a_registrants_signature_does_not_lead_to_anothers_repository() {
    let github = Github::start().await;
    github.install(1, &[(7, "b/own"), (77, "a/secret")]);
    let service = service(&github, &[]).await;
    let token = service.user("b@example.com").await;
    let with = json!({ "url": format!("{}/b/own", github.url), "token": ADMIN_TOKEN });
    let without = json!({ "url": format!("{}/b/own", github.url) });
    let (posting, plain) = (service.register(&token, with).await, service.register(&token, without).await);
    assert_eq!((&posting["posts"], &plain["posts"]), (&json!(true), &json!(false)));
    for repo in [&posting, &plain] {
        // The registration's name with another's number, and its number with another's name.
        pushed(&service, repo, "1", &push(&github, 77, "b/own", "a")).await;
        pushed(&service, repo, "2", &push(&github, 7, "a/secret", "b")).await;
        let entry = service.ledger.repos.get(repo["id"].as_str().unwrap()).await.unwrap().unwrap();
        assert_eq!(entry.value.forge_id, Some(7));
        assert_eq!(entry.value.url.as_str(), format!("{}/b/own", github.url));
    }
    // What GitHub says about the other one does not reach this registration.
    let body = push(&github, 77, "a/secret", "c");
    let told = service.deliver("github", GITHUB_SECRET, "push", "3", &body).answers(StatusCode::OK).await;
    assert_eq!(told["reason"], "the repository is not registered");
}

#[tokio::test]
async fn a_forge_that_is_away_teaches_no_number_and_moves_nothing() {
    let github = Github::start().await;
    github.install(1, &[(99, "a/pi")]);
    let service = service(&github, &[]).await;
    let token = service.user("a@example.com").await;
    let wish = json!({ "url": format!("{}/a/pi", github.url) });
    let known = service.register(&token, wish.clone()).await;
    github.known().is_down = true;
    let unknown = service.register(&token, wish).await;
    for (repo, number) in [(&known, Some(99)), (&unknown, None)] {
        assert_eq!(pushed(&service, repo, "1", &push(&github, 99, "a/pi", "a")).await["verdict"], "accepted");
        pushed(&service, repo, "2", &push(&github, 99, "b/tau", "b")).await;
        let entry = service.ledger.repos.get(repo["id"].as_str().unwrap()).await.unwrap().unwrap();
        assert_eq!(entry.value.forge_id, number);
        assert_eq!(entry.value.url.as_str(), format!("{}/a/pi", github.url));
    }
}

#[tokio::test]
async fn with_the_operators_credential_a_name_is_believed_only_when_the_forge_says_so() {
    let github = Github::start().await;
    github.install(1, &[(99, "a/pi"), (7, "victim/x")]);
    let service = service(&github, &[("GITFAAS_GITHUB_TOKEN", ADMIN_TOKEN)]).await;
    let admin = service.admin().await;
    let repo = service.register(&admin, json!({ "url": format!("{}/a/pi", github.url) })).await;
    assert_eq!((&repo["posts"], repo.get("webhook")), (&json!(true), None));
    pushed(&service, &repo, "1", &push(&github, 99, "victim/x", "a")).await;
    assert_eq!(url_of(&service, &repo).await, format!("{}/a/pi", github.url));
    github.install(1, &[(99, "a/tau"), (7, "victim/x")]);
    pushed(&service, &repo, "2", &push(&github, 99, "a/tau", "b")).await;
    assert_eq!(url_of(&service, &repo).await, format!("{}/a/tau.git", github.url));
    // The hook of all repositories finds it by its number.
    let body = push(&github, 99, "a/rho", "c");
    let found =
        service.deliver("github", GITHUB_SECRET, "push", "3", &body).answers(StatusCode::ACCEPTED).await;
    assert_eq!(found["verdict"], "accepted");
    assert_eq!(url_of(&service, &repo).await, format!("{}/a/rho.git", github.url));
}
