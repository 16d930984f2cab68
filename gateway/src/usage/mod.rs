//! What owners take up, and may.
//!
//! Before the first byte of a thing that waits or is kept on purpose is stored, place for it is held in the
//! bucket `usage` by compare-and-set ([`jobs::usage`]). Requests of one owner that wait at the same moment
//! share one write. What has come is counted where it lies: in the index and the mirrors. History never
//! refuses: [`history`] lets the oldest of an owner's go.

use jobs::{
    Ledger, Repo,
    accounts::{TokenRecord, User},
    bucket::Bucket,
};

use crate::{
    crypto::sealed::{SealedSecret, SecretSize},
    index::{Index, mirror::Mirror},
    metrics::Metrics,
};

mod heads;
mod history;
mod holds;
mod known;
mod marks;
mod owners;
mod settings;
mod view;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

pub(crate) use heads::{MAX_REFS, RefCounts};
pub(crate) use history::clear;
pub(crate) use holds::Full;
use holds::{Wanted, admit};
use jobs::{
    UserId,
    bucket::{BucketError, Entry},
    usage::{Hold, Holds, Overrides, Resource},
};
use known::Ours;
pub(crate) use marks::sweep;
pub(crate) use owners::NoMoreOwners;
pub use settings::Settings;
use tokio::{sync::oneshot, time::Instant};

use crate::error::ApiError;

/// A promise whose thing did not come in this time belongs to a request that broke off: twice the longest
/// request that stores anything.
const HOLD_LIFE: Duration = Duration::from_secs(60);
/// A gateway that is so far behind what another one counted says so rather than to count wrong.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks whether it has caught up.
const PAUSE: Duration = Duration::from_millis(5);

/// Promises of place, by owner.
#[derive(Debug, Default)]
pub(crate) struct Reservations {
    owners: Mutex<HashMap<UserId, Arc<Counter>>>,
    making_an_owner: tokio::sync::Mutex<()>,
}

/// Tells a request whether it got place.
type Answer = oneshot::Sender<Result<(), Full>>;

/// Where requests of one owner wait for their common write.
#[derive(Debug, Default)]
struct Counter {
    waiting: Mutex<Vec<(Wanted, Answer)>>,
    released: Mutex<HashSet<String>>,
    stored: tokio::sync::Mutex<Stored>,
}

/// What was stored last, and since when this gateway knows of each promise in it.
#[derive(Debug, Default)]
struct Stored {
    entry: Option<Entry<Holds>>,
    since: HashMap<String, Instant>,
}

impl Reservations {
    fn counter(&self, owner: UserId) -> Arc<Counter> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(owners.entry(owner).or_default())
    }
}

/// What every owner takes up, and may.
pub(crate) struct Budgets {
    pub(crate) settings: Settings,
    pub(crate) ledger: Ledger,
    pub(crate) index: Arc<Index>,
    pub(crate) users: Arc<Mirror<User>>,
    pub(crate) repos: Arc<Mirror<Repo>>,
    pub(crate) tokens: Arc<Mirror<TokenRecord>>,
    /// How long each secret is.
    pub(crate) secret_sizes: Arc<Mirror<SecretSize>>,
    /// Where the sizes are of.
    pub(crate) secrets: Bucket<SealedSecret>,
    pub(crate) metrics: Arc<Metrics>,
    /// How many refs are known of each registration.
    pub(crate) ref_counts: RefCounts,
    pub(crate) reservations: Reservations,
}

impl Budgets {
    /// Holds place for a thing of an owner's that is about to be stored under `id`.
    ///
    /// # Errors
    /// [`ApiError::TooMany`]: what is full, how full, and what frees it.
    pub(crate) async fn reserve(
        &self,
        owner: UserId,
        id: impl ToString,
        of: Resource,
        amount: u64,
    ) -> Result<(), ApiError> {
        match self.try_reserve(owner, id, of, amount).await? {
            Ok(()) => Ok(()),
            Err(full) => Err(too_many(full)),
        }
    }

    /// The same, for those who refuse in their own words.
    pub(crate) async fn try_reserve(
        &self,
        owner: UserId,
        id: impl ToString,
        of: Resource,
        amount: u64,
    ) -> Result<Result<(), Full>, ApiError> {
        let counter = self.reservations.counter(owner);
        let wanted = Wanted { id: id.to_string(), hold: Hold { of, amount } };
        loop {
            let (sender, mut answer) = oneshot::channel();
            counter.waiting.lock().unwrap_or_else(PoisonError::into_inner).push((wanted.clone(), sender));
            // Whoever writes next does it for all that wait by then.
            let mut stored = tokio::select! {
                biased;
                answered = &mut answer => match answered {
                    Ok(answered) => return Ok(answered),
                    Err(_) => continue,
                },
                stored = counter.stored.lock() => stored,
            };
            if let Ok(answered) = answer.try_recv() {
                return Ok(answered);
            }
            self.write_holds(owner, &counter, &mut stored).await?;
            drop(stored);
            // A writer that broke off leaves those it wrote for to ask again.
            if let Ok(answered) = answer.await {
                return Ok(answered);
            }
        }
    }

    async fn write_holds(
        &self,
        owner: UserId,
        counter: &Counter,
        stored: &mut Stored,
    ) -> Result<(), ApiError> {
        let waiting = std::mem::take(&mut *counter.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let wanted: Vec<Wanted> = waiting.iter().map(|(wanted, _)| wanted.clone()).collect();
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
            let released = counter.released.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let known = Ours {
                budgets: self,
                owner,
                overrides: &overrides,
                since: &stored.since,
                released: &released,
                now,
            };
            let (mut next, answers) = admit(&before, &wanted, &known);
            known.cover(&mut next);
            let written = match (&entry, next == before) {
                (_, true) => Ok(entry.as_ref().map_or(0, |entry| entry.revision)),
                (Some(entry), false) => self.ledger.usage.update(&key, &next, entry.revision).await,
                (None, false) => self.ledger.usage.create(&key, &next).await,
            };
            match written {
                Ok(0) => {}
                Ok(revision) => {
                    let mut released = counter.released.lock().unwrap_or_else(PoisonError::into_inner);
                    released.retain(|id| next.holds.contains_key(id));
                    stored.entry = Some(Entry::fresh(&key, next, revision));
                }
                // Another gateway wrote.
                Err(BucketError::Conflict { .. }) => continue,
                Err(error) => return Err(error.into()),
            }
            for ((_, sender), answer) in waiting.into_iter().zip(answers) {
                // Who does not wait any more has promised himself place for nothing, for a minute.
                let _ = sender.send(answer);
            }
            return Ok(());
        }
    }

    /// Gives a promise back whose thing does not come, or is gone already. Without it another gateway waits
    /// for the thing for a minute.
    pub(crate) fn release(&self, owner: UserId, id: impl ToString) {
        let counter = self.reservations.counter(owner);
        counter.released.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_string());
    }

    /// Waits until this gateway has seen what was counted by who wrote the promises.
    async fn catch_up_with(&self, holds: &Holds) -> Result<(), ApiError> {
        let deadline = Instant::now() + PATIENCE;
        while !known::is_covered(self, holds)? {
            if Instant::now() >= deadline {
                return Err(ApiError::Unavailable(anyhow::anyhow!("the index is behind another gateway's")));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Limits that were given to this owner alone. Limits only ever move a little, so the mirror tells.
    async fn overrides(&self, owner: UserId) -> Result<Overrides, ApiError> {
        let key = owner.to_string();
        match self.users.get(&key) {
            Some(user) => Ok(user.value.limits),
            // One that was made a moment ago.
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

/// The sentence that an owner at a limit is told.
pub(crate) fn too_many(Full { of, used, limit }: Full) -> ApiError {
    let (used, limit) = (settings::shown(of, used), settings::shown(of, limit));
    ApiError::TooMany(format!("{of}: {used} of {limit} are used; {}", of.freed_by()))
}
