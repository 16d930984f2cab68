//! A pull request of a fork that waits is shown to wait, with a link to where it is approved.

use http::StatusCode;
use serde_json::{Value, json};
use tests::{
    Repository, Service,
    fake_forge::Status,
    installation::{self, INSTALLATION, installed},
    repository::Commit,
    waiting::STATUS,
};

use crate::{commit, deliver, hello, pull_request, registered, told};

async fn scene(service: &Service) -> (Repository, Commit) {
    let wishes = json!({ "events": ["push", "pull_request"] });
    let repository = registered(service, service.forge.repository("forked").await, wishes).await;
    let base = repository.push(hello()).await;
    service.forge.final_status(&base).await;
    (repository, base)
}

async fn proposed(repository: &Repository, n: &str) -> String {
    let head = repository.commit("topic", hello().file("n", n), "a proposal").await;
    repository.receive_as("refs/pull/5/head", &head).await;
    head
}

async fn opened(
    service: &Service,
    repository: &Repository,
    base: &Commit,
    head: &str,
    action: &str,
) -> Value {
    let (status, answer) =
        deliver(service, repository, "pull_request", &pull_request(repository, action, base, head, true))
            .await;
    assert_eq!((status, &answer["verdict"]), (StatusCode::OK, &json!("held")), "{answer}");
    answer
}

#[tokio::test]
async fn what_waits_is_pending_until_it_is_approved_by_the_number_of_its_pull_request() {
    let service = Service::start().await;
    let (repository, base) = scene(&service).await;
    let first = proposed(&repository, "1").await;
    let answer = opened(&service, &repository, &base, &first, "opened").await;
    let waits = |status: &tests::fake_forge::Status| status.description.starts_with("waits");
    let status = service.forge.shown_within(STATUS, &commit(&first), waits).await;
    assert_eq!(told(&status), "gitfaas/pull-request pending: waits for approval by an owner");
    let delivery = answer["delivery"].as_str().unwrap();
    assert!(status.target_url.ends_with(&format!("/deliveries/{delivery}")), "{status:?}");
    let shown = service.get(&format!("/api/v1/deliveries/{delivery}")).await;
    let shown = tests::Api::json(shown, StatusCode::OK).await;
    assert_eq!((&shown["sha"], &shown["pull"]), (&json!(first), &json!(5)), "{shown}");

    // A newer commit: the older one can never be approved any more.
    let second = proposed(&repository, "2").await;
    opened(&service, &repository, &base, &second, "synchronize").await;
    let status = service.forge.shown_within(STATUS, &commit(&first), Status::is_final).await;
    assert_eq!(told(&status), format!("gitfaas/pull-request error: superseded by {}", &second[..12]));

    let approved = service.gitfaas(&["approve", "--pull", "5"]).await;
    let said = String::from_utf8_lossy(&approved.stderr).into_owned();
    assert!(approved.status.success() && said.contains(&second), "{said}");
    let status = service.forge.final_status(&commit(&second)).await;
    assert!(told(&status).starts_with("gitfaas/pull-request success: finished in"), "{status:?}");
}

#[tokio::test]
async fn a_closed_pull_request_waits_no_more() {
    let service = Service::start().await;
    let (repository, base) = scene(&service).await;
    let head = proposed(&repository, "1").await;
    opened(&service, &repository, &base, &head, "opened").await;
    let pending = |status: &tests::fake_forge::Status| status.state == "pending";
    service.forge.shown_within(STATUS, &commit(&head), pending).await;
    let closed = pull_request(&repository, "closed", &base, &head, true);
    deliver(&service, &repository, "pull_request", &closed).await;
    let status = service.forge.final_status(&commit(&head)).await;
    assert_eq!(told(&status), "gitfaas/pull-request error: the pull request was closed");
}

#[tokio::test]
async fn with_an_app_the_check_asks_for_an_action_and_one_that_is_void_is_cancelled() {
    let (service, repositories) = installed(&["apped"]).await;
    let repository = &repositories[0];
    let list = tests::Api::json(service.get("/api/v1/repos").await, StatusCode::OK).await;
    let id = list["items"][0]["id"].as_str().unwrap();
    crate::patched(&service, id, json!({ "events": ["push", "pull_request"] })).await;
    let base = repository.commit("main", hello(), "base").await;
    repository.receive(&base).await;
    let base = commit(&base);
    let head = proposed(repository, "1").await;
    let mut event = pull_request(repository, "opened", &base, &head, true);
    event["installation"] = json!({ "id": INSTALLATION });
    let (_, answer) = installation::deliver(&service, "pull_request", &event).await;
    assert_eq!(answer["verdict"], "held", "{answer}");
    let run = service.forge.completed(&commit(&head)).await;
    assert_eq!(
        (run.name.as_str(), run.conclusion.as_deref()),
        ("gitfaas/pull-request", Some("action_required"))
    );
    assert_eq!(run.title, "waits for approval by an owner");

    let mut closed = pull_request(repository, "closed", &base, &head, true);
    closed["installation"] = json!({ "id": INSTALLATION });
    installation::deliver(&service, "pull_request", &closed).await;
    let mut news = service.forge.watch_checks();
    let cancelled = |all: &Vec<tests::fake_forge::CheckRun>| {
        all.iter().any(|run| run.sha == head && run.conclusion.as_deref() == Some("cancelled"))
    };
    tokio::time::timeout(STATUS, news.wait_for(cancelled)).await.expect("in time").unwrap();
    assert_eq!(service.forge.check_runs(&commit(&head)).len(), 1, "the same run, brought to its end");
}
