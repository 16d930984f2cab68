//! Jobs that need a slot for long, against a real server: noted, passed by, found again after a crash.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use jobs::{
    Job, JobId, JobSpec, Label, Ledger, State, UserId, WorkerName,
    queue::{FairScheduler, Pick, QueuedJob},
    reconcile::{Candidate, Patience, Reconciler},
    slot_limit::{SlotLimit, WAITS_FOR_A_SLOT},
    streams,
};
use support::Nats;

const URL: &str = "https://example.com/owner/function.git";
const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: SlotLimit = SlotLimit::Within(Duration::from_secs(60));
/// More running jobs of one owner than any test has.
const MANY: usize = 1000;

fn worker() -> WorkerName {
    "w1".parse().unwrap()
}

async fn pick(scheduler: &mut FairScheduler, ledger: &Ledger, room: SlotLimit) -> Pick {
    scheduler.pick(ledger, &Label::default(), MANY, room, |_| true).await.unwrap()
}

async fn next(ledger: &Ledger, room: SlotLimit) -> Pick {
    pick(&mut FairScheduler::default(), ledger, room).await
}

async fn submit(ledger: &Ledger, owner: UserId) -> JobId {
    ledger.submit(JobSpec::call(owner, URL)).await.unwrap().value.spec.id
}

async fn record(ledger: &Ledger, id: JobId) -> Job {
    ledger.job(id).await.unwrap().unwrap().value
}

/// Claims what is next, and gives it back as one that needs an hour.
async fn found_long(ledger: &Ledger) -> JobId {
    let waiting = next(ledger, MINUTE).await.next().unwrap();
    let claim = ledger.claim(&waiting, &worker()).await.unwrap().unwrap();
    let attempt = claim.entry.value.status.attempt;
    ledger.requeue_for_longer_slot(waiting.job, attempt, HOUR).await.unwrap().unwrap();
    claim.lease.give_up().await;
    waiting.job
}

#[tokio::test]
async fn what_needs_longer_is_passed_by_without_a_claim_and_taken_where_there_is_room() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let owner = UserId::new();
    let long = submit(&ledger, owner).await;
    assert_eq!(found_long(&ledger).await, long);
    let noted = record(&ledger, long).await;
    assert_eq!((noted.status.state, noted.status.attempt, noted.status.failures), (State::Pending, 1, 0));
    assert_eq!((noted.status.needs_s, noted.status.message.as_deref()), (Some(3600), Some(WAITS_FOR_A_SLOT)));

    assert_eq!(next(&ledger, MINUTE).await, Pick::OnlyLong);
    assert_eq!(next(&ledger, SlotLimit::Within(HOUR)).await.next().unwrap().job, long);
    let short = submit(&ledger, owner).await;
    assert_eq!(next(&ledger, MINUTE).await.next().unwrap().job, short, "behind it");
    let first = next(&ledger, SlotLimit::Unlimited).await.next().unwrap();
    assert_eq!((first.job, first.needs_s), (long, Some(3600)), "still first in line");

    let claim = ledger.claim(&first, &worker()).await.unwrap().unwrap();
    assert_eq!((claim.entry.value.status.attempt, claim.entry.value.status.message.as_deref()), (2, None));
    ledger.requeue(long, 2).await.unwrap().unwrap();
    let again = next(&ledger, SlotLimit::Unlimited).await.next().unwrap();
    assert_eq!(again.job, short, "who is handed back is last");
    assert_eq!(record(&ledger, long).await.status.needs_s, Some(3600), "kept over attempts");
}

#[tokio::test]
async fn a_short_job_is_found_behind_any_number_of_long_ones_and_each_is_read_once() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let (owner, other) = (UserId::new(), UserId::new());
    let mut long = Vec::new();
    for _ in 0..300 {
        long.push(submit(&ledger, owner).await);
    }
    for id in long {
        assert_eq!(found_long(&ledger).await, id);
    }
    let short = submit(&ledger, owner).await;
    let mut scheduler = FairScheduler::default();
    assert_eq!(pick(&mut scheduler, &ledger, MINUTE).await, Pick::OnlyLong, "it looks at some");
    assert_eq!(pick(&mut scheduler, &ledger, MINUTE).await.next().unwrap().job, short, "and goes on there");
    let others = submit(&ledger, other).await;
    let claim = ledger.claim(&next(&ledger, MINUTE).await.next().unwrap(), &worker()).await.unwrap();
    assert!(claim.is_some_and(|claim| [short, others].contains(&claim.entry.value.spec.id)));
}

#[tokio::test]
async fn a_crash_between_note_and_queue_loses_neither() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let long = submit(&ledger, UserId::new()).await;
    assert_eq!(found_long(&ledger).await, long);
    // The message that the crash did not let it send.
    ledger.js.get_stream(streams::JOBS).await.unwrap().purge().await.unwrap();
    assert_eq!(next(&ledger, SlotLimit::Unlimited).await, Pick::Nothing);

    let entry = ledger.job(long).await.unwrap().unwrap();
    let candidates = [Candidate { job: long, revision: entry.revision, state: entry.value.status.state }];
    let patience = Patience { looked_for_after: Duration::ZERO, ..Patience::default() };
    assert_eq!(Reconciler::new(patience).round(&ledger, &candidates).await.unwrap(), 1);
    assert_eq!(next(&ledger, MINUTE).await, Pick::OnlyLong, "it is still known to be long");
    let QueuedJob { job, needs_s, .. } = next(&ledger, SlotLimit::Unlimited).await.next().unwrap();
    assert_eq!((job, needs_s), (long, Some(3600)));
}

#[tokio::test]
async fn a_crash_before_the_note_is_a_lost_worker_as_ever() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let id = submit(&ledger, UserId::new()).await;
    let waiting = next(&ledger, MINUTE).await.next().unwrap();
    ledger.claim(&waiting, &worker()).await.unwrap().unwrap().lease.give_up().await;

    let entry = ledger.job(id).await.unwrap().unwrap();
    let candidates = [Candidate { job: id, revision: entry.revision, state: entry.value.status.state }];
    assert_eq!(Reconciler::new(Patience::default()).round(&ledger, &candidates).await.unwrap(), 1);
    assert!(ledger.requeue_for_longer_slot(id, 1, HOUR).await.unwrap().is_none(), "its attempt is over");
    assert_eq!(record(&ledger, id).await.status.needs_s, None);
    assert_eq!(next(&ledger, MINUTE).await.next().unwrap().job, id);
}

#[tokio::test]
async fn a_second_owner_is_known_to_everybody_and_after_a_restart() {
    let mut nats = Nats::start();
    let ledger = nats.ledger().await;
    let (ada, bob) = (UserId::new(), UserId::new());
    assert!(!ledger.owners.are_several().await.unwrap());
    for _ in 0..3 {
        submit(&ledger, ada).await;
    }
    assert!(!ledger.owners.are_several().await.unwrap(), "one owner, however many jobs");
    submit(&ledger, bob).await;
    assert!(ledger.owners.are_several().await.unwrap());

    nats.stop();
    nats.start_again();
    let again = loop {
        // No answer while the connection is not back yet.
        if let Ok(several) = ledger.owners.are_several().await {
            break several;
        }
    };
    assert!(again);
    assert!(nats.ledger().await.owners.are_several().await.unwrap(), "and to a program that starts");
}

#[tokio::test]
async fn an_owner_is_noted_once_a_day_and_forgotten_after_a_month() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    let owner = UserId::new();
    for _ in 0..5 {
        submit(&ledger, owner).await;
    }
    let mut stream = ledger.js.get_stream(format!("KV_{}", streams::OWNERS)).await.unwrap();
    let info = stream.info().await.unwrap();
    assert_eq!((info.state.last_sequence, info.state.messages), (1, 1));
    assert_eq!(info.config.max_age, Duration::from_secs(31 * 24 * 3600));
}
