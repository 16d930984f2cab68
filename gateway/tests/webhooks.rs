//! Deliveries of forges: what becomes a job, what does not, and that each push is one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use jobs::{State, head_key};
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Answered, GITHUB_SECRET, Service, push};

const URL: &str = "https://git.example.com/a/pi.git";

/// A registered repository: its id, its secret, its owner's token.
async fn registered(service: &Service, wishes: Value) -> (String, String, String) {
    let token = service.user("a@example.com").await;
    let repo = service.register(&token, wishes).await;
    let text = |field: &str| repo[field].as_str().unwrap().to_owned();
    assert!(text("webhook_url").ends_with(&format!("/webhooks/{}", text("id"))));
    (text("id"), text("secret"), token)
}

fn sentence(answer: &Value) -> (&str, &str) {
    (answer["verdict"].as_str().unwrap(), answer["reason"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_signed_push_becomes_a_job_of_the_repositorys_owner() {
    let service = Service::start().await;
    let (repo, secret, token) = registered(&service, json!({ "url": URL, "name": "pi" })).await;
    let answer = service
        .deliver(&repo, &secret, "push", "d-1", &push(URL, "0", "a"))
        .answers(StatusCode::ACCEPTED)
        .await;
    assert_eq!(sentence(&answer), ("accepted", ""));
    let id = answer["jobs"][0].as_str().unwrap();
    let job = service.get(&format!("/api/v1/jobs/{id}"), &token).answers(StatusCode::OK).await;
    assert_eq!(
        (&job["trigger"], &job["ref"], &job["url"]),
        (&json!("push"), &json!("refs/heads/main"), &json!(URL))
    );
    assert_eq!(job["sha"], "a".repeat(40));
    service.claim(id.parse().unwrap()).await;
    let head =
        service.ledger.heads.get(&head_key(repo.parse().unwrap(), "refs/heads/main")).await.unwrap().unwrap();
    assert_eq!(head.value.job.unwrap().to_string(), id);
    let list = service.get("/api/v1/deliveries", &token).answers(StatusCode::OK).await;
    assert_eq!(
        (&list["items"][0]["id"], &list["items"][0]["verdict"]),
        (&answer["delivery"], &json!("accepted"))
    );
}

#[tokio::test]
async fn what_is_not_signed_leaves_nothing_and_what_is_foreign_makes_no_job() {
    let service = Service::start().await;
    let (repo, secret, token) = registered(&service, json!({ "url": URL })).await;
    let body = push(URL, "0", "a");
    service.deliver(&repo, "wrong", "push", "d", &body).answers(StatusCode::UNAUTHORIZED).await;
    let sha1 = service
        .request(reqwest::Method::POST, &format!("/webhooks/{repo}"))
        .header("x-hub-signature", "sha1=00");
    sha1.body(body.clone()).answers(StatusCode::UNAUTHORIZED).await;
    service
        .deliver("0197a000-0000-7000-8000-000000000001", &secret, "push", "d", &body)
        .answers(StatusCode::NOT_FOUND)
        .await;
    service.deliver("*", &secret, "push", "d", &body).answers(StatusCode::NOT_FOUND).await;
    assert!(service.ledger.deliveries.keys().await.unwrap().is_empty());
    let foreign = push("https://git.example.com/b/other.git", "0", "a");
    let refused =
        service.deliver(&repo, &secret, "push", "d-2", &foreign).answers(StatusCode::FORBIDDEN).await;
    assert_eq!(sentence(&refused), ("refused", "the delivery names another repository"));
    let malformed =
        service.deliver(&repo, &secret, "push", "d-3", "{").answers(StatusCode::BAD_REQUEST).await;
    assert_eq!(malformed["verdict"], "refused");
    let ping =
        service.deliver(&repo, &secret, "ping", "d-4", r#"{"zen": "x"}"#).answers(StatusCode::OK).await;
    assert_eq!(sentence(&ping), ("ignored", "ping"));
    assert!(service.all_jobs().await.is_empty());
    let own = service.get("/api/v1/deliveries", &token).answers(StatusCode::OK).await;
    let reasons = own["unsigned"].as_array().unwrap().iter().map(|refused| refused["reason"].clone());
    assert_eq!(
        json!(reasons.collect::<Vec<_>>()),
        json!(["the signature is not SHA-256", "wrong signature"])
    );
    assert!(own["unsigned"].as_array().unwrap().iter().all(|refused| refused["hook"] == json!(repo)));
    let other = service.get("/api/v1/deliveries", &service.user("b@example.com").await);
    assert!(other.answers(StatusCode::OK).await.get("unsigned").is_none());
    let all = service.get("/api/v1/deliveries", &service.admin().await).answers(StatusCode::OK).await;
    assert_eq!(all["unsigned"].as_array().unwrap().len(), 4, "{all}");
    let metrics = service.request(reqwest::Method::GET, "/metrics").says(StatusCode::OK).await;
    assert!(metrics.contains(r#"unsigned_deliveries_total{reason="wrong signature"} 1"#), "{metrics}");
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_before_its_signature_is_looked_at() {
    let service = Service::start().await;
    let (repo, secret, _) = registered(&service, json!({ "url": URL })).await;
    let body = " ".repeat((25 << 20) + 1);
    let sent = service.deliver(&repo, &secret, "push", "d", &body).send().await;
    // The answer may come before the whole body was sent; then the connection is cut.
    if let Ok(response) = sent {
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
    assert!(service.ledger.deliveries.keys().await.unwrap().is_empty());
}

#[tokio::test]
async fn content_tells_a_duplicate_and_another_before_a_new_push() {
    let service = Service::start().await;
    let (repo, secret, _) = registered(&service, json!({ "url": URL })).await;
    let deliver = async |id: &str, before: &str, after: &str| {
        let sent = service.deliver(&repo, &secret, "push", id, &push(URL, before, after));
        sent.answers(StatusCode::ACCEPTED).await
    };
    let first = deliver("1", "a", "b").await;
    let again = deliver("2", "a", "b").await;
    let duplicate = format!("duplicate of {}", first["jobs"][0].as_str().unwrap());
    assert_eq!(sentence(&again), ("duplicate", duplicate.as_str()));
    assert_eq!(again["jobs"], first["jobs"]);
    assert_eq!(deliver("3", "b", "c").await["verdict"], "accepted");
    let forced_back = deliver("4", "c", "b").await;
    assert_eq!(forced_back["verdict"], "accepted");
    let head = head_key(repo.parse().unwrap(), "refs/heads/main");
    let newest = service.ledger.heads.get(&head).await.unwrap().unwrap().value.job.unwrap();
    assert_eq!(json!([newest]), forced_back["jobs"]);
    // A forged delivery id must not stand in another push's way.
    assert_eq!(deliver("4", "b", "d").await["verdict"], "accepted");
    let deletion =
        service.deliver(&repo, &secret, "push", "5", &push(URL, "d", "0")).answers(StatusCode::OK).await;
    assert_eq!(sentence(&deletion), ("ignored", "the ref was removed"));
    assert!(service.ledger.heads.get(&head).await.unwrap().is_none());
    assert_eq!(deliver("6", "b", "d").await["verdict"], "accepted");
}

#[tokio::test]
async fn a_cancelled_push_may_come_again_and_a_replay_makes_a_new_job() {
    let service = Service::start().await;
    let (repo, secret, token) = registered(&service, json!({ "url": URL })).await;
    let body = push(URL, "a", "b");
    let first = service.deliver(&repo, &secret, "push", "1", &body).answers(StatusCode::ACCEPTED).await;
    let job = first["jobs"][0].as_str().unwrap();
    service.post(&format!("/api/v1/jobs/{job}/cancel"), &token, &json!({})).answers(StatusCode::OK).await;
    let second = service.deliver(&repo, &secret, "push", "2", &body).answers(StatusCode::ACCEPTED).await;
    assert_eq!(second["verdict"], "accepted");
    assert_ne!(second["jobs"], first["jobs"]);
    let path = format!("/api/v1/deliveries/{}/replay", second["delivery"].as_str().unwrap());
    let other = service.user("b@example.com").await;
    service.post(&path, &other, &json!({})).answers(StatusCode::NOT_FOUND).await;
    let replayed = service.post(&path, &token, &json!({})).answers(StatusCode::ACCEPTED).await;
    assert_eq!((&replayed["verdict"], &replayed["replay_of"]), (&json!("accepted"), &second["delivery"]));
    let job = service.get(&format!("/api/v1/jobs/{}", replayed["jobs"][0].as_str().unwrap()), &token);
    assert_eq!(job.answers(StatusCode::OK).await["rerun_of"], second["jobs"][0]);
}

#[tokio::test]
async fn filters_decide_without_a_job_and_what_was_ignored_is_judged_anew() {
    let service = Service::start().await;
    let (repo, secret, token) = registered(&service, json!({ "url": URL, "branches": ["release/*"] })).await;
    let body = push(URL, "a", "b");
    let ignored = service.deliver(&repo, &secret, "push", "1", &body).answers(StatusCode::OK).await;
    assert_eq!(sentence(&ignored), ("ignored", "the branch is filtered"));
    let path = format!("/api/v1/repos/{repo}");
    let change = service
        .request(reqwest::Method::PATCH, &path)
        .bearer_auth(&token)
        .json(&json!({ "branches": ["main"] }));
    assert_eq!(change.answers(StatusCode::OK).await["branches"], json!(["main"]));
    let taken = service.deliver(&repo, &secret, "push", "1", &body).answers(StatusCode::ACCEPTED).await;
    assert_eq!(taken["verdict"], "accepted");
    let skip = body.replace("\"work\"", "\"work [skip ci]\"").replace(&"b".repeat(40), &"c".repeat(40));
    let skipped = service.deliver(&repo, &secret, "push", "2", &skip).answers(StatusCode::OK).await;
    assert_eq!(sentence(&skipped), ("ignored", "the commit message says so"));
    let form = format!(
        "payload={}",
        url::form_urlencoded::byte_serialize(push(URL, "c", "d").as_bytes()).collect::<String>()
    );
    let form = service.deliver(&repo, &secret, "push", "3", &form).answers(StatusCode::ACCEPTED).await;
    assert_eq!(form["verdict"], "accepted");
}

#[tokio::test]
async fn a_filtered_push_moves_its_ref_before_anything_says_that_it_was_taken() {
    let service = Service::start().await;
    let (repo, secret, _) = registered(&service, json!({ "url": URL })).await;
    let head = head_key(repo.parse().unwrap(), "refs/heads/main");
    let head = async || service.ledger.heads.get(&head).await.unwrap().unwrap();
    let skip = |before: &str, after: &str| push(URL, before, after).replace("work", "work [skip ci]");
    let deliver = async |id: &str, body: &str| {
        let sent = service.deliver(&repo, &secret, "push", id, body);
        sent.send().await.unwrap().error_for_status().unwrap().json::<Value>().await.unwrap()
    };
    let skipped = deliver("1", &skip("a", "b")).await;
    assert_eq!(sentence(&skipped), ("ignored", "the commit message says so"));
    let entry = service.ledger.deliveries.get(skipped["delivery"].as_str().unwrap()).await.unwrap().unwrap();
    assert!(head().await.written_at < entry.written_at);

    // What a crash in between leaves: no entry, whether the head was moved or not.
    service.ledger.deliveries.delete(&entry.key, entry.revision).await.unwrap();
    let moved = head().await;
    deliver("1", &skip("a", "b")).await;
    assert_eq!(head().await.revision, moved.revision, "the same is not written twice");
    let entry = service.ledger.deliveries.get(&entry.key).await.unwrap().unwrap();
    service.ledger.deliveries.delete(&entry.key, entry.revision).await.unwrap();
    service.ledger.heads.delete(&moved.key, moved.revision).await.unwrap();
    deliver("1", &skip("a", "b")).await;
    assert_eq!(head().await.value.after.as_str(), "b".repeat(40));

    assert_eq!(deliver("2", &push(URL, "b", "c")).await["verdict"], "accepted");
    assert_eq!(deliver("3", &skip("c", "d")).await["verdict"], "ignored");
    for (id, before, after) in [("1", "a", "b"), ("3", "c", "d"), ("1", "a", "b")] {
        assert_eq!(deliver(id, &skip(before, after)).await["verdict"], "ignored");
        assert_eq!(head().await.value.after.as_str(), "d".repeat(40), "an old delivery moves nothing back");
    }
}

#[tokio::test]
async fn a_full_queue_ends_the_job_at_once_and_says_so() {
    let service = Service::with(&[("GITFAAS_MAX_QUEUED_PER_USER", "1")]).await;
    let (repo, secret, _) = registered(&service, json!({ "url": URL })).await;
    service.deliver(&repo, &secret, "push", "1", &push(URL, "0", "a")).answers(StatusCode::ACCEPTED).await;
    let refused = service
        .deliver(&repo, &secret, "push", "2", &push(URL, "a", "b"))
        .answers(StatusCode::ACCEPTED)
        .await;
    assert_eq!(sentence(&refused), ("refused", "the owner's queue is full"));
    let id = refused["jobs"][0].as_str().unwrap().parse().unwrap();
    let job = service.ledger.job(id).await.unwrap().unwrap().value;
    assert_eq!((job.status.state, job.status.cause), (State::Error, Some(jobs::Cause::Refused)));
}

#[tokio::test]
async fn the_operators_hook_finds_the_registration_that_posts() {
    let service = Service::with(&[("GITFAAS_GITHUB_TOKEN", "ghp_operator")]).await;
    let url = "https://github.com/a/pi";
    let unregistered = service.deliver("github", GITHUB_SECRET, "push", "1", &push(url, "0", "a"));
    assert_eq!(
        sentence(&unregistered.answers(StatusCode::OK).await),
        ("ignored", "the repository is not registered")
    );
    let user = service.user("b@example.com").await;
    let users = service.register(&user, json!({ "url": url })).await;
    assert_eq!((&users["forge"], &users["posts"]), (&json!("github"), &json!(false)));
    let admin = service.admin().await;
    let posting = service.register(&admin, json!({ "url": url })).await;
    service.confirmed(&posting, 7).await;
    let second = service.register(&admin, json!({ "url": url })).await;
    assert_eq!(second["posts"], false);
    let taken = service.deliver("github", GITHUB_SECRET, "push", "1", &push(url, "0", "a"));
    let taken = taken.answers(StatusCode::ACCEPTED).await;
    let job =
        service.ledger.job(taken["jobs"][0].as_str().unwrap().parse().unwrap()).await.unwrap().unwrap().value;
    assert_eq!(json!(job.spec.repo), posting["id"]);
    assert_eq!(job.spec.context.as_deref(), Some("gitfaas/push"));
    assert_eq!(service.ledger.commits.keys().await.unwrap().len(), 1);
    service
        .post("/api/v1/repos", &user, &json!({ "url": "https://elsewhere.example/a/pi", "forge": "github" }))
        .answers(StatusCode::FORBIDDEN)
        .await;
}

#[tokio::test]
async fn a_repository_is_its_owners_and_its_secret_is_told_once() {
    let service = Service::start().await;
    let (repo, _, token) =
        registered(&service, json!({ "url": URL, "forge": "plain", "token": "t0ken" })).await;
    let path = format!("/api/v1/repos/{repo}");
    let seen = service.get(&path, &token).says(StatusCode::OK).await;
    assert!(!seen.contains("secret") && !seen.contains("t0ken"), "{seen}");
    let stored = service.ledger.repos.get(&repo).await.unwrap().unwrap().value;
    assert!(!serde_json::to_string(&stored).unwrap().contains("t0ken"));
    let other = service.user("b@example.com").await;
    service.get(&path, &other).answers(StatusCode::NOT_FOUND).await;
    assert_eq!(service.get("/api/v1/repos", &other).answers(StatusCode::OK).await["items"], json!([]));
    service.request(reqwest::Method::DELETE, &path).bearer_auth(&other).answers(StatusCode::NOT_FOUND).await;
    service.request(reqwest::Method::DELETE, &path).bearer_auth(&token).says(StatusCode::NO_CONTENT).await;
    assert_eq!(service.get("/api/v1/repos", &token).answers(StatusCode::OK).await["items"], json!([]));
}

#[tokio::test]
async fn while_nats_is_silent_a_delivery_is_asked_to_come_again_and_then_taken_once() {
    let service = Service::start().await;
    let (repo, secret, _) = registered(&service, json!({ "url": URL })).await;
    let body = push(URL, "a", "b");
    service.nats.pause();
    let silent = service.deliver(&repo, &secret, "push", "d", &body).send().await.unwrap();
    assert_eq!(silent.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(silent.headers().contains_key("retry-after"));
    service.nats.resume();
    let taken = service.deliver(&repo, &secret, "push", "d", &body).answers(StatusCode::ACCEPTED).await;
    assert_eq!(taken["verdict"], "accepted");
    assert_eq!(service.all_jobs().await.len(), 1);
}
