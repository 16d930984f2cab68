//! The ledger against a real server: who gets a job, who may end it, what a crash leaves behind.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use jobs::{
    Cause, FunctionCall, Job, JobId, JobSpec, Label, Ledger, Outcome, State, UserId, WorkerName,
    accounts::OwnerKind,
    bucket::{Entry, purge_key},
    lock::Lock,
    queue::{FairScheduler, QueuedJob},
    reconcile::{Candidate, Patience, Reconciler},
    record::MAX_FAILURES,
    slot_limit::SlotLimit,
    streams,
};
use support::Nats;

const URL: &str = "https://example.com/owner/function.git";
/// More running jobs of one owner than any test has.
const MANY: usize = 100;

fn worker(name: &str) -> WorkerName {
    name.parse().unwrap()
}

async fn next(ledger: &Ledger) -> Option<QueuedJob> {
    FairScheduler::default()
        .pick(ledger, &Label::default(), MANY, SlotLimit::Unlimited, |_| true)
        .await
        .unwrap()
        .next()
}

async fn record(ledger: &Ledger, id: JobId) -> Entry<Job> {
    ledger.job(id).await.unwrap().unwrap()
}

fn as_is(job: Job) -> Job {
    job
}

/// What an index would tell.
async fn candidate(ledger: &Ledger, id: JobId) -> [Candidate; 1] {
    let entry = record(ledger, id).await;
    [Candidate { job: id, revision: entry.revision, state: entry.value.status.state }]
}

fn impatient() -> Reconciler {
    Reconciler::new(Patience { looked_for_after: Duration::ZERO, ..Patience::default() })
}

#[tokio::test]
async fn a_submitted_job_is_claimed_once_and_its_end_is_final() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let id = ledger.submit(JobSpec::call(UserId::new(), URL)).await.unwrap().value.spec.id;
    let waiting = next(&ledger).await.unwrap();

    let claim = ledger.claim(&waiting, &worker("w1")).await.unwrap().unwrap();
    assert!(ledger.claim(&waiting, &worker("w2")).await.unwrap().is_none());
    assert!(next(&ledger).await.is_none(), "the message is out of the queue");
    let ended = ledger.finish(id, 1, &Outcome::Finished, &as_is).await.unwrap().unwrap();
    claim.lease.give_up().await;

    assert_eq!((ended.value.status.state, ended.value.status.attempt), (State::Finish, 1));
    assert!(ended.created_at() <= ended.started_at().unwrap());
    assert!(ended.started_at() <= ended.finished_at());
    assert!(ledger.finish(id, 1, &Outcome::function(Cause::Exit, "late"), &as_is).await.unwrap().is_none());
    assert!(ledger.running().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_purged_leaves_no_mark_and_its_key_is_free() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let (users, nobody) = (&ledger.accounts.users, UserId::new());
    let one = ledger.accounts.find_or_make("p", "1", "a@example.com", OwnerKind::User).await.unwrap();
    let other = ledger.accounts.find_or_make("p", "2", "b@example.com", OwnerKind::User).await.unwrap();
    purge_key(&ledger.js, streams::USERS, &one.key).await.unwrap();
    purge_key(&ledger.js, streams::USERS, &nobody.to_string()).await.unwrap();
    assert_eq!(users.subjects().await.unwrap(), [other.key], "a deletion would leave a mark");
    assert_eq!(users.last_revision(&one.key).await.unwrap(), 0);
    users.create(&one.key, &one.value).await.unwrap();
}

#[tokio::test]
async fn of_many_that_claim_at_once_one_wins() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    ledger.submit(JobSpec::call(UserId::new(), URL)).await.unwrap();
    let waiting = next(&ledger).await.unwrap();
    let names: Vec<WorkerName> = (0..16).map(|n| worker(&format!("w{n}"))).collect();
    let claims = futures_util::future::join_all(names.iter().map(|name| ledger.claim(&waiting, name))).await;
    assert_eq!(claims.into_iter().filter(|claim| claim.as_ref().unwrap().is_some()).count(), 1);
}

#[tokio::test]
async fn submitting_the_same_id_again_makes_no_second_job() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let new = JobSpec::call(UserId::new(), URL);
    let first = ledger.submit(new.clone()).await.unwrap();
    let second = ledger.submit(new).await.unwrap();
    assert_eq!(first.revision, second.revision);
    let waiting = next(&ledger).await.unwrap();
    ledger.claim(&waiting, &worker("w")).await.unwrap().unwrap();
    assert!(next(&ledger).await.is_none());
}

#[tokio::test]
async fn a_job_handed_back_is_taken_again_and_the_old_attempt_cannot_end_it() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let id = ledger.submit(JobSpec::call(UserId::new(), URL)).await.unwrap().value.spec.id;
    let first = ledger.claim(&next(&ledger).await.unwrap(), &worker("w1")).await.unwrap().unwrap();
    ledger.requeue(id, 1).await.unwrap().unwrap();
    first.lease.give_up().await;

    let second = ledger.claim(&next(&ledger).await.unwrap(), &worker("w2")).await.unwrap().unwrap();
    assert_eq!((second.entry.value.status.attempt, second.entry.value.status.failures), (2, 0));
    assert!(ledger.finish(id, 1, &Outcome::Finished, &as_is).await.unwrap().is_none());
    assert_eq!(record(&ledger, id).await.value.status.state, State::Working);
}

#[tokio::test]
async fn a_worker_that_is_gone_costs_a_failure_and_after_three_the_job_is_lost() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let id = ledger.submit(JobSpec::call(UserId::new(), URL)).await.unwrap().value.spec.id;
    for attempt in 1..=MAX_FAILURES {
        let claim = ledger.claim(&next(&ledger).await.unwrap(), &worker("w")).await.unwrap().unwrap();
        let candidates = candidate(&ledger, id).await;
        assert_eq!(impatient().round(&ledger, &candidates).await.unwrap(), 0, "its lease is there");
        claim.lease.give_up().await;
        assert_eq!(impatient().round(&ledger, &candidates).await.unwrap(), 1);
        let failures = record(&ledger, id).await.value.status.failures;
        assert!(attempt == MAX_FAILURES || failures == attempt, "{failures} failures after {attempt}");
    }
    let job = record(&ledger, id).await.value;
    assert_eq!((job.status.state, job.status.cause), (State::Error, Some(Cause::Lost)));
    assert_eq!(job.status.message.as_deref(), Some("its worker was lost 3 times"));
}

#[tokio::test]
async fn a_pending_job_that_is_not_in_the_queue_is_put_there() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let job = Job::new(JobSpec::call(UserId::new(), URL));
    ledger.jobs.create(&job.spec.id.to_string(), &job).await.unwrap();
    assert!(next(&ledger).await.is_none());

    impatient().round(&ledger, &candidate(&ledger, job.spec.id).await).await.unwrap();
    let waiting = next(&ledger).await.unwrap();
    assert_eq!((waiting.job, waiting.times_queued), (job.spec.id, 2));
    assert_eq!(
        impatient().round(&ledger, &candidate(&ledger, job.spec.id).await).await.unwrap(),
        0,
        "it is there now"
    );
}

#[tokio::test]
async fn a_job_that_nobody_takes_is_lost_in_the_end() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let id = ledger.submit(JobSpec::call(UserId::new(), URL)).await.unwrap().value.spec.id;
    let mut reconciler = Reconciler::new(Patience { max_queue_time: Duration::ZERO, ..Patience::default() });
    reconciler.round(&ledger, &candidate(&ledger, id).await).await.unwrap();
    assert_eq!(record(&ledger, id).await.value.status.cause, Some(Cause::Lost));
    let waiting = next(&ledger).await.unwrap();
    assert!(ledger.claim(&waiting, &worker("w")).await.unwrap().is_none(), "its message is only taken out");
    assert!(next(&ledger).await.is_none());
}

#[tokio::test]
async fn our_failure_waits_for_its_retry_and_is_then_queued() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let id = ledger.submit(JobSpec::call(UserId::new(), URL)).await.unwrap().value.spec.id;
    let claim = ledger.claim(&next(&ledger).await.unwrap(), &worker("w")).await.unwrap().unwrap();
    let ended = ledger
        .finish(id, 1, &Outcome::service(Cause::Checkout, "forge out of reach"), &as_is)
        .await
        .unwrap()
        .unwrap();
    claim.lease.give_up().await;
    assert_eq!((ended.value.status.state, ended.value.status.retry_after_s), (State::Pending, Some(10)));
    assert_eq!(impatient().round(&ledger, &candidate(&ledger, id).await).await.unwrap(), 0, "not yet");
    assert!(next(&ledger).await.is_none());
}

#[tokio::test]
async fn a_cancelled_job_is_final_at_once_and_its_worker_writes_nothing() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let id = ledger.submit(JobSpec::call(UserId::new(), URL)).await.unwrap().value.spec.id;
    let _claim = ledger.claim(&next(&ledger).await.unwrap(), &worker("w")).await.unwrap().unwrap();
    let cancelled = ledger.end(id, &Outcome::wished(Cause::Cancelled, "cancelled")).await.unwrap().unwrap();
    assert_eq!(
        (cancelled.value.status.state, cancelled.value.status.cause),
        (State::Error, Some(Cause::Cancelled))
    );
    assert!(ledger.finish(id, 1, &Outcome::Finished, &as_is).await.unwrap().is_none());
    let again = ledger.end(id, &Outcome::wished(Cause::Superseded, "late")).await.unwrap().unwrap();
    assert_eq!(again.revision, cancelled.revision);
}

#[tokio::test]
async fn owners_take_turns_and_calls_come_before_pushes() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let (many, few) = (UserId::new(), UserId::new());
    for _ in 0..5 {
        ledger.submit(JobSpec { trigger: jobs::Trigger::Push, ..JobSpec::call(many, URL) }).await.unwrap();
    }
    let call = ledger.submit(JobSpec::call(many, URL)).await.unwrap().value.spec.id;
    for _ in 0..2 {
        ledger.submit(JobSpec::call(few, URL)).await.unwrap();
    }
    let mut scheduler = FairScheduler::default();
    let mut order = Vec::new();
    let mut first_of_many = None;
    for _ in 0..4 {
        let waiting = scheduler
            .pick(&ledger, &Label::default(), MANY, SlotLimit::Unlimited, |_| true)
            .await
            .unwrap()
            .next()
            .unwrap();
        if waiting.owner == many {
            first_of_many.get_or_insert(waiting.job);
        }
        order.push(waiting.owner);
        ledger.claim(&waiting, &worker("w")).await.unwrap().unwrap();
    }
    assert_eq!(order.iter().filter(|owner| **owner == few).count(), 2, "half of the slots for each");
    assert_eq!(first_of_many, Some(call));
    assert!(
        scheduler
            .pick(&ledger, &Label::default(), 2, SlotLimit::Unlimited, |_| true)
            .await
            .unwrap()
            .next()
            .is_none(),
        "at their limit"
    );
}

#[tokio::test]
async fn a_lock_is_held_by_one_and_given_up() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let mut first = Lock::new(ledger.locks.clone(), "reconcile");
    let mut second = Lock::new(ledger.locks.clone(), "reconcile");
    assert!(first.is_ours().await.unwrap());
    assert!(!second.is_ours().await.unwrap());
    assert!(first.is_ours().await.unwrap());
    first.give_up().await;
    assert!(second.is_ours().await.unwrap());
    assert!(!first.is_ours().await.unwrap());
}

#[tokio::test]
async fn a_deleted_key_can_be_made_again_and_a_newer_version_is_left_alone() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let value = serde_json::json!({"id": "x"});
    let revision = ledger.meta.create("k", &value).await.unwrap();
    assert!(ledger.meta.create("k", &value).await.unwrap_err().is_conflict());
    ledger.meta.delete("k", revision).await.unwrap();
    assert!(ledger.meta.get("k").await.unwrap().is_none());
    ledger.meta.create("k", &value).await.unwrap();
    ledger.js.publish("$KV.meta.newer", r#"{"v": 2}"#.into()).await.unwrap().await.unwrap();
    assert_eq!(
        ledger.meta.get("newer").await.unwrap_err().to_string(),
        "newer was written by a newer version of gitfaas"
    );
}

#[tokio::test]
async fn of_two_that_sign_in_at_once_one_user_is_made() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let make = || {
        ledger.accounts.find_or_make(
            "operator",
            "a@example.com",
            "a@example.com",
            jobs::accounts::OwnerKind::User,
        )
    };
    let (first, second) = tokio::join!(make(), make());
    assert_eq!(first.unwrap().value.id, second.unwrap().value.id);
}

#[tokio::test]
async fn a_watch_that_outlives_its_server_is_begun_anew_as_soon_as_there_is_one() {
    let mut nats = Nats::start();
    let ledger = nats.ledger().await;
    let mut watch = ledger.meta.watch(0).await.unwrap();
    ledger.meta.put("before", &1.into()).await.unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap().key, "before");
    // As long as async-nats takes to look for its consumer only every 10 s.
    nats.stop();
    tokio::time::sleep(Duration::from_secs(12)).await;
    nats.start_again();
    let back = Instant::now();
    while let Some(entry) = watch.next().await {
        assert!(entry.is_err(), "nothing was written: {entry:?}");
    }
    let mut watch = ledger.meta.watch(0).await.unwrap();
    ledger.meta.put("after", &2.into()).await.unwrap();
    let keys = [watch.next().await.unwrap().unwrap().key, watch.next().await.unwrap().unwrap().key];
    assert_eq!(keys, ["before", "after"]);
    assert!(back.elapsed() < Duration::from_secs(4), "{:?}", back.elapsed());
}

#[tokio::test]
async fn a_call_that_may_have_run_is_neither_handed_back_nor_taken_again() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let claimed = async |repeatable: bool, began: bool| {
        let function = Some(FunctionCall { name: "pi".to_owned(), repeatable });
        let spec = JobSpec { function, ..JobSpec::call(UserId::new(), URL) };
        let id = ledger.submit(spec).await.unwrap().value.spec.id;
        // Messages of jobs that were ended from outside are outdated.
        let claim = loop {
            let waiting = next(&ledger).await.unwrap();
            if let Some(claim) = ledger.claim(&waiting, &worker("w")).await.unwrap() {
                break claim;
            }
        };
        assert_eq!(claim.entry.value.spec.id, id);
        if began {
            assert!(ledger.begin(id, 1).await.unwrap());
        }
        claim.lease.give_up().await;
        id
    };
    let state = async |id: JobId| record(&ledger, id).await.value.status.state;
    for (repeatable, began, then) in [
        (false, true, State::Error),
        (false, false, State::Pending),
        (true, true, State::Pending),
        (true, false, State::Pending),
    ] {
        let lost = claimed(repeatable, began).await;
        let candidates = candidate(&ledger, lost).await;
        assert_eq!(impatient().round(&ledger, &candidates).await.unwrap(), 1);
        assert_eq!(state(lost).await, then, "a lost worker");
        ledger.end(lost, &Outcome::wished(Cause::Cancelled, "enough")).await.unwrap();
        let handed_back = claimed(repeatable, began).await;
        ledger.requeue(handed_back, 1).await.unwrap().unwrap();
        assert_eq!(state(handed_back).await, then, "a shutdown");
        ledger.end(handed_back, &Outcome::wished(Cause::Cancelled, "enough")).await.unwrap();
    }
}

#[tokio::test]
async fn a_job_of_a_newer_program_is_not_claimed_and_stays_in_the_queue() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let entry = ledger.submit(JobSpec::call(UserId::new(), URL)).await.unwrap();
    let mut newer = serde_json::to_value(&entry.value).unwrap();
    newer["v"] = 3.into();
    let key = format!("$KV.jobs.{}", entry.key);
    ledger.js.publish(key, serde_json::to_vec(&newer).unwrap().into()).await.unwrap().await.unwrap();
    let waiting = next(&ledger).await.unwrap();
    assert!(ledger.claim(&waiting, &worker("w")).await.unwrap_err().is_newer());
    assert_eq!(next(&ledger).await, Some(waiting));
}
