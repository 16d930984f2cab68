//! Programs that go away in the middle of a job: it ends all the same, once.

use serde_json::json;
use tests::{Api, Cluster, Function, Job, Service, waiting::TAKEOVER};

/// Holds its first attempt for ever and ends at once in the second.
const HOLDS: &str = "import os, time\nprint('attempt', os.environ['GITFAAS_ATTEMPT'], flush=True)\nif os.environ['GITFAAS_ATTEMPT'] == '1': time.sleep(1000)";
/// Works for a moment, talking.
const TALKS: &str = "import time\nprint('begun', flush=True)\nfor n in range(20):\n    print(n, flush=True)\n    time.sleep(0.1)\nprint('done')";

fn holding() -> Function {
    Function::python(HOLDS).with("timeout", "100s")
}

#[tokio::test]
async fn a_worker_told_to_stop_hands_its_job_to_the_other_and_leaves_no_container() {
    let mut cluster = Cluster::start().await;
    let repository = cluster.registered("holds").await;
    let commit = repository.push(holding()).await;
    cluster.says(&commit.job(), "attempt 1").await;
    let first = cluster.job(&commit.job()).await.worker.unwrap();
    let worker = cluster.take_worker(&first);
    assert!(worker.stop().await.success(), "{}", worker.tail());

    let job = cluster.finished(&commit.job()).await;
    assert_eq!((job.result(), job.attempt), ("attempt 2\n", 2));
    assert_ne!(job.worker.as_ref(), Some(&first));
    cluster.containers.are_gone(&job.id).await;
    assert_eq!(cluster.forge.final_status(&commit).await.state, "success");
    assert!(!cluster.log(&job.id).await.contains("attempt 1"));
}

#[tokio::test]
async fn a_worker_that_is_killed_loses_its_job_to_the_other_after_the_lease() {
    let mut cluster = Cluster::start().await;
    let url = cluster.function("holds", holding()).await;
    let job = cluster.submit(&url).await;
    cluster.says(&job.id, "attempt 1").await;
    let first = cluster.job(&job.id).await.worker.unwrap();
    cluster.take_worker(&first).kill().await;

    let job = cluster.finished_within(TAKEOVER, &job.id).await;
    assert_eq!((job.result(), job.attempt), ("attempt 2\n", 2));
    assert_ne!(job.worker, Some(first));
    cluster.containers.are_gone(&job.id).await;
}

#[tokio::test]
async fn a_gateway_that_is_killed_loses_nothing() {
    let mut cluster = Cluster::start().await;
    let repository = cluster.registered("talks").await;
    let commit = repository.push(Function::python(TALKS)).await;
    let job = commit.job();
    cluster.says(&job, "begun").await;
    let waiting: Vec<_> = [(); 4].map(|()| json!({ "repo": repository.url, "args": [] })).into();
    let mut jobs = vec![job];
    for call in &waiting {
        jobs.push(cluster.submit_as(call).await.id);
    }
    cluster.take_gateway().kill().await;
    cluster.start_gateway().await;
    for id in &jobs {
        let job = cluster.finished_within(TAKEOVER, id).await;
        assert!(job.result().ends_with("19\ndone\n"), "{job:?}");
        assert_eq!(job.attempt, 1);
    }
    let mut listed: Vec<String> = cluster.jobs("").await.into_iter().map(|job| job.id).collect();
    listed.reverse();
    assert_eq!(listed, jobs);
    assert_eq!(cluster.forge.final_status(&commit).await.state, "success");
}

#[tokio::test]
async fn a_nats_that_goes_away_in_a_job_does_not_end_it() {
    let service = Service::start().await;
    let url = service.function("talks", Function::python(TALKS)).await;
    let job = service.submit(&url).await;
    service.says(&job.id, "begun").await;
    service.kill_nats();
    let job = service.finished_within(TAKEOVER, &job.id).await;
    assert!(job.result().ends_with("19\ndone\n"), "{job:?}");
    assert_eq!(job.attempt, 1);
    assert_eq!(service.log(&job.id).await.matches("\n1\n").count(), 1);
    assert!(service.run(&url).await.result().ends_with("done\n"));
}

#[tokio::test]
async fn up_that_is_killed_goes_on_where_it_was() {
    let mut service = Service::start().await;
    let url = service.function("holds", holding()).await;
    let job = service.submit(&url).await;
    service.says(&job.id, "attempt 1").await;
    service.up().kill().await;
    service.start_again().await;
    let job = service.finished_within(TAKEOVER, &job.id).await;
    assert_eq!((job.result(), job.attempt), ("attempt 2\n", 2));
    service.containers.are_gone(&job.id).await;
    let tokens = Api::json(service.get("/api/v1/tokens").await, http::StatusCode::OK).await;
    assert_eq!(tokens["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_container_that_is_killed_from_outside_is_our_failure_and_the_job_runs_again() {
    let service = Service::start().await;
    let url = service.function("holds", holding()).await;
    let job = service.submit(&url).await;
    service.says(&job.id, "attempt 1").await;
    service.containers.kill(&job.id).await;
    let waiting = |job: &Job| job.state == "pending";
    let waits = service.until(TAKEOVER, &job.id, "its second wait", waiting).await;
    assert_eq!(waits.message.as_deref(), Some("its container was ended from outside"));
    let job = service.finished_within(TAKEOVER, &job.id).await;
    assert_eq!((job.result(), job.attempt), ("attempt 2\n", 2));
}
