//! Budgets of owners: what each of them stores, and how much they may.
//!
//! Before anything that counts against a limit is stored, its amount is reserved in the bucket `usage` by
//! compare-and-set ([`jobs::usage`]). Concurrent requests of one owner share one write. What is stored is
//! counted in the index and the mirrors. History is never refused: [`retention`] deletes the oldest of an
//! owner's. Of inputs ([`inputs`]) both hold: the oldest go, and what does not fit even then is refused.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use jobs::{
    Ledger, Repo, UserId,
    accounts::{TokenRecord, User},
    bucket::{Bucket, BucketError, Entry},
    usage::{Hold, Holds, Overrides, Resource},
};
use parking_lot::Mutex;
use tokio::{sync::oneshot, time::Instant};

use crate::{
    crypto::sealed::{SealedSecret, SecretSize},
    error::ApiError,
    index::{Index, mirror::Mirror},
    metrics::Metrics,
};

mod inputs;
mod observed;
mod owners;
mod ref_counts;
mod report;
mod reservations;
mod retention;
mod settings;
mod stray_inputs;
mod tombstones;

use observed::ObservedUsage;
pub(crate) use owners::NoMoreOwners;
pub(crate) use ref_counts::{MAX_REFS, RefCounts};
pub(crate) use reservations::OverLimit;
use reservations::{ReservationRequest, admit};
pub(crate) use retention::run_retention;
pub use settings::Settings;
pub(crate) use tombstones::run_sweep;

/// A reservation that was not used in this time belongs to an aborted request: twice the longest request that
/// stores anything.
const RESERVATION_TTL: Duration = Duration::from_secs(60);
/// A gateway that lags behind what another one counted for longer than this fails rather than count wrong.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(2);
/// Poll interval while catching up.
const CATCH_UP_POLL: Duration = Duration::from_millis(5);

/// Reservations, by owner.
#[derive(Debug, Default)]
pub(crate) struct Reservations {
    owners: Mutex<HashMap<UserId, Arc<OwnerReservations>>>,
    creating_owner: tokio::sync::Mutex<()>,
}

/// Answers a reservation request.
type Answer = oneshot::Sender<Vec<Result<(), OverLimit>>>;

/// Requests of one owner that await a shared write.
#[derive(Debug, Default)]
struct OwnerReservations {
    waiting: Mutex<Vec<(Vec<ReservationRequest>, Answer)>>,
    released: Mutex<HashSet<String>>,
    stored: tokio::sync::Mutex<StoredReservations>,
}

/// The reservations as stored last, and when this gateway first saw each of them.
#[derive(Debug, Default)]
struct StoredReservations {
    entry: Option<Entry<Holds>>,
    since: HashMap<String, Instant>,
}

impl Reservations {
    fn of_owner(&self, owner: UserId) -> Arc<OwnerReservations> {
        let mut owners = self.owners.lock();
        Arc::clone(owners.entry(owner).or_default())
    }
}

/// Enforces the limits of owners.
pub(crate) struct Budgets {
    pub(crate) settings: Settings,
    pub(crate) ledger: Ledger,
    pub(crate) index: Arc<Index>,
    pub(crate) users: Arc<Mirror<User>>,
    pub(crate) repos: Arc<Mirror<Repo>>,
    pub(crate) tokens: Arc<Mirror<TokenRecord>>,
    /// The size of each secret.
    pub(crate) secret_sizes: Arc<Mirror<SecretSize>>,
    /// The bucket of the secrets.
    pub(crate) secrets: Bucket<SealedSecret>,
    pub(crate) metrics: Arc<Metrics>,
    /// The number of recorded refs of each registration.
    pub(crate) ref_counts: RefCounts,
    pub(crate) reservations: Reservations,
}

impl Budgets {
    /// Reserves an amount for what is about to be stored under `id`.
    ///
    /// # Errors
    /// [`ApiError::TooMany`]: which limit is reached, how much is used, and what frees it.
    pub(crate) async fn reserve(
        &self,
        owner: UserId,
        id: impl ToString,
        of: Resource,
        amount: u64,
    ) -> Result<(), ApiError> {
        match self.try_reserve(owner, id, of, amount).await? {
            Ok(()) => Ok(()),
            Err(over_limit) => Err(too_many(over_limit)),
        }
    }

    /// The same, for callers that answer with their own error.
    pub(crate) async fn try_reserve(
        &self,
        owner: UserId,
        id: impl ToString,
        of: Resource,
        amount: u64,
    ) -> Result<Result<(), OverLimit>, ApiError> {
        let request = ReservationRequest { id: id.to_string(), hold: Hold { of, amount } };
        let answers = self.try_reserve_each(owner, vec![request]).await?;
        Ok(answers.into_iter().collect())
    }

    /// Makes several requests of one owner with one write. Each is answered by itself.
    async fn try_reserve_each(
        &self,
        owner: UserId,
        requests: Vec<ReservationRequest>,
    ) -> Result<Vec<Result<(), OverLimit>>, ApiError> {
        let of_owner = self.reservations.of_owner(owner);
        loop {
            let (sender, mut answer) = oneshot::channel();
            of_owner.waiting.lock().push((requests.clone(), sender));
            // The next writer writes for all requests that wait by then.
            let mut stored = tokio::select! {
                biased;
                answered = &mut answer => match answered {
                    Ok(answered) => return Ok(answered),
                    Err(_) => continue,
                },
                stored = of_owner.stored.lock() => stored,
            };
            if let Ok(answered) = answer.try_recv() {
                return Ok(answered);
            }
            self.write_reservations(owner, &of_owner, &mut stored).await?;
            drop(stored);
            // After a failed write its requests are made again.
            if let Ok(answered) = answer.await {
                return Ok(answered);
            }
        }
    }

    async fn write_reservations(
        &self,
        owner: UserId,
        of_owner: &OwnerReservations,
        stored: &mut StoredReservations,
    ) -> Result<(), ApiError> {
        let waiting = std::mem::take(&mut *of_owner.waiting.lock());
        let requests: Vec<ReservationRequest> =
            waiting.iter().flat_map(|(requests, _)| requests).cloned().collect();
        let key = owner.to_string();
        let overrides = self.overrides(owner).await?;
        loop {
            let entry = match stored.entry.take() {
                Some(entry) => Some(entry),
                None => self.ledger.usage.get(&key).await?,
            };
            let before = entry.as_ref().map(|entry| entry.value.clone()).unwrap_or_default();
            self.catch_up_with(&before).await?;
            let now = Instant::now();
            stored.since.retain(|id, _| before.holds.contains_key(id));
            for id in before.holds.keys() {
                stored.since.entry(id.clone()).or_insert(now);
            }
            let ids: Vec<String> = before.holds.iter().filter_map(|(id, hold)| job_of(id, hold.of)).collect();
            let queue = self.index.run(move |tables| tables.queue_snapshot(owner, &ids)).await?;
            let released = of_owner.released.lock().clone();
            let view = ObservedUsage {
                budgets: self,
                owner,
                overrides: &overrides,
                queue: &queue,
                since: &stored.since,
                released: &released,
                now,
            };
            let (mut next, answers) = admit(&before, &requests, &view);
            view.record_positions(&mut next);
            let written = match (&entry, next == before) {
                (_, true) => Ok(entry.as_ref().map_or(0, |entry| entry.revision)),
                (Some(entry), false) => self.ledger.usage.update(&key, &next, entry.revision).await,
                (None, false) => self.ledger.usage.create(&key, &next).await,
            };
            match written {
                Ok(0) => {}
                Ok(revision) => {
                    let mut released = of_owner.released.lock();
                    released.retain(|id| next.holds.contains_key(id));
                    stored.entry = Some(Entry::fresh(&key, next, revision));
                }
                // Another gateway wrote in between.
                Err(BucketError::Conflict { .. }) => continue,
                Err(error) => return Err(error.into()),
            }
            let mut answers = answers.into_iter();
            for (requests, sender) in waiting {
                // A request that was aborted leaves its reservation to expire.
                let _ = sender.send(answers.by_ref().take(requests.len()).collect());
            }
            return Ok(());
        }
    }

    /// Releases a reservation that is not used, or whose thing is deleted already. Otherwise it expires after
    /// [`RESERVATION_TTL`].
    pub(crate) fn release(&self, owner: UserId, id: impl ToString) {
        let of_owner = self.reservations.of_owner(owner);
        of_owner.released.lock().insert(id.to_string());
    }

    /// Waits until this gateway has seen what the writer of the reservations had counted.
    async fn catch_up_with(&self, holds: &Holds) -> Result<(), ApiError> {
        let deadline = Instant::now() + CATCH_UP_TIMEOUT;
        while !observed::has_seen_positions(self, holds).await? {
            if Instant::now() >= deadline {
                return Err(ApiError::Unavailable(anyhow::anyhow!("the index is behind another gateway's")));
            }
            tokio::time::sleep(CATCH_UP_POLL).await;
        }
        Ok(())
    }

    /// Limits that override the defaults for this owner. Limits change rarely, so the mirror is read.
    async fn overrides(&self, owner: UserId) -> Result<Overrides, ApiError> {
        let key = owner.to_string();
        match self.users.get(&key) {
            Some(user) => Ok(user.value.limits),
            // Not mirrored yet.
            None => Ok(self
                .ledger
                .accounts
                .users
                .get(&key)
                .await?
                .map(|user| user.value.limits)
                .unwrap_or_default()),
        }
    }
}

/// The job that a reservation is for.
fn job_of(id: &str, of: Resource) -> Option<String> {
    match of {
        Resource::Queued => Some(id.to_owned()),
        Resource::Inputs => Some(id.strip_suffix(inputs::OF_INPUT)?.to_owned()),
        Resource::Repos
        | Resource::Tokens
        | Resource::Secrets
        | Resource::Refs
        | Resource::Records
        | Resource::Logs
        | Resource::Results
        | Resource::Deliveries => None,
    }
}

/// The error for an owner at a limit.
pub(crate) fn too_many(OverLimit { of, used, limit }: OverLimit) -> ApiError {
    let (used, limit) = (settings::format_amount(of, used), settings::format_amount(of, limit));
    ApiError::TooMany(format!("{of}: {used} of {limit} are used; {}", of.freed_by()))
}
