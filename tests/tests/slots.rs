//! A worker's last free slot: long jobs of one owner do not keep everybody else waiting.

use std::time::{Duration, Instant};

use tests::{Api, Function, Job, Service, git_server::Fault, waiting::JOB};

/// Runs until it is cancelled.
const LASTS: &str = "import time\nprint('begun', flush=True)\ntime.sleep(3600)";
const HELLO: &str = "print('hello')";
const WAITS: &str = "waits for a slot: a worker's last free slot takes only short jobs";

fn lasting() -> Function {
    Function::python(LASTS).with("timeout", "1h")
}

fn brief() -> Function {
    Function::python(HELLO).with("timeout", "2s")
}

/// Two owners who both had a job.
async fn two_owners(service: &Service, hello: &str) -> (Api, Api) {
    let (ada, bob) = (service.user("ada@example.com"), service.user("bob@example.com"));
    assert_eq!(ada.run(hello).await.result(), "hello\n");
    assert_eq!(bob.run(hello).await.result(), "hello\n");
    (ada, bob)
}

/// The record once the job was handed back to wait for another slot.
async fn waits(api: &Api, job: &Job) -> Job {
    let is_back = |job: &Job| job.state == "pending" && job.message.as_deref() == Some(WAITS);
    api.until(JOB, &job.id, "a hand-back", is_back).await
}

/// The quickest of some calls: what a call costs beside whatever else the machine does.
async fn quickest(api: &Api, url: &str) -> Duration {
    let mut times = Vec::new();
    for _ in 0..10 {
        let begun = Instant::now();
        let answer = api.post("/api/v1/jobs?wait=60", &serde_json::json!({ "repo": url })).await;
        let job = Api::json(answer, http::StatusCode::OK).await;
        times.push(begun.elapsed());
        assert_eq!((&job["state"], &job["attempt"]), (&"finish".into(), &1.into()), "{job}");
    }
    times.into_iter().min().expect("there were some")
}

#[tokio::test]
async fn of_two_long_jobs_one_runs_and_a_neighbours_call_is_answered_at_once() {
    let service = Service::start().await;
    let hello = service.function("hello", Function::python(HELLO)).await;
    let (ada, bob) = two_owners(&service, &hello).await;
    let long = service.function("long", lasting()).await;
    let first = ada.submit(&long).await;
    ada.says(&first.id, "begun").await;
    let before = quickest(&bob, &hello).await;
    let second = ada.submit(&long).await;
    assert_eq!(waits(&ada, &second).await.attempt, 1);

    let beside = quickest(&bob, &hello).await;
    println!("the quickest call beside a long job: {before:?}, and beside one that waits too: {beside:?}");
    assert!(beside < before * 3 + Duration::from_millis(100), "{beside:?}, before {before:?}");
    let third = ada.submit(&long).await;
    waits(&ada, &third).await;
    let still = ada.job(&second.id).await;
    assert_eq!((still.state.as_str(), still.attempt), ("pending", 1), "it was not tried again");
    assert_eq!(ada.run(&hello).await.result(), "hello\n", "nor does it stand in its owner's own way");

    let begun = Instant::now();
    ada.cancel(&first.id).await;
    let started = ada.until(JOB, &second.id, "its turn", |job| job.state == "working").await;
    println!("the next long job was claimed {:?} after the cancellation", begun.elapsed());
    assert_eq!((started.attempt, started.message), (2, None));
    ada.says(&second.id, "begun").await;
    assert_eq!(ada.job(&third.id).await.state, "pending");
    assert_eq!(quickest(&bob, &hello).await.as_secs(), 0);
    ada.cancel(&third.id).await;
    ada.cancel(&second.id).await;
}

#[tokio::test]
async fn an_owner_who_is_alone_has_all_slots_until_another_comes() {
    let service = Service::start().await;
    let (ada, bob) = (service.user("ada@example.com"), service.user("bob@example.com"));
    let long = service.function("long", lasting()).await;
    let hello = service.function("hello", Function::python(HELLO)).await;
    let both = [ada.submit(&long).await, ada.submit(&long).await];
    for job in &both {
        ada.says(&job.id, "begun").await;
        assert_eq!(ada.job(&job.id).await.attempt, 1);
    }
    // From now on there are two: what runs goes on, and one slot of it is short jobs' again.
    let call = bob.submit(&hello).await;
    ada.cancel(&both[0].id).await;
    assert_eq!(bob.finished(&call.id).await.result(), "hello\n");
    let third = ada.submit(&long).await;
    waits(&ada, &third).await;
    assert_eq!(bob.run(&hello).await.result(), "hello\n");
    ada.cancel(&third.id).await;
    ada.cancel(&both[1].id).await;
}

#[tokio::test]
async fn a_worker_with_one_slot_takes_everything() {
    let service = Service::start_with(&[("GITFAAS_WORKER_SLOTS", "1")]).await;
    let hello = service.function("hello", Function::python(HELLO)).await;
    let (ada, _) = two_owners(&service, &hello).await;
    let job = ada.submit(&service.function("long", lasting()).await).await;
    ada.says(&job.id, "begun").await;
    assert_eq!(ada.job(&job.id).await.attempt, 1);
    ada.cancel(&job.id).await;
}

#[tokio::test]
async fn a_slow_checkout_and_a_slow_prepare_do_not_hold_the_last_slot_either() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap();
    let service =
        Service::start_with(&[("GITFAAS_LAST_SLOT_TIMEOUT", "2s"), ("GITFAAS_PREPARE_ALLOW", "127.0.0.1")])
            .await;
    let hello = service.function("hello", brief()).await;
    let (ada, bob) = two_owners(&service, &hello).await;
    let long = ada.submit(&service.function("long", lasting()).await).await;
    ada.says(&long.id, "begun").await;

    let hangs = service.forge.repository("hangs").await;
    hangs.push(brief()).await;
    service.forge.breaks(&hangs, Fault::Hang);
    let requirements = format!("--index-url http://{silent}/simple\n--trusted-host 127.0.0.1\nsix\n");
    let prepares = brief().with("requirementsFile", "r.txt").file("r.txt", requirements);
    let prepares = service.function("prepares", prepares).await;
    for slow in [ada.submit(&hangs.url).await, ada.submit(&prepares).await] {
        waits(&ada, &slow).await;
        assert_eq!(bob.run(&hello).await.result(), "hello\n");
        assert_eq!(ada.job(&slow.id).await.attempt, 1);
        ada.cancel(&slow.id).await;
    }
    ada.cancel(&long.id).await;
    drop(listener);
}
