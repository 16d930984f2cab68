//! Nothing is left pending by us: of a registration that is removed, and of a branch that is deleted.

use http::{Method, StatusCode};
use tests::{Api, Function, Service, fake_forge::Status, waiting::STATUS};

use crate::{FOREVER, deliver, hello, told};

#[tokio::test]
async fn a_registration_that_is_removed_while_a_job_runs_tells_the_forge_before_it_goes() {
    let service = Service::start().await;
    let repository = service.registered("leaving").await;
    let commit = repository.push(Function::python(FOREVER)).await;
    service.says(&commit.job(), "begun").await;
    let path = format!("/api/v1/repos/{}", repository.registration().id);
    let removing = service.send(service.request(Method::DELETE, &path)).await;
    let removing = Api::json(removing, StatusCode::ACCEPTED).await;
    assert_eq!((&removing["removing"], &removing["cancelled"]), (&true.into(), &1.into()), "{removing}");

    // It takes nothing any more.
    let next = repository.commit("main", hello(), "too late").await;
    let late = tests::delivery::payload(&repository, &crate::commit(&next));
    assert_eq!(deliver(&service, &repository, "push", &late).await.0, StatusCode::NOT_FOUND);

    let status = service.forge.shown_within(STATUS, &commit, Status::is_final).await;
    assert_eq!(told(&status), "gitfaas/push error: the repository was unregistered");
    assert_eq!(service.finished(&commit.job()).await.cause.as_deref(), Some("cancelled"));
    service.containers.are_gone(&commit.job()).await;
    let gone = async || service.get(&path).await.status() == StatusCode::NOT_FOUND;
    let begun = std::time::Instant::now();
    while !gone().await {
        assert!(begun.elapsed() < STATUS * 2, "it never goes");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_registration_without_anything_left_to_tell_goes_at_once() {
    let service = Service::start().await;
    let repository = service.forge.repository("unused").await;
    let repository = crate::registered(&service, repository, serde_json::json!({})).await;
    let path = format!("/api/v1/repos/{}", repository.registration().id);
    let gone = service.send(service.request(Method::DELETE, &path)).await;
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    assert_eq!(service.get(&path).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_deleted_branch_cancels_what_runs_for_it_alone_and_says_so() {
    let service = Service::start().await;
    let repository = service.registered("branches").await;
    let alone = repository.push_to("topic", Function::python(FOREVER), "alone").await;
    service.says(&alone.job(), "begun").await;
    repository.delete("topic").await;
    let status = service.forge.shown_within(STATUS, &alone, Status::is_final).await;
    assert_eq!(told(&status), "gitfaas/push error: the branch was deleted");
    assert_eq!(service.finished(&alone.job()).await.cause.as_deref(), Some("cancelled"));

    // Another branch has the same commit: its job goes on, and the status is that one's too.
    let slow = "import time\nprint('begun', flush=True)\ntime.sleep(6)\nprint('done')";
    let shared = repository.push_to("one", Function::python(slow), "shared").await;
    repository.receive_as("refs/heads/two", &shared.sha).await;
    let before = tests::repository::NO_COMMIT.to_owned();
    let reference = "refs/heads/two".to_owned();
    let two = tests::repository::Commit { reference, before, ..crate::commit(&shared.sha) };
    let told = tests::delivery::payload(&repository, &two);
    assert_eq!(deliver(&service, &repository, "push", &told).await.0, StatusCode::ACCEPTED);
    service.says(&shared.job(), "begun").await;
    repository.delete("one").await;
    assert_eq!(service.finished(&shared.job()).await.result(), "begun\ndone\n");
}
