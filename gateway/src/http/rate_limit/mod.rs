//! Rate limits of users and addresses.
//!
//! Requests with a valid token count for its user, all others for their address. An address with ten failed
//! authentications in a minute is slowed down before anything is looked up. Health, metrics and webhooks are
//! not counted: signed deliveries have a rate limit for each registration, unsigned ones one for each
//! address. Every table here is bounded, whatever clients send.
//!
//! Each gateway counts for itself: with three gateways behind one name a user has three times as much.

mod body_memory;
mod concurrency;
mod credit;
mod keyed_limiter;
pub(crate) mod middleware;
mod public_calls;
mod recent_tokens;
mod settings;
mod window_counter;

use std::{
    hash::{BuildHasher as _, Hash, RandomState},
    net::IpAddr,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use body_memory::BodyMemory;
pub(crate) use body_memory::{BODY_METER, BodyMeter};
use concurrency::ConcurrencyLimit;
pub(crate) use concurrency::{ConcurrencyPermit, LimitKey};
pub(crate) use credit::Credit;
use jobs::{RepoId, UserId};
use keyed_limiter::KeyedLimiter;
pub(crate) use public_calls::CallPermit;
use public_calls::PublicCalls;
use recent_tokens::RecentTokens;
pub(crate) use settings::Settings;
use tokio_util::sync::CancellationToken;
use window_counter::WindowCounter;

use crate::{error::ApiError, http::client_ip};

/// The hash that an address is counted under: keyed, so that collisions cannot be predicted, and short, so
/// that there are 65,536 counts at most.
pub(crate) type Slot = u16;

/// Failed authentications from one address in a minute: a user who mistypes has fewer.
const MAX_FAILURES: u32 = 10;
/// Deliveries with an invalid signature from one address in a minute; further ones are not even recorded.
const MAX_UNSIGNED: u32 = 60;
/// Device authorizations from one address in a minute: an office has fewer, and one address leaves most of a
/// gateway's capacity to others.
const MAX_DEVICES: u32 = 20;
/// Requests to a forge about one registration in a minute, whatever its owner signs: without a credential
/// GitHub answers 60 in an hour, and a repository that is renamed needs one.
const MAX_ASKED: NonZeroU32 = NonZeroU32::new(3).expect("three is not zero");
/// Burst of sign-ins with one account: manual testing has fewer.
const MAX_SIGN_INS: NonZeroU32 = NonZeroU32::new(20).expect("twenty is not zero");
/// And then one in this time. Each leaves a session behind for 30 days: 4,320 of them are 2 MB of the
/// bucket's 64 MiB.
const SIGN_IN_PERIOD: Duration = Duration::from_secs(600);
/// Concurrent reads by link from one address: the log of each, of 2 MiB at most, is in memory until it was
/// sent.
const MAX_LINK_READS: usize = 16;
/// Refused sign-ins from one address in a minute, each of which may have cost a request to the provider: an
/// office on a bad day has fewer.
const MAX_REFUSED_SIGN_INS: u32 = 30;
/// Between two evictions of idle entries.
const EVICT_INTERVAL: Duration = Duration::from_secs(60);

/// All rate limits of a gateway.
pub(crate) struct Limits {
    users: KeyedLimiter<UserId>,
    addresses: KeyedLimiter<Slot>,
    failures: WindowCounter,
    unsigned: WindowCounter,
    devices: WindowCounter,
    asked: KeyedLimiter<RepoId>,
    deliveries: KeyedLimiter<RepoId>,
    known: RecentTokens,
    streams: ConcurrencyLimit,
    waiting: ConcurrencyLimit,
    bodies: Arc<BodyMemory>,
    link_reads: ConcurrencyLimit,
    public_calls: PublicCalls,
    sign_ins: KeyedLimiter<Slot>,
    refused_sign_ins: WindowCounter,
    slots: RandomState,
}

impl Limits {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            users: KeyedLimiter::per_minute(settings.max_requests_per_minute),
            addresses: KeyedLimiter::per_minute(settings.max_anonymous_requests_per_minute),
            failures: WindowCounter::per_minute(MAX_FAILURES),
            unsigned: WindowCounter::per_minute(MAX_UNSIGNED),
            devices: WindowCounter::per_minute(MAX_DEVICES),
            asked: KeyedLimiter::per_minute(MAX_ASKED),
            deliveries: KeyedLimiter::per_minute(settings.max_deliveries_per_minute),
            known: RecentTokens::default(),
            streams: ConcurrencyLimit::at_most(settings.max_streams_per_user),
            waiting: ConcurrencyLimit::at_most(settings.waiting_calls_per_user()),
            bodies: BodyMemory::new(body_memory::BODY_LIMITS),
            link_reads: ConcurrencyLimit::at_most(MAX_LINK_READS),
            public_calls: PublicCalls::new(settings),
            sign_ins: KeyedLimiter::with_burst(MAX_SIGN_INS, SIGN_IN_PERIOD),
            refused_sign_ins: WindowCounter::per_minute(MAX_REFUSED_SIGN_INS),
            slots: RandomState::new(),
        }
    }

    /// The hash that an address is counted under. Of IPv6 a network of 64 bits counts as one address.
    pub(crate) fn slot(&self, address: Option<IpAddr>) -> Slot {
        self.slot_of(address.map(client_ip::network))
    }

    fn slot_of(&self, counted: impl Hash) -> Slot {
        let digest = self.slots.hash_one(counted).to_le_bytes();
        Slot::from_le_bytes([digest[0], digest[1]])
    }

    /// Checks a request, with its token if it has one.
    pub(crate) fn check_request(&self, slot: Slot, token: Option<&str>) -> Result<(), ApiError> {
        let now = Instant::now();
        if token.is_some_and(|token| self.known.has(token, now)) {
            return Ok(());
        }
        self.check_failures(slot, token.is_some())?;
        self.addresses.take(&slot).map_err(too_fast)
    }

    /// Checks whether an address may try to authenticate, when it tries to.
    fn check_failures(&self, slot: Slot, tries: bool) -> Result<(), ApiError> {
        match self.failures.retry_after(slot, Instant::now()) {
            Some(wait) if tries => Err(too_fast(wait)),
            Some(_) | None => Ok(()),
        }
    }

    /// Checks an authentication whose token is not in a header.
    pub(crate) fn check_attempt(&self, address: Option<IpAddr>) -> Result<(), ApiError> {
        self.check_failures(self.slot(address), true)
    }

    /// Records a failed authentication, with its token if it was in a header.
    pub(crate) fn record_failure(&self, slot: Slot, token: Option<&str>) {
        if let Some(token) = token {
            self.known.forget(token);
        }
        self.failures.note(slot, Instant::now());
    }

    /// Checks a request of an authenticated user.
    pub(crate) fn check_user(&self, user: UserId, token: &str) -> Result<(), ApiError> {
        self.known.note(token, Instant::now());
        self.users.take(&user).map_err(too_fast)
    }

    /// Checks a delivery with an invalid signature.
    pub(crate) fn check_unsigned_delivery(&self, address: Option<IpAddr>) -> Result<(), ApiError> {
        self.unsigned.take(self.slot(address), Instant::now()).map_err(too_fast)
    }

    /// Checks a new device authorization; returns the hash that it is counted under.
    pub(crate) fn check_device(&self, address: Option<IpAddr>) -> Result<Slot, ApiError> {
        let slot = self.slot(address);
        self.devices.take(slot, Instant::now()).map_err(too_fast)?;
        Ok(slot)
    }

    /// Checks a signed delivery of a registration.
    pub(crate) fn check_delivery(&self, repo: RepoId) -> Result<(), ApiError> {
        self.deliveries.take(&repo).map_err(too_fast)
    }

    /// Whether a forge may be asked about a registration once more.
    pub(crate) fn allows_forge_query(&self, repo: RepoId) -> bool {
        self.asked.take(&repo).is_ok()
    }

    /// Meters the body of a request from this address, to the hook of this registration.
    pub(crate) fn meter_body(&self, address: Option<IpAddr>, repo: Option<RepoId>) -> BodyMeter {
        self.bodies.open(address, repo)
    }

    /// Checks a callback from a provider.
    pub(crate) fn check_callback(&self, address: Option<IpAddr>) -> Result<(), ApiError> {
        let wait = self.refused_sign_ins.retry_after(self.slot(address), Instant::now());
        wait.map_or(Ok(()), |wait| Err(too_fast(wait)))
    }

    /// Records a refused sign-in after a callback from a provider.
    pub(crate) fn record_refused_callback(&self, address: Option<IpAddr>) {
        self.refused_sign_ins.note(self.slot(address), Instant::now());
    }

    /// Checks a sign-in with this account, or an approval of a device.
    pub(crate) fn check_sign_in(&self, provider: &str, subject: &str) -> Result<(), ApiError> {
        self.sign_ins.take(&self.slot_of((provider, subject))).map_err(too_fast)
    }

    /// Acquires a permit for a read by link, held until the response was sent.
    pub(crate) fn acquire_link_read(&self, address: Option<IpAddr>) -> Result<ConcurrencyPermit, ApiError> {
        let sentence = "too much is being sent to this address; try again";
        let open = self.link_reads.acquire(LimitKey::Address(self.slot(address)));
        open.ok_or_else(|| ApiError::TooMany(sentence.to_owned()))
    }

    /// Acquires a permit for a call that waits for its job; `None` when whoever waits does so too often already.
    pub(crate) fn acquire_wait(&self, waiter: LimitKey) -> Option<ConcurrencyPermit> {
        self.waiting.acquire(waiter)
    }

    /// Acquires a permit for a live stream.
    pub(crate) fn acquire_stream(&self, key: LimitKey) -> Result<ConcurrencyPermit, ApiError> {
        let sentence = "too many live streams are open; close one";
        self.streams.acquire(key).ok_or_else(|| ApiError::TooMany(sentence.to_owned()))
    }

    fn evict_idle(&self) {
        let now = Instant::now();
        self.users.evict_idle();
        self.addresses.evict_idle();
        self.asked.evict_idle();
        self.deliveries.evict_idle();
        self.public_calls.evict_idle();
        self.failures.evict_idle(now);
        self.unsigned.evict_idle(now);
        self.devices.evict_idle(now);
        self.sign_ins.evict_idle();
        self.refused_sign_ins.evict_idle(now);
        self.known.evict_idle(now);
    }
}

fn too_fast(wait: Duration) -> ApiError {
    // Rounded up: a client that waits as told is served.
    ApiError::TooFast(wait.as_secs() + 1)
}

/// Evicts idle entries regularly until `stop`.
pub(crate) async fn evict_idle_entries(limits: Arc<Limits>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(EVICT_INTERVAL)).await.is_some() {
        limits.evict_idle();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        let two = 2.try_into().unwrap();
        Limits::new(&Settings {
            max_requests_per_minute: two,
            max_anonymous_requests_per_minute: 20.try_into().unwrap(),
            ..Settings::default()
        })
    }

    #[test]
    fn one_customer_of_version_6_is_one_address() {
        let limits = limits();
        let slot = |text: &str| limits.slot(Some(text.parse().unwrap()));
        assert_eq!(slot("2001:db8::1"), slot("2001:db8::ffff:1"));
        assert_eq!(slot("::ffff:192.0.2.1"), slot("192.0.2.1"));
    }

    #[test]
    fn who_fails_too_often_is_slowed_down_but_a_neighbour_with_a_good_token_is_not() {
        let limits = limits();
        let user = UserId::new();
        assert!(limits.check_user(user, "good").is_ok());
        (0..MAX_FAILURES).for_each(|_| limits.record_failure(7, Some("bad")));
        assert!(matches!(limits.check_request(7, Some("bad")), Err(ApiError::TooFast(1..=60))));
        assert!(limits.check_request(7, Some("good")).is_ok());
        assert!(limits.check_request(7, None).is_ok(), "who does not try is not slowed down");
        assert!(limits.check_request(8, Some("bad")).is_ok());
    }

    #[test]
    fn a_user_is_counted_through_all_his_tokens_and_an_address_only_without_them() {
        let limits = limits();
        let user = UserId::new();
        assert!(limits.check_user(user, "one").is_ok() && limits.check_user(user, "other").is_ok());
        assert!(matches!(limits.check_user(user, "one"), Err(ApiError::TooFast(_))));
        assert!(limits.check_user(UserId::new(), "third").is_ok());
        assert!((0..100).all(|_| limits.check_request(1, Some("one")).is_ok()));
        assert!((0..20).all(|_| limits.check_request(1, None).is_ok()));
        assert!(matches!(limits.check_request(1, None), Err(ApiError::TooFast(_))));
    }
}
