//! Limits the memory of request bodies that are not authenticated yet: by address, and for webhooks by
//! registration too.
//!
//! Received bytes are counted, not announced ones. When an address exceeds its share, the oldest of its own
//! stalled bodies is evicted; when the total or a registration's share is exceeded, the address that holds
//! most loses one. Only when nothing stalls, and no address holds more, is the newest body refused. So a
//! client that holds bodies back, or sends many at once, takes nothing from others.

use std::{cmp::Reverse, collections::HashMap, hash::Hash, net::IpAddr, sync::Arc, time::Duration};

use jobs::RepoId;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    error::ApiError,
    http::{client_ip::network, rate_limit::Credit},
};

/// The credit that a body can save before it counts as stalled, and so may be evicted: a lost packet is sent
/// again within this.
const MAX_SAVED: Duration = Duration::from_secs(1);

/// How many bytes of bodies may be in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimits {
    all: usize,
    of_address: usize,
    of_repo: usize,
}

/// Sixteen of the largest deliveries in all (25 MiB each); four of one address, which may be a forge's;
/// two of one registration.
pub(super) const BODY_LIMITS: BodyLimits =
    BodyLimits { all: 400 << 20, of_address: 100 << 20, of_repo: 50 << 20 };

/// All bodies that are being received, or processed.
#[derive(Debug)]
pub(super) struct BodyMemory {
    room: BodyLimits,
    held: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    bodies: HashMap<u64, Body>,
    of_address: HashMap<IpAddr, usize>,
    of_repo: HashMap<RepoId, usize>,
    all: usize,
}

#[derive(Debug)]
struct Body {
    address: Option<IpAddr>,
    repo: Option<RepoId>,
    bytes: usize,
    since: Instant,
    credit: Credit,
    is_whole: bool,
    evicted: CancellationToken,
}

/// The limit that is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    Address(IpAddr),
    Repo(RepoId),
}

tokio::task_local! {
    /// Counts the body of the request that is being answered.
    pub(crate) static BODY_METER: Arc<BodyMeter>;
}

/// Counts one request's body, until it is dropped.
#[derive(Debug)]
pub(crate) struct BodyMeter {
    bodies: Arc<BodyMemory>,
    id: u64,
    evicted: CancellationToken,
}

impl BodyMemory {
    pub(super) fn new(room: BodyLimits) -> Arc<Self> {
        Arc::new(Self { room, held: Mutex::default() })
    }

    /// Meters the body of a request from this address, to the hook of this registration.
    pub(super) fn open(self: &Arc<Self>, address: Option<IpAddr>, repo: Option<RepoId>) -> BodyMeter {
        let evicted = CancellationToken::new();
        let mut table = self.lock();
        table.last += 1;
        let id = table.last;
        let body = Body {
            address: address.map(network),
            repo,
            bytes: 0,
            since: Instant::now(),
            credit: Credit::new(MAX_SAVED),
            is_whole: false,
            evicted: evicted.clone(),
        };
        table.bodies.insert(id, body);
        BodyMeter { bodies: Arc::clone(self), id, evicted }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.held.lock()
    }
}

impl Table {
    /// The limit that so many bytes more of a body would exceed, the most specific first.
    fn exceeded_for(&self, id: u64, bytes: usize, room: BodyLimits) -> Option<Scope> {
        let body = self.bodies.get(&id)?;
        let over = |held: usize, room: usize| held + bytes > room;
        let address = body.address.filter(|address| over(sum(&self.of_address, address), room.of_address));
        let repo = body.repo.filter(|repo| over(sum(&self.of_repo, repo), room.of_repo));
        let all = over(self.all, room.all).then_some(Scope::All);
        address.map(Scope::Address).or(repo.map(Scope::Repo)).or(all)
    }

    /// Evicts a body in this scope for another one of so many bytes: a stalled one, else one of an address
    /// that holds more than the other's. Of several, the oldest of the address that holds most.
    fn evict_one(&mut self, of: Scope, newcomer: u64, bytes: usize) -> bool {
        let holds = |body: &Body| body.address.map_or(0, |address| sum(&self.of_address, &address));
        let newcomers = self.bodies.get(&newcomer).map_or(0, holds) + bytes;
        let may_go = |body: &Body| {
            let in_scope = match of {
                Scope::All => true,
                Scope::Address(address) => body.address == Some(address),
                Scope::Repo(repo) => body.repo == Some(repo),
            };
            in_scope && !body.is_whole && body.bytes > 0 && (body.stalls() || holds(body) > newcomers)
        };
        let found = self.bodies.iter().filter(|(id, body)| **id != newcomer && may_go(body));
        let candidate = found.max_by_key(|(_, body)| (body.stalls(), holds(body), Reverse(body.since)));
        let Some(id) = candidate.map(|(id, _)| *id) else { return false };
        if let Some(body) = self.remove(id) {
            tracing::debug!(network = ?body.address, bytes = body.bytes, "request body evicted");
            body.evicted.cancel();
        }
        true
    }

    fn add(&mut self, id: u64, bytes: usize) {
        let Some(body) = self.bodies.get_mut(&id) else { return };
        body.bytes += bytes;
        body.credit.earn(bytes);
        self.all += bytes;
        if let Some(address) = body.address {
            *self.of_address.entry(address).or_default() += bytes;
        }
        if let Some(repo) = body.repo {
            *self.of_repo.entry(repo).or_default() += bytes;
        }
    }

    fn remove(&mut self, id: u64) -> Option<Body> {
        let body = self.bodies.remove(&id)?;
        self.all -= body.bytes;
        if let Some(address) = body.address {
            subtract(&mut self.of_address, &address, body.bytes);
        }
        if let Some(repo) = body.repo {
            subtract(&mut self.of_repo, &repo, body.bytes);
        }
        Some(body)
    }
}

fn sum<K: Hash + Eq>(sums: &HashMap<K, usize>, key: &K) -> usize {
    sums.get(key).copied().unwrap_or(0)
}

/// An entry that holds nothing is removed.
fn subtract<K: Hash + Eq>(sums: &mut HashMap<K, usize>, key: &K, bytes: usize) {
    if let Some(held) = sums.get_mut(key) {
        *held -= bytes;
        if *held == 0 {
            sums.remove(key);
        }
    }
}

impl Body {
    fn stalls(&self) -> bool {
        !self.is_whole && self.credit.is_used_up()
    }
}

impl BodyMeter {
    /// The wait for the body's first byte begins.
    pub(crate) fn begins(&self) {
        if let Some(body) = self.bodies.lock().bodies.get_mut(&self.id) {
            (body.since, body.credit) = (Instant::now(), Credit::new(MAX_SAVED));
        }
    }

    /// Counts so many received bytes.
    ///
    /// # Errors
    /// The limits are exceeded, and no other body can be evicted.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), ApiError> {
        let mut table = self.bodies.lock();
        while let Some(full) = table.exceeded_for(self.id, bytes, self.bodies.room) {
            if !table.evict_one(full, self.id, bytes) {
                let whose = match full {
                    Scope::All => "this gateway",
                    Scope::Address(_) => "this address",
                    Scope::Repo(_) => "this webhook",
                };
                return Err(ApiError::TooMany(format!("too much is being sent to {whose}; try again")));
            }
        }
        table.add(self.id, bytes);
        Ok(())
    }

    /// The body is complete: it stays counted, and cannot be evicted.
    pub(crate) fn is_whole(&self) {
        if let Some(body) = self.bodies.lock().bodies.get_mut(&self.id) {
            body.is_whole = true;
        }
    }

    /// Returns when the body was evicted.
    pub(crate) async fn evicted(&self) -> ApiError {
        self.evicted.cancelled().await;
        ApiError::TooMany("this body came slowly while others waited; send it again".to_owned())
    }
}

impl Drop for BodyMeter {
    fn drop(&mut self) {
        self.bodies.lock().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: BodyLimits = BodyLimits { all: 100, of_address: 40, of_repo: 20 };

    fn from(bodies: &Arc<BodyMemory>, address: &str) -> BodyMeter {
        bodies.open(Some(address.parse().unwrap()), None)
    }

    async fn later() {
        tokio::time::advance(Duration::from_secs(2)).await;
    }

    fn evicted(meter: &BodyMeter) -> bool {
        meter.evicted.is_cancelled()
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_has_its_share_and_its_oldest_that_stalls_makes_room() {
        let bodies = BodyMemory::new(SMALL);
        let held: Vec<BodyMeter> = (0..4).map(|_| from(&bodies, "192.0.2.1")).collect();
        for meter in &held {
            tokio::time::advance(Duration::from_millis(1)).await;
            meter.begins();
            meter.take(10).unwrap();
        }
        let fifth = from(&bodies, "192.0.2.1");
        assert!(matches!(fifth.take(10), Err(ApiError::TooMany(_))), "nobody stalls yet");
        assert!(from(&bodies, "192.0.2.2").take(40).is_ok(), "another address has its own");
        held[0].is_whole();
        later().await;
        assert!(fifth.take(10).is_ok());
        assert_eq!(held.iter().map(evicted).collect::<Vec<_>>(), [false, true, false, false]);
        assert!(matches!(held[1].evicted().await, ApiError::TooMany(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_is_taken_the_address_that_holds_most_makes_room() {
        let bodies = BodyMemory::new(SMALL);
        let little = from(&bodies, "192.0.2.1");
        little.take(20).unwrap();
        let much: Vec<BodyMeter> =
            ["192.0.2.2", "192.0.2.3"].iter().map(|address| from(&bodies, address)).collect();
        much.iter().for_each(|meter| meter.take(40).unwrap());
        later().await;
        let newest = from(&bodies, "192.0.2.4");
        newest.take(30).unwrap();
        assert!(!evicted(&little) && evicted(&much[0]) != evicted(&much[1]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_registration_has_its_share_whoever_sends() {
        let bodies = BodyMemory::new(SMALL);
        let repo = RepoId::new();
        let to = |address: &str, repo| bodies.open(Some(address.parse().unwrap()), Some(repo));
        let held = to("192.0.2.1", repo);
        held.take(10).unwrap();
        let same = to("192.0.2.2", repo);
        same.take(10).unwrap();
        assert!(same.take(1).is_err(), "nothing stalls, and the other one holds less than it would");
        assert!(to("192.0.2.3", RepoId::new()).take(20).is_ok());
        later().await;
        assert!(to("192.0.2.3", repo).take(10).is_ok() && (evicted(&held) != evicted(&same)));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_sends_much_at_once_makes_room_for_who_sends_little() {
        let bodies = BodyMemory::new(SMALL);
        let repo = RepoId::new();
        let to = |address: &str| bodies.open(Some(address.parse().unwrap()), Some(repo));
        let flood: Vec<BodyMeter> = (0..4).map(|_| to("192.0.2.1")).collect();
        flood.iter().for_each(|meter| meter.take(5).unwrap());
        flood[0].is_whole();
        assert!(to("192.0.2.1").take(5).is_err(), "not for its own");
        let other = to("192.0.2.2");
        other.take(5).unwrap();
        assert!(!evicted(&flood[0]) && flood.iter().filter(|meter| evicted(meter)).count() == 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_fast_and_then_stops_stalls_and_nobody_is_remembered() {
        let bodies = BodyMemory::new(BODY_LIMITS);
        let fast = from(&bodies, "192.0.2.1");
        fast.take(2_000_000).unwrap();
        let stalls = |meter: &BodyMeter| bodies.lock().bodies[&meter.id].stalls();
        assert!(!stalls(&fast));
        later().await;
        assert!(stalls(&fast));
        fast.take(16 << 10).unwrap();
        assert!(!stalls(&fast));
        fast.is_whole();
        later().await;
        assert!(!stalls(&fast), "nothing more is to come");
        drop(fast);
        let table = bodies.lock();
        assert!(table.bodies.is_empty() && table.of_address.is_empty() && table.all == 0);
    }
}
