//! A pull request of the repository itself: the first job of its commit answers for both, where that is
//! wanted.

use http::StatusCode;
use serde_json::json;
use tests::{Function, Service, repository::Commit, waiting::STATUS};

use crate::{commit, deliver, hello, pull_request, registered, told};

const SLOW: &str =
    "import time, os\nprint('begun', flush=True)\ntime.sleep(4)\nprint(os.environ['GITFAAS_JOB_ID'])";

async fn both(
    service: &Service,
    wishes: serde_json::Value,
    function: Function,
) -> (tests::api::Job, tests::api::Job, Commit) {
    let repository = registered(service, service.forge.repository("twice").await, wishes).await;
    let base = repository.push(hello()).await;
    service.forge.final_status(&base).await;
    let pushed = repository.push_to("topic", function, "a proposal").await;
    repository.receive_as("refs/pull/5/head", &pushed.sha).await;
    let event = pull_request(&repository, "opened", &base, &pushed.sha, false);
    let (status, answer) = deliver(service, &repository, "pull_request", &event).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let push = service.finished(&pushed.job()).await;
    let pull = service.finished(answer["jobs"][0].as_str().unwrap()).await;
    (push, pull, pushed)
}

#[tokio::test]
async fn the_job_of_the_push_answers_for_the_pull_request_and_nothing_runs_twice() {
    let service = Service::start().await;
    let wishes = json!({ "events": ["push", "pull_request"], "pull_requests": "reuse" });
    let (push, pull, pushed) = both(&service, wishes, Function::python(SLOW)).await;
    assert_eq!((push.end().as_str(), pull.end().as_str()), ("finish", "finish"));
    assert_eq!(pull.result(), push.result(), "it is the push's output");
    assert!(service.log(&pull.id).await.contains("another job of this commit answers for this one"));
    let green = |context: &'static str| {
        move |status: &tests::fake_forge::Status| status.context == context && status.state == "success"
    };
    for context in ["gitfaas/push", "gitfaas/pull-request"] {
        service.forge.shown_within(STATUS, &pushed, green(context)).await;
    }
}

#[tokio::test]
async fn a_push_that_its_manifest_filters_answers_for_nothing_and_by_default_both_run() {
    let service = Service::start().await;
    let wishes = json!({ "events": ["push", "pull_request"], "pull_requests": "reuse" });
    let function =
        Function::python("import os\nprint(os.environ['GITFAAS_JOB_ID'])").with("branches", json!(["main"]));
    let (push, pull, _) = both(&service, wishes, function).await;
    assert_eq!(push.cause.as_deref(), Some("skipped"));
    assert_eq!((pull.end(), pull.result().trim()), ("finish".to_owned(), pull.id.as_str()));

    let other = Service::start().await;
    let own = "import os\nprint(os.environ['GITFAAS_JOB_ID'])";
    let (push, pull, pushed) =
        both(&other, json!({ "events": ["push", "pull_request"] }), Function::python(own)).await;
    assert_eq!((push.result().trim(), pull.result().trim()), (push.id.as_str(), pull.id.as_str()));
    let status = other.forge.final_status(&commit(&pushed.sha)).await;
    assert!(told(&status).contains("success"), "{status:?}");
}
