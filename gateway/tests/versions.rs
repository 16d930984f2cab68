//! Versions of functions: what a green push makes callable, and which is the newest.

mod support;

use jobs::{Cause, Job, Outcome};
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{
    Answered,
    function::{Function, MAIN, URL},
    push,
};

fn red() -> Outcome {
    Outcome::function(Cause::Exit, "exit code 1")
}

#[tokio::test]
async fn a_green_push_is_live_and_a_red_one_takes_nothing_down() {
    let function = Function::start().await;
    function.end(function.push("0", "a").await, &red()).await;
    assert_eq!((function.live(MAIN).await, function.is_built("a").await), (None, false));
    function.green(function.push("a", "b").await).await;
    assert_eq!((function.live(MAIN).await.unwrap(), function.is_built("b").await), ("b".to_owned(), true));
    function.end(function.push("b", "c").await, &red()).await;
    let skipped = Outcome::Skipped { why: "no matching path".to_owned() };
    function.end(function.push("c", "d").await, &skipped).await;
    assert_eq!(function.live(MAIN).await.unwrap(), "b");
    assert!(!function.is_built("c").await && !function.is_built("d").await);
}

#[tokio::test]
async fn a_push_that_ends_after_a_later_one_moves_nothing_back() {
    let function = Function::start().await;
    let first = function.push("0", "a").await;
    let second = function.push("a", "b").await;
    function.green(second).await;
    function.green(first).await;
    assert_eq!(function.live(MAIN).await.unwrap(), "b");
    assert!(function.is_built("a").await, "it was built all the same");
}

#[tokio::test]
async fn a_push_whose_delivery_came_late_is_not_the_newest() {
    let function = Function::start().await;
    let second = function.push("a", "b").await;
    let first = function.push("0", "a").await;
    function.green(first).await;
    assert_eq!(function.live(MAIN).await, None, "the ref's head is a later push");
    function.green(second).await;
    assert_eq!(function.live(MAIN).await.unwrap(), "b");
}

#[tokio::test]
async fn a_force_push_back_is_a_push() {
    let function = Function::start().await;
    function.green(function.push("0", "a").await).await;
    function.green(function.push("a", "b").await).await;
    let back = function.push("b", "a").await;
    assert_eq!(function.live(MAIN).await.unwrap(), "b", "until the new one is green");
    function.green(back).await;
    assert_eq!(function.live(MAIN).await.unwrap(), "a");
}

#[tokio::test]
async fn a_deleted_ref_has_no_newest_and_a_removed_repository_no_versions() {
    let function = Function::start().await;
    function.green(function.push("0", "a").await).await;
    let late = function.push("a", "b").await;
    let claim = function.service.claim(late).await;
    let deletion = push(URL, "b", "0");
    let answer =
        function.service.deliver(&function.repo.to_string(), &function.secret, "push", "gone", &deletion);
    answer.answers(StatusCode::OK).await;
    assert_eq!((function.live(MAIN).await, function.is_built("a").await), (None, true));
    let ended = function.service.ledger.finish(late, 1, &Outcome::Finished, &|job: Job| job).await.unwrap();
    assert!(ended.is_none(), "its job was cancelled");
    claim.lease.give_up().await;
    function.green(function.push("0", "c").await).await;
    let path = format!("/api/v1/repos/{}", function.repo);
    let removed = function.service.request(reqwest::Method::DELETE, &path).bearer_auth(&function.token);
    assert!(removed.send().await.unwrap().status().is_success());
    assert_eq!((function.live(MAIN).await, function.is_built("c").await), (None, false));
}

#[tokio::test]
async fn calls_and_pull_requests_make_no_versions() {
    let function = Function::start().await;
    let sha = "e".repeat(40);
    let wish = json!({ "repo": function.repo.to_string(), "ref": sha });
    let call =
        function.service.post("/api/v1/jobs", &function.token, &wish).answers(StatusCode::ACCEPTED).await;
    function.green(call["id"].as_str().unwrap().parse().unwrap()).await;
    let side = |digit: &str| json!({ "ref": "topic", "sha": digit.repeat(40), "repo": { "id": 7, "full_name": "a/pi" } });
    let pull: Value = json!({
        "action": "opened",
        "number": 5,
        "pull_request": { "head": side("f"), "base": side("9"), "draft": false },
        "repository": { "id": 7, "full_name": "a/pi", "clone_url": URL },
    });
    function.green(function.deliver("pull_request", &pull.to_string()).await).await;
    assert!(function.service.ledger.versions.keys().await.unwrap().is_empty());
    assert!(function.service.ledger.live.keys().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_ended_while_no_gateway_was_there_is_published_by_the_next() {
    let function = Function::start().await;
    let job = function.push("0", "a").await;
    let claim = function.service.claim(job).await;
    let ledger = function.service.ledger.clone();
    let Function { service, repo, secret, token } = function;
    let restarted = service.restarted_after(async {
        ledger.finish(job, 1, &Outcome::Finished, &|job: Job| job).await.unwrap().unwrap();
        claim.lease.give_up().await;
    });
    let function = Function { service: restarted.await, repo, secret, token };
    function.known(&function.service, job).await;
    assert_eq!(function.live(MAIN).await.unwrap(), "a");
}

#[tokio::test]
async fn two_gateways_agree_on_the_newest() {
    let function = Function::start().await;
    let other = function.service.another().await;
    let mut before = "0";
    for digit in ["a", "b", "c", "d"] {
        function.green(function.push(before, digit).await).await;
        before = digit;
    }
    for job in function.service.all_jobs().await {
        function.known(&other, job.spec.id).await;
    }
    assert_eq!(function.live(MAIN).await.unwrap(), "d");
}
