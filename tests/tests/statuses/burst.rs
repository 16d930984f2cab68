//! Fifty pushes on fifty branches of one GitHub repository, under the limits that GitHub publishes.

use std::time::{Duration, Instant};

use tests::Service;

use crate::{commit, deliver, hello};

const PUSHES: usize = 50;

#[tokio::test]
async fn fifty_pushes_end_at_the_forge_as_soon_as_their_jobs_do_and_meet_no_limit() {
    let service = Service::start().await;
    service.forge.limits_content(80, 500);
    let repository = service.registered("burst").await;
    let sha = repository.commit("main", hello(), "all branches have it").await;
    let mut pushes = Vec::new();
    for n in 0..PUSHES {
        let sha = if n == 0 {
            sha.clone()
        } else {
            repository.commit("main", hello().file("n", n.to_string()), "next").await
        };
        let branch = format!("refs/heads/branch-{n}");
        repository.receive_as(&branch, &sha).await;
        pushes.push(tests::repository::Commit {
            reference: branch,
            before: tests::repository::NO_COMMIT.to_owned(),
            ..commit(&sha)
        });
    }
    let begun = Instant::now();
    let mut jobs = Vec::new();
    for push in &pushes {
        let payload = tests::delivery::payload(&repository, push);
        let (_, answer) = deliver(&service, &repository, "push", &payload).await;
        jobs.push(answer["jobs"][0].as_str().expect("a job").to_owned());
    }
    for job in &jobs {
        service.finished_within(Duration::from_secs(120), job).await;
    }
    let over = begun.elapsed();
    for push in &pushes {
        service.forge.final_status(push).await;
        assert!(service.forge.statuses(push).last().unwrap().state == "success");
    }
    let told = begun.elapsed();
    assert!(told - over < Duration::from_secs(10), "jobs over after {over:?}, told after {told:?}");
    assert_eq!(service.forge.limit_hits(), 0);
}
