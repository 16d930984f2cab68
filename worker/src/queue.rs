//! A worker's slots: each takes a job, works on it to its end, and takes the next.
//!
//! A slot is woken by `wake.<label>`; a sweep every second covers a lost wake.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, stream::SelectAll};
use jobs::{
    Claim, JobId, LedgerError,
    queue::{FairScheduler, Pick},
    streams,
};
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    attempt::{AttemptRunner, Fate},
    seats::{Seat, Seats},
};

/// How often a free slot looks without having been woken.
const SWEEP: Duration = Duration::from_secs(1);
/// Jobs remembered as not for us; the oldest are asked about again.
const MAX_PASSED_OVER: usize = 10_000;

/// What the slots of a worker share.
#[derive(Debug)]
pub struct Queue {
    attempt_runner: AttemptRunner,
    scheduler: tokio::sync::Mutex<FairScheduler>,
    awake: Arc<Notify>,
    seats: Arc<Seats>,
    /// Jobs in a language that only others offer.
    passed_over: Mutex<HashSet<JobId>>,
}

impl Queue {
    /// Nothing taken yet.
    pub fn new(attempt_runner: AttemptRunner) -> Arc<Self> {
        let awake = Arc::new(Notify::new());
        let config = &attempt_runner.executor.config;
        let (limit, owners) = (config.last_slot_timeout, attempt_runner.ledger.owners.clone());
        let seats = Seats::new(config.slots, limit, owners, Arc::clone(&awake));
        Arc::new(Self {
            attempt_runner,
            scheduler: tokio::sync::Mutex::default(),
            awake,
            seats,
            passed_over: Mutex::default(),
        })
    }

    /// Takes jobs until `stop`, and returns when the last is over: ended, or handed back when the
    /// worker's grace is over.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let slots = TaskTracker::new();
        for index in 0..self.attempt_runner.executor.config.slots {
            slots.spawn(Arc::clone(&self).slot(index, stop.clone()));
        }
        slots.spawn(Arc::clone(&self).listen(stop.clone()));
        slots.close();
        slots.wait().await;
    }

    async fn listen(self: Arc<Self>, stop: CancellationToken) {
        let mut wakes = SelectAll::new();
        for label in &self.attempt_runner.executor.config.labels {
            if let Ok(words) = self.attempt_runner.ledger.client.subscribe(streams::wake(label)).await {
                wakes.push(words);
            }
        }
        while let Some(Some(_)) = stop.run_until_cancelled(wakes.next()).await {
            self.awake.notify_one();
        }
    }

    async fn slot(self: Arc<Self>, index: usize, stop: CancellationToken) {
        let slot = self.attempt_runner.executor.sandbox.slot(index);
        while !stop.is_cancelled() {
            match self.next().await {
                Ok(Some((claim, seat))) => {
                    // Where one job was, there may be more: another free slot looks.
                    self.awake.notify_one();
                    let job = claim.entry.value.id;
                    self.attempt_runner.metrics.job_taken();
                    let fate = self.attempt_runner.work(&slot, claim, &seat).await;
                    drop(seat);
                    self.attempt_runner.metrics.attempt_ended(fate);
                    match fate {
                        Fate::NotOffered => self.pass_over(job),
                        Fate::Ended
                        | Fate::HandedBack
                        | Fate::PutOff
                        | Fate::NeedsLonger(_)
                        | Fate::Outdated => {}
                    }
                }
                Ok(None) => self.rest(&stop).await,
                Err(error) => {
                    tracing::warn!(error = format!("{:#}", anyhow::Error::from(error)), "cannot take a job");
                    self.rest(&stop).await;
                }
            }
        }
    }

    async fn rest(&self, stop: &CancellationToken) {
        let _ = stop.run_until_cancelled(tokio::time::timeout(SWEEP, self.awake.notified())).await;
    }

    /// Picks and claims. One slot at a time, or all would pick the same message.
    async fn next(&self) -> Result<Option<(Claim, Arc<Seat>)>, LedgerError> {
        let mut scheduler = self.scheduler.lock().await;
        let config = &self.attempt_runner.executor.config;
        let may_take =
            |job: JobId| !self.passed_over.lock().unwrap_or_else(PoisonError::into_inner).contains(&job);
        let seat = Arc::new(self.seats.take());
        for label in &config.labels {
            loop {
                let (most, room) = (config.max_running_per_user, seat.room());
                match scheduler.pick(&self.attempt_runner.ledger, label, most, room, &may_take).await? {
                    Pick::Next(waiting) => {
                        if let Some(claim) = self.attempt_runner.ledger.claim(&waiting, &self.attempt_runner.name).await? {
                            return Ok(Some((claim, seat)));
                        }
                        // A message that was outdated, or taken by another: the next one may be ours.
                    }
                    Pick::OnlyLong if seat.widen().await => {}
                    Pick::OnlyLong | Pick::Nothing => break,
                }
            }
        }
        Ok(None)
    }

    fn pass_over(&self, job: JobId) {
        let mut passed_over = self.passed_over.lock().unwrap_or_else(PoisonError::into_inner);
        if passed_over.len() >= MAX_PASSED_OVER {
            passed_over.clear();
        }
        passed_over.insert(job);
    }
}
