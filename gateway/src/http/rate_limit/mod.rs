//! How much one user, or one address, may ask for.
//!
//! Requests with a good token count for its user, all others for the address they come from. Whoever
//! failed to prove himself ten times in a minute is slowed down before anything is looked up. Health,
//! metrics and webhooks are not counted: signed deliveries have a rate of their own for each registration,
//! what is not signed leaves less and less behind. Every table here is bounded, whatever strangers send.
//!
//! Each gateway counts for itself: with three gateways behind one name a user has three times as much.

mod bodies;
mod counted;
mod credit;
mod known;
pub(crate) mod middleware;
mod rates;
mod settings;
mod streams;

use std::{
    hash::{BuildHasher as _, Hash, RandomState},
    net::IpAddr,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use bodies::Bodies;
pub(crate) use bodies::{METER, Meter};
use counted::Counted;
pub(crate) use credit::Credit;
use jobs::{RepoId, UserId};
use known::Known;
use rates::Rates;
pub(crate) use settings::Settings;
use streams::Streams;
pub(crate) use streams::{OpenStream, Whose};
use tokio_util::sync::CancellationToken;

use crate::{error::ApiError, http::client_ip};

/// What an address is counted under: a keyed digest of it, so that there are 65,536 counts at most.
/// Two addresses share one by chance alone, which nobody can foresee.
pub(crate) type Slot = u16;

/// Failures to prove oneself, from one address in a minute: a person who mistypes has fewer.
const MAX_FAILURES: u32 = 10;
/// Deliveries from one address in a minute that were not believed; more are not even noted.
const MAX_UNSIGNED: u32 = 60;
/// Devices that begin to sign in from one address in a minute: an office has fewer, and a stranger
/// leaves most of what a gateway takes in all to others.
const MAX_DEVICES: u32 = 20;
/// Questions to a forge about one registration in a minute, whatever its owner signs: without a credential
/// GitHub answers 60 in an hour, and a repository that is renamed needs one.
const MAX_ASKED: NonZeroU32 = NonZeroU32::new(3).expect("three is not zero");
/// Sign-ins with one account at once: whoever tries something out has fewer.
const MAX_SIGN_INS: NonZeroU32 = NonZeroU32::new(20).expect("twenty is not zero");
/// And then one in this time. Each leaves a session behind for 30 days: 4,320 of them are 2 MB of the 64 MiB
/// that there are.
const SIGN_IN_PERIOD: Duration = Duration::from_secs(600);
/// Jobs that one address reads at once with the keys of their links: the log of each, of 2 MiB at most, lies
/// in memory until it was sent.
const MAX_LINK_READS: usize = 16;
/// Sign-ins from one address in a minute that were refused, each of which may have cost the provider a
/// question: an office on a bad day has fewer.
const MAX_REFUSED_SIGN_INS: u32 = 30;
/// Between two rounds of forgetting who has not been here lately.
const ROUND: Duration = Duration::from_secs(60);

/// Everything that is counted.
pub(crate) struct Limits {
    users: Rates<UserId>,
    addresses: Rates<Slot>,
    failures: Counted,
    unsigned: Counted,
    devices: Counted,
    asked: Rates<RepoId>,
    deliveries: Rates<RepoId>,
    known: Known,
    streams: Streams,
    waiting: Streams,
    bodies: Arc<Bodies>,
    link_reads: Streams,
    sign_ins: Rates<Slot>,
    refused_sign_ins: Counted,
    slots: RandomState,
}

impl Limits {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            users: Rates::per_minute(settings.max_requests_per_minute),
            addresses: Rates::per_minute(settings.max_anonymous_requests_per_minute),
            failures: Counted::per_minute(MAX_FAILURES),
            unsigned: Counted::per_minute(MAX_UNSIGNED),
            devices: Counted::per_minute(MAX_DEVICES),
            asked: Rates::per_minute(MAX_ASKED),
            deliveries: Rates::per_minute(settings.max_deliveries_per_minute),
            known: Known::default(),
            streams: Streams::at_most(settings.max_streams_per_user),
            waiting: Streams::at_most(settings.waiting_calls_per_user()),
            bodies: Bodies::new(bodies::ROOM),
            link_reads: Streams::at_most(MAX_LINK_READS),
            sign_ins: Rates::with_burst(MAX_SIGN_INS, SIGN_IN_PERIOD),
            refused_sign_ins: Counted::per_minute(MAX_REFUSED_SIGN_INS),
            slots: RandomState::new(),
        }
    }

    /// Where an address is counted. Of version 6 a network of 64 bits is one customer.
    pub(crate) fn slot(&self, address: Option<IpAddr>) -> Slot {
        self.slot_of(address.map(client_ip::network))
    }

    fn slot_of(&self, counted: impl Hash) -> Slot {
        let digest = self.slots.hash_one(counted).to_le_bytes();
        Slot::from_le_bytes([digest[0], digest[1]])
    }

    /// A request comes in, with this token if it has one.
    pub(crate) fn at_door(&self, slot: Slot, token: Option<&str>) -> Result<(), ApiError> {
        let now = Instant::now();
        if token.is_some_and(|token| self.known.has(token, now)) {
            return Ok(());
        }
        self.may_try(slot, token.is_some())?;
        self.addresses.take(&slot).map_err(too_fast)
    }

    /// Whether an address may try to prove itself, when it tries to.
    fn may_try(&self, slot: Slot, tries: bool) -> Result<(), ApiError> {
        match self.failures.must_wait(slot, Instant::now()) {
            Some(wait) if tries => Err(too_fast(wait)),
            Some(_) | None => Ok(()),
        }
    }

    /// Somebody tries a token that does not come in a header.
    pub(crate) fn tries(&self, address: Option<IpAddr>) -> Result<(), ApiError> {
        self.may_try(self.slot(address), true)
    }

    /// He failed, with this token if it came in a header.
    pub(crate) fn failed(&self, slot: Slot, token: Option<&str>) {
        if let Some(token) = token {
            self.known.forget(token);
        }
        self.failures.note(slot, Instant::now());
    }

    /// A user showed a good token.
    pub(crate) fn user(&self, user: UserId, token: &str) -> Result<(), ApiError> {
        self.known.note(token, Instant::now());
        self.users.take(&user).map_err(too_fast)
    }

    /// A delivery was not believed.
    pub(crate) fn unsigned(&self, address: Option<IpAddr>) -> Result<(), ApiError> {
        self.unsigned.take(self.slot(address), Instant::now()).map_err(too_fast)
    }

    /// A device begins to sign in; where it is counted.
    pub(crate) fn device(&self, address: Option<IpAddr>) -> Result<Slot, ApiError> {
        let slot = self.slot(address);
        self.devices.take(slot, Instant::now()).map_err(too_fast)?;
        Ok(slot)
    }

    /// A signed delivery of a registration came.
    pub(crate) fn delivery(&self, repo: RepoId) -> Result<(), ApiError> {
        self.deliveries.take(&repo).map_err(too_fast)
    }

    /// Whether a forge may be asked about a registration once more.
    pub(crate) fn may_ask_forge(&self, repo: RepoId) -> bool {
        self.asked.take(&repo).is_ok()
    }

    /// Counts the body of a request from this address, to the hook of this registration.
    pub(crate) fn body(&self, address: Option<IpAddr>, repo: Option<RepoId>) -> Meter {
        self.bodies.open(address, repo)
    }

    /// Somebody comes back from a provider.
    pub(crate) fn comes_back(&self, address: Option<IpAddr>) -> Result<(), ApiError> {
        let wait = self.refused_sign_ins.must_wait(self.slot(address), Instant::now());
        wait.map_or(Ok(()), |wait| Err(too_fast(wait)))
    }

    /// A sign-in that came back from a provider was refused.
    pub(crate) fn came_in_vain(&self, address: Option<IpAddr>) {
        self.refused_sign_ins.note(self.slot(address), Instant::now());
    }

    /// Somebody signs in with this account, or says yes to a device.
    pub(crate) fn signs_in(&self, provider: &str, subject: &str) -> Result<(), ApiError> {
        self.sign_ins.take(&self.slot_of((provider, subject))).map_err(too_fast)
    }

    /// What an address reads of a job with the key of its link, until it was sent.
    pub(crate) fn reads_by_link(&self, address: Option<IpAddr>) -> Result<OpenStream, ApiError> {
        let sentence = "too much is being sent to this address; try again";
        let open = self.link_reads.open(Whose::Address(self.slot(address)));
        open.ok_or_else(|| ApiError::TooMany(sentence.to_owned()))
    }

    /// A call waits for its job; `None` when its user waits for too many already.
    pub(crate) fn waits(&self, user: UserId) -> Option<OpenStream> {
        self.waiting.open(Whose::User(user))
    }

    /// Opens a live stream.
    pub(crate) fn stream(&self, whose: Whose) -> Result<OpenStream, ApiError> {
        let sentence = "too many live streams are open; close one";
        self.streams.open(whose).ok_or_else(|| ApiError::TooMany(sentence.to_owned()))
    }

    fn forget_idle(&self) {
        let now = Instant::now();
        self.users.forget_idle();
        self.addresses.forget_idle();
        self.asked.forget_idle();
        self.deliveries.forget_idle();
        self.failures.forget_idle(now);
        self.unsigned.forget_idle(now);
        self.devices.forget_idle(now);
        self.sign_ins.forget_idle();
        self.refused_sign_ins.forget_idle(now);
        self.known.forget_idle(now);
    }
}

fn too_fast(wait: Duration) -> ApiError {
    // Rounded up: who waits as told is let in.
    ApiError::TooFast(wait.as_secs() + 1)
}

/// Forgets who has not been here lately, until `stop`.
pub(crate) async fn forget(limits: Arc<Limits>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(ROUND)).await.is_some() {
        limits.forget_idle();
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
        assert!(limits.user(user, "good").is_ok());
        (0..MAX_FAILURES).for_each(|_| limits.failed(7, Some("bad")));
        assert!(matches!(limits.at_door(7, Some("bad")), Err(ApiError::TooFast(1..=60))));
        assert!(limits.at_door(7, Some("good")).is_ok());
        assert!(limits.at_door(7, None).is_ok(), "who does not try is not slowed down");
        assert!(limits.at_door(8, Some("bad")).is_ok());
    }

    #[test]
    fn a_user_is_counted_through_all_his_tokens_and_an_address_only_without_them() {
        let limits = limits();
        let user = UserId::new();
        assert!(limits.user(user, "one").is_ok() && limits.user(user, "other").is_ok());
        assert!(matches!(limits.user(user, "one"), Err(ApiError::TooFast(_))));
        assert!(limits.user(UserId::new(), "third").is_ok());
        assert!((0..100).all(|_| limits.at_door(1, Some("one")).is_ok()));
        assert!((0..20).all(|_| limits.at_door(1, None).is_ok()));
        assert!(matches!(limits.at_door(1, None), Err(ApiError::TooFast(_))));
    }
}
