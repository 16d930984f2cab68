//! GitHub's merge queue is tested, once, and posts whatever a rule may ask for.

use http::StatusCode;
use serde_json::json;
use tests::{
    Function, Repository, Service,
    delivery::{Destroyed, MergeGroup},
    repository::Commit,
    waiting::STATUS,
};

use crate::{FOREVER, commit, deliver, hello, registered, told};

async fn scene(service: &Service, function: Function) -> (Repository, MergeGroup, Commit) {
    let wishes = json!({ "events": ["push", "pull_request"], "branches": ["main"] });
    let repository = registered(service, service.forge.repository("queued").await, wishes).await;
    let base = repository.push(hello()).await;
    service.forge.final_status(&base).await;
    let head = repository.commit("queue", function, "a merge [skip ci]").await;
    let group = MergeGroup::new(5, &base.sha, &head);
    repository.receive_as(&group.reference(), &head).await;
    (repository, group, commit(&head))
}

#[tokio::test]
async fn a_merge_group_runs_once_by_its_targets_filters_and_posts_both_contexts() {
    let service = Service::start().await;
    let secret_or_not = "import os\nprint('a secret' if os.environ.get('KEY') else 'none')";
    let function =
        Function::python(secret_or_not).with("branches", json!(["main"])).with("secrets", json!(["KEY"]));
    let (repository, group, head) = scene(&service, function).await;
    let key =
        |event: &str| format!("/api/v1/repos/{}/secrets/KEY?events={event}", repository.registration().id);
    let put = service.request(http::Method::PUT, &key("pull_request")).body("a pull request's");
    assert_eq!(service.send(put).await.status(), StatusCode::CREATED);

    let mut pushed = group.push(&repository);
    pushed["head_commit"]["message"] = "a merge [skip ci]".into();
    let (status, answer) = deliver(&service, &repository, "push", &pushed).await;
    assert_eq!((status, &answer["verdict"]), (StatusCode::ACCEPTED, &json!("accepted")), "{answer}");
    let (status, asked) =
        deliver(&service, &repository, "merge_group", &group.checks_requested(&repository)).await;
    assert_eq!((status, &asked["verdict"]), (StatusCode::OK, &json!("ignored")), "the push decides: {asked}");
    let job = service.finished(answer["jobs"][0].as_str().unwrap()).await;
    assert_eq!((job.end().as_str(), job.result()), ("finish", "a secret\n"));
    for context in ["gitfaas/push", "gitfaas/pull-request"] {
        let green =
            |status: &tests::fake_forge::Status| status.context == context && status.state == "success";
        let status = service.forge.shown_within(STATUS, &head, green).await;
        assert!(status.description.starts_with("finished in"), "{status:?}");
    }
    assert_eq!(service.jobs("").await.len(), 2, "the base's, and one of the group");
}

#[tokio::test]
async fn a_group_that_leaves_the_queue_is_cancelled() {
    let service = Service::start().await;
    let (repository, group, head) = scene(&service, Function::python(FOREVER)).await;
    let (_, answer) = deliver(&service, &repository, "push", &group.push(&repository)).await;
    let job = answer["jobs"][0].as_str().unwrap();
    service.says(job, "begun").await;
    let gone = group.destroyed(&repository, Destroyed::Dequeued);
    deliver(&service, &repository, "merge_group", &gone).await;
    assert_eq!(service.finished(job).await.cause.as_deref(), Some("cancelled"));
    for context in ["gitfaas/push", "gitfaas/pull-request"] {
        let red = |status: &tests::fake_forge::Status| status.context == context && status.state == "error";
        let status = service.forge.shown_within(STATUS, &head, red).await;
        assert_eq!(told(&status), format!("{context} error: the branch was deleted"));
    }
}
