//! A worker's slots: each claims a job, works on it to its end, and claims the next.
//!
//! A slot is woken by `wake.<label>`; a sweep every second covers a lost wake.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::SelectAll};
use jobs::{
    Claim, JobId, LedgerError,
    queue::{FairScheduler, Pick},
    streams,
};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    attempt::{AttemptEnd, AttemptRunner},
    slot_reservation::{SlotReservation, SlotReservations},
};

/// How often a free slot looks without having been woken.
const SWEEP: Duration = Duration::from_secs(1);
/// Jobs remembered as for others alone; with more, all are forgotten.
const MAX_SKIPPED: usize = 10_000;

/// What the slots of a worker share.
#[derive(Debug)]
pub struct Queue {
    attempts: AttemptRunner,
    scheduler: tokio::sync::Mutex<FairScheduler>,
    awake: Arc<Notify>,
    reservations: Arc<SlotReservations>,
    /// Jobs that only others can run: in a language that they offer, or made by a newer gateway.
    skipped: Mutex<HashSet<JobId>>,
}

impl Queue {
    /// Nothing taken yet.
    pub fn new(attempts: AttemptRunner) -> Arc<Self> {
        let awake = Arc::new(Notify::new());
        let config = &attempts.executor.config;
        let (limit, owners) = (config.last_slot_timeout, attempts.ledger.owners.clone());
        let reservations = SlotReservations::new(config.slots, limit, owners, Arc::clone(&awake));
        Arc::new(Self {
            attempts,
            scheduler: tokio::sync::Mutex::default(),
            awake,
            reservations,
            skipped: Mutex::default(),
        })
    }

    /// Takes jobs until `stop`, and returns when the last is over: ended, or requeued when the grace
    /// is over.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let slots = TaskTracker::new();
        for index in 0..self.attempts.executor.config.slots {
            slots.spawn(Arc::clone(&self).slot(index, stop.clone()));
        }
        slots.spawn(Arc::clone(&self).listen(stop.clone()));
        slots.close();
        slots.wait().await;
    }

    async fn listen(self: Arc<Self>, stop: CancellationToken) {
        let mut wakes = SelectAll::new();
        for label in &self.attempts.executor.config.labels {
            if let Ok(words) = self.attempts.ledger.client.subscribe(streams::wake(label)).await {
                wakes.push(words);
            }
        }
        while let Some(Some(_)) = stop.run_until_cancelled(wakes.next()).await {
            self.awake.notify_one();
        }
    }

    async fn slot(self: Arc<Self>, index: usize, stop: CancellationToken) {
        let slot = self.attempts.executor.sandbox.slot(index);
        while !stop.is_cancelled() {
            match self.next().await {
                Ok(Some((claim, reservation))) => {
                    // Where one job was, there may be more: another free slot looks.
                    self.awake.notify_one();
                    let job = claim.entry.value.spec.id;
                    self.attempts.metrics.job_taken();
                    let end = self.attempts.work(&slot, claim, &reservation).await;
                    drop(reservation);
                    self.attempts.metrics.attempt_ended(end);
                    match end {
                        AttemptEnd::NotOffered => self.skip(job),
                        AttemptEnd::Ended
                        | AttemptEnd::Requeued
                        | AttemptEnd::Deferred
                        | AttemptEnd::NeedsLongerSlot(_)
                        | AttemptEnd::Outdated => {}
                    }
                }
                Ok(None) => self.wait_for_wake(&stop).await,
                Err(error) => {
                    tracing::warn!(error = format!("{:#}", anyhow::Error::from(error)), "cannot claim a job");
                    self.wait_for_wake(&stop).await;
                }
            }
        }
    }

    async fn wait_for_wake(&self, stop: &CancellationToken) {
        let _ = stop.run_until_cancelled(tokio::time::timeout(SWEEP, self.awake.notified())).await;
    }

    /// Picks and claims. One slot at a time, or all would pick the same message.
    async fn next(&self) -> Result<Option<(Claim, Arc<SlotReservation>)>, LedgerError> {
        let mut scheduler = self.scheduler.lock().await;
        let config = &self.attempts.executor.config;
        let may_take = |job: JobId| !self.skipped.lock().contains(&job);
        let reservation = Arc::new(self.reservations.reserve());
        for label in &config.labels {
            loop {
                let (most, limit) = (config.max_running_per_user, reservation.limit());
                match scheduler.pick(&self.attempts.ledger, label, most, limit, &may_take).await? {
                    Pick::Next(waiting) => {
                        match self.attempts.ledger.claim(&waiting, &self.attempts.name).await {
                            Ok(Some(claim)) => return Ok(Some((claim, reservation))),
                            // A message that was outdated, or taken by another: the next one may be ours.
                            Ok(None) => {}
                            Err(error) if error.is_newer() => {
                                tracing::warn!(job.id = %waiting.job, "job left to newer workers");
                                self.skip(waiting.job);
                            }
                            Err(error) => return Err(error),
                        }
                    }
                    Pick::OnlyLong if reservation.extend().await => {}
                    Pick::OnlyLong | Pick::Nothing => break,
                }
            }
        }
        Ok(None)
    }

    fn skip(&self, job: JobId) {
        let mut skipped = self.skipped.lock();
        if skipped.len() >= MAX_SKIPPED {
            skipped.clear();
        }
        skipped.insert(job);
    }
}
