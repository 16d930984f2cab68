//! Who may hold a slot for how long, with owners counted by a real NATS.

#[path = "../../jobs/tests/support/mod.rs"]
mod support;

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use jobs::{Ledger, UserId, slot_limit::SlotLimit};
use support::Nats;
use tokio::sync::Notify;
use worker::slot_reservation::{SlotReservation, SlotReservations};

const LIMIT: Duration = Duration::from_secs(60);
const SHORT: SlotLimit = SlotLimit::Within(LIMIT);

struct Worker {
    reservations: Arc<SlotReservations>,
    freed: Arc<Notify>,
    ledger: Ledger,
    _nats: Nats,
}

impl Worker {
    async fn with(slots: usize, owners: usize, limit: Duration) -> Self {
        let nats = Nats::start();
        let ledger = nats.ledger().await;
        for _ in 0..owners {
            ledger.owners.note(UserId::new()).await;
        }
        let freed = Arc::new(Notify::new());
        let reservations = SlotReservations::new(slots, limit, ledger.owners.clone(), Arc::clone(&freed));
        Self { reservations, freed, ledger, _nats: nats }
    }

    /// Whether a slot was woken.
    fn woke(&self) -> bool {
        self.freed.notified().now_or_never().is_some()
    }
}

fn limits(reservations: &[SlotReservation]) -> Vec<SlotLimit> {
    reservations.iter().map(SlotReservation::limit).collect()
}

#[tokio::test]
async fn all_but_the_last_are_for_any_job() {
    let worker = Worker::with(3, 2, LIMIT).await;
    let mut taken: Vec<SlotReservation> = (0..3).map(|_| worker.reservations.reserve()).collect();
    assert_eq!(limits(&taken), [SlotLimit::Unlimited, SlotLimit::Unlimited, SHORT]);
    assert!(!taken[2].extend().await, "two owners share it");
    drop(taken.remove(0));
    assert!(taken[1].extend().await, "the last free slot is another one now");
    assert_eq!(worker.reservations.reserve().limit(), SHORT);
    assert!(!worker.woke(), "who looked in vain wakes nobody");
}

#[tokio::test]
async fn one_slot_is_for_any_job() {
    let worker = Worker::with(1, 2, LIMIT).await;
    for _ in 0..3 {
        assert_eq!(worker.reservations.reserve().limit(), SlotLimit::Unlimited);
    }
}

#[tokio::test]
async fn a_job_that_is_short_leaves_its_better_seat_to_a_long_one_and_wakes_a_slot() {
    let worker = Worker::with(2, 2, LIMIT).await;
    let (first, second) = (worker.reservations.reserve(), worker.reservations.reserve());
    first.release_unless_long(LIMIT + Duration::from_secs(1));
    assert!(!worker.woke() && !second.extend().await, "it is long");
    first.release_unless_long(LIMIT);
    assert!(worker.woke());
    first.release_unless_long(LIMIT);
    assert!(!worker.woke(), "once");
    assert!(second.extend().await);
    drop(first);
    assert_eq!(worker.reservations.reserve().limit(), SHORT, "the long one is still there");
}

#[tokio::test]
async fn one_owner_has_all_slots_and_what_runs_counts_when_a_second_comes() {
    let worker = Worker::with(2, 1, LIMIT).await;
    let (first, second) = (worker.reservations.reserve(), worker.reservations.reserve());
    assert!(second.extend().await && second.limit() == SlotLimit::Unlimited);
    worker.ledger.owners.note(UserId::new()).await;
    drop(first);
    let next = worker.reservations.reserve();
    assert_eq!(next.limit(), SHORT, "a long job runs in the other slot");
    assert!(!next.extend().await);
    drop(second);
    assert!(next.extend().await);
}

#[tokio::test]
async fn a_step_in_the_last_slot_is_overdue_unless_it_may_stay() {
    let limit = Duration::from_millis(50);
    let worker = Worker::with(2, 2, limit).await;
    let (any, last) = (worker.reservations.reserve(), worker.reservations.reserve());
    last.overdue().await;
    assert!(any.overdue().now_or_never().is_none());
    drop(any);
    assert!(tokio::time::timeout(limit * 4, last.overdue()).await.is_err(), "it is not the last any more");
    assert_eq!(last.limit(), SlotLimit::Unlimited);
}

#[tokio::test]
async fn without_nats_the_work_goes_on() {
    let nats = Nats::start();
    let ledger = nats.ledger().await;
    for _ in 0..2 {
        ledger.owners.note(UserId::new()).await;
    }
    let reservations = SlotReservations::new(2, LIMIT, ledger.owners.clone(), Arc::default());
    let (_first, second) = (reservations.reserve(), reservations.reserve());
    drop(nats);
    assert!(second.extend().await);
}
