//! Slot reservations: the last free slot of a worker is for short jobs, once owners share the installation.
//!
//! A slot reserves before it takes a job. Of n slots, n − 1 reservations are unlimited; while those are held,
//! a reservation is a short one, whose job is requeued after `SlotReservations::limit` of each step. A job that
//! turns out to be short passes its unlimited reservation on to the next one, so that long jobs are never kept
//! waiting by short ones. A worker with one slot, and an installation where one owner alone had jobs within 30
//! days, makes no difference.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jobs::{active_owners::ActiveOwners, slot_limit::SlotLimit};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

/// How long an answer is good that several owners share the installation, which stays so for a month; and
/// for how long NATS is not asked again when it gave none.
const SHARED_FOR: Duration = Duration::from_secs(60);

/// The reservations of a worker.
#[derive(Debug)]
pub struct SlotReservations {
    /// How long each step of a job may take in the last free slot.
    limit: Duration,
    /// How many reservations may be unlimited.
    unlimited: usize,
    owners: ActiveOwners,
    held: Mutex<Held>,
    /// Notified when an unlimited reservation gets free while its slot works on.
    freed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Held {
    /// Unlimited reservations.
    unlimited: usize,
    /// Whether several owners share the installation, and when that was asked.
    shared: Option<(Instant, bool)>,
}

/// A slot's right to work on one job; released when dropped.
#[derive(Debug)]
pub struct SlotReservation {
    reservations: Arc<SlotReservations>,
    kind: Mutex<Kind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unlimited,
    Short,
}

impl SlotReservations {
    /// The reservations of so many slots.
    pub fn new(slots: usize, limit: Duration, owners: ActiveOwners, freed: Arc<Notify>) -> Arc<Self> {
        let unlimited = slots.saturating_sub(1).max(1);
        Arc::new(Self { limit, unlimited, owners, held: Mutex::default(), freed })
    }

    /// The best reservation that is free.
    pub fn reserve(self: &Arc<Self>) -> SlotReservation {
        let mut held = self.held();
        let kind = if held.unlimited < self.unlimited { Kind::Unlimited } else { Kind::Short };
        held.unlimited += usize::from(kind == Kind::Unlimited);
        SlotReservation { reservations: Arc::clone(self), kind: Mutex::new(kind) }
    }

    /// Whether several owners share the installation. Where NATS does not tell, a slot is used as if they
    /// did not: the work goes on.
    async fn are_shared(&self) -> bool {
        if let Some((asked, shared)) = self.held().shared
            && asked.elapsed() < SHARED_FOR
        {
            return shared;
        }
        let (shared, is_kept) = match self.owners.are_several().await {
            // Another owner may come with the next job.
            Ok(shared) => (shared, shared),
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::warn!(error = format!("{error:#}"), "active owners not counted");
                (false, true)
            }
        };
        self.held().shared = is_kept.then(|| (Instant::now(), shared));
        shared
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock()
    }
}

impl SlotReservation {
    /// For how long a job may hold the slot.
    pub fn limit(&self) -> SlotLimit {
        match *self.kind() {
            Kind::Unlimited => SlotLimit::Unlimited,
            Kind::Short => SlotLimit::Within(self.reservations.limit),
        }
    }

    /// Makes it unlimited, if there is one free by now or no other owner to keep it for.
    pub async fn extend(&self) -> bool {
        self.extend_if(|held| held.unlimited < self.reservations.unlimited)
            || (!self.reservations.are_shared().await && self.extend_if(|_| true))
    }

    fn extend_if(&self, may: impl Fn(&Held) -> bool) -> bool {
        let (mut kind, mut held) = (self.kind(), self.reservations.held());
        match *kind {
            Kind::Unlimited => true,
            Kind::Short if may(&held) => {
                *kind = Kind::Unlimited;
                held.unlimited += 1;
                true
            }
            Kind::Short => false,
        }
    }

    /// What is left of its job takes so long at most: if that is short, another job may have the unlimited
    /// reservation.
    pub fn release_unless_long(&self, time: Duration) {
        if time <= self.reservations.limit && self.release_unlimited() {
            self.reservations.freed.notify_one();
        }
    }

    /// Returns once a step has taken longer than this reservation is for. Never where it is unlimited.
    pub async fn overdue(&self) {
        match self.limit() {
            SlotLimit::Unlimited => std::future::pending().await,
            SlotLimit::Within(limit) => tokio::time::sleep(limit).await,
        }
        if self.extend().await {
            std::future::pending().await
        }
    }

    /// Whether it was unlimited.
    fn release_unlimited(&self) -> bool {
        let (mut kind, mut held) = (self.kind(), self.reservations.held());
        let was_unlimited = std::mem::replace(&mut *kind, Kind::Short) == Kind::Unlimited;
        held.unlimited -= usize::from(was_unlimited);
        was_unlimited
    }

    fn kind(&self) -> MutexGuard<'_, Kind> {
        self.kind.lock()
    }
}

impl Drop for SlotReservation {
    fn drop(&mut self) {
        self.release_unlimited();
    }
}
