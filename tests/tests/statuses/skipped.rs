//! A required check ends, also where the commit asks for no run.

use http::StatusCode;
use serde_json::{Value, json};
use tests::{Api, Repository, Service, repository::Commit, waiting::STATUS};

use crate::{deliver, hello, patched, told};

fn push(repository: &Repository, commit: &Commit, message: &str) -> Value {
    let mut push = tests::delivery::payload(repository, commit);
    push["head_commit"]["message"] = message.into();
    push
}

#[tokio::test]
async fn a_commit_that_asks_for_no_run_is_green_as_skipped_or_silent_by_choice() {
    let service = Service::start().await;
    let repository = service.registered("skipping").await;
    let running = repository.push(tests::Function::python(crate::FOREVER)).await;
    service.says(&running.job(), "begun").await;
    for (n, message) in ["docs [skip ci]", "docs\n\nskip-checks: true"].into_iter().enumerate() {
        let sha = repository.commit("main", hello().file("n", n.to_string()), message).await;
        repository.receive(&sha).await;
        let commit = Commit {
            reference: "refs/heads/main".to_owned(),
            before: running.sha.clone(),
            ..crate::commit(&sha)
        };
        let (status, answer) =
            deliver(&service, &repository, "push", &push(&repository, &commit, message)).await;
        assert_eq!((status, &answer["verdict"]), (StatusCode::ACCEPTED, &json!("accepted")), "{answer}");
        let job = service.finished(answer["jobs"][0].as_str().unwrap()).await;
        assert_eq!((job.end(), job.attempt), ("finish, skipped: the commit says so".to_owned(), 0));
        let status = service.forge.final_status(&commit).await;
        assert_eq!(told(&status), "gitfaas/push success: skipped: the commit says so");
    }
    // It takes nobody's place.
    assert_eq!(service.job(&running.job()).await.state, "working");

    patched(&service, &repository.registration().id, json!({ "skip_ci": "silent" })).await;
    let sha = repository.commit("main", hello().file("n", "9"), "x").await;
    let commit = Commit {
        reference: "refs/heads/main".to_owned(),
        before: running.sha.clone(),
        ..crate::commit(&sha)
    };
    let (status, answer) =
        deliver(&service, &repository, "push", &push(&repository, &commit, "[ci skip]")).await;
    assert_eq!((status, &answer["verdict"]), (StatusCode::OK, &json!("ignored")), "{answer}");
    let jobs = Api::json(service.get("/api/v1/jobs").await, StatusCode::OK).await;
    assert_eq!(jobs["items"].as_array().unwrap().len(), 3);
    service.cancel(&running.job()).await;
    service.forge.shown_within(STATUS, &running, |status| status.state == "error").await;
    assert!(service.forge.statuses(&commit).is_empty());
}
