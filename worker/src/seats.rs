//! Which of a worker's slots may be held for long: all but one, once owners share the installation.
//!
//! A slot that takes a job takes a seat. Of n slots, n − 1 seats are for any job; whoever comes while
//! those are taken gets the seat for short ones, whose jobs give it up after
//! `Seats::limit` of each step. A job that turns out to be short gives its seat for any job to the next
//! one, so that long jobs are never kept waiting by short ones. A worker with one slot, and an
//! installation where one owner alone had jobs within 30 days, makes no difference.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jobs::{active_owners::ActiveOwners, slot_limit::SlotLimit};
use tokio::sync::Notify;

/// How long an answer is good that several owners share the installation, which stays so for a month; and
/// for how long NATS is not asked again when it gave none.
const SHARED_FOR: Duration = Duration::from_secs(60);

/// The seats of a worker.
#[derive(Debug)]
pub struct Seats {
    /// How long each step of a job may take in the last free slot.
    limit: Duration,
    /// How many jobs of any length may run.
    lasting: usize,
    owners: ActiveOwners,
    taken: Mutex<Taken>,
    /// Told when a seat for any job gets free while its slot works on.
    freed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Taken {
    /// Jobs that may be long.
    lasting: usize,
    /// Whether several owners share the installation, and when that was asked.
    shared: Option<(Instant, bool)>,
}

/// A slot's right to work on one job; given up when dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    kind: Mutex<Kind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Lasting,
    Short,
}

impl Seats {
    /// The seats of so many slots.
    pub fn new(slots: usize, limit: Duration, owners: ActiveOwners, freed: Arc<Notify>) -> Arc<Self> {
        let lasting = slots.saturating_sub(1).max(1);
        Arc::new(Self { limit, lasting, owners, taken: Mutex::default(), freed })
    }

    /// The best seat that is free.
    pub fn take(self: &Arc<Self>) -> Seat {
        let mut taken = self.taken();
        let kind = if taken.lasting < self.lasting { Kind::Lasting } else { Kind::Short };
        taken.lasting += usize::from(kind == Kind::Lasting);
        Seat { seats: Arc::clone(self), kind: Mutex::new(kind) }
    }

    /// Whether several owners share the installation. Where NATS does not tell, a slot is used as if they
    /// did not: the work goes on.
    async fn are_shared(&self) -> bool {
        if let Some((asked, shared)) = self.taken().shared
            && asked.elapsed() < SHARED_FOR
        {
            return shared;
        }
        let (shared, is_kept) = match self.owners.are_several().await {
            // Another owner may come with the next job.
            Ok(shared) => (shared, shared),
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::warn!(error = format!("{error:#}"), "owners not counted");
                (false, true)
            }
        };
        self.taken().shared = is_kept.then(|| (Instant::now(), shared));
        shared
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// For which jobs it may be used.
    pub fn room(&self) -> SlotLimit {
        match *self.kind() {
            Kind::Lasting => SlotLimit::Unlimited,
            Kind::Short => SlotLimit::Within(self.seats.limit),
        }
    }

    /// Makes it one for any job, if there is one free by now or nobody else to keep it for.
    pub async fn widen(&self) -> bool {
        self.widen_if(|taken| taken.lasting < self.seats.lasting)
            || (!self.seats.are_shared().await && self.widen_if(|_| true))
    }

    fn widen_if(&self, may: impl Fn(&Taken) -> bool) -> bool {
        let (mut kind, mut taken) = (self.kind(), self.seats.taken());
        match *kind {
            Kind::Lasting => true,
            Kind::Short if may(&taken) => {
                *kind = Kind::Lasting;
                taken.lasting += 1;
                true
            }
            Kind::Short => false,
        }
    }

    /// What is left of its job takes so long at most: if that is short, another may have the better seat.
    pub fn settle(&self, time: Duration) {
        if time <= self.seats.limit && self.give_up() {
            self.seats.freed.notify_one();
        }
    }

    /// Returns once a step has taken longer than this seat is for. Never where it is for any job.
    pub async fn overdue(&self) {
        match self.room() {
            SlotLimit::Unlimited => std::future::pending().await,
            SlotLimit::Within(limit) => tokio::time::sleep(limit).await,
        }
        if self.widen().await {
            std::future::pending().await
        }
    }

    /// Whether it was one for any job.
    fn give_up(&self) -> bool {
        let (mut kind, mut taken) = (self.kind(), self.seats.taken());
        let was_lasting = std::mem::replace(&mut *kind, Kind::Short) == Kind::Lasting;
        taken.lasting -= usize::from(was_lasting);
        was_lasting
    }

    fn kind(&self) -> std::sync::MutexGuard<'_, Kind> {
        self.kind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.give_up();
    }
}
