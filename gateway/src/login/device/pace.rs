//! How often devices may ask. Kept per gateway and not in NATS: a poll must cost one read.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Between two polls of one device, as it was told (RFC 8628, section 3.5).
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);
/// What `slow_down` adds to the interval.
const SLOWER: Duration = Duration::from_secs(5);
/// A device that did not poll for this long is forgotten; its code has expired.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(900);
/// Devices remembered at once. Beyond it one polls as it likes, which costs a read each.
const MAX_DEVICES: usize = 10_000;

/// Whether a device polls as slowly as it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    Fine,
    TooFast,
}

/// When each device polled, and how long it is to wait.
#[derive(Debug, Default)]
pub(crate) struct Polls(Mutex<HashMap<String, (Instant, Duration)>>);

impl Polls {
    /// Notes a poll for the request with this key.
    pub(crate) fn note(&self, key: &str, now: Instant) -> Pace {
        let mut polls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((last, interval)) = polls.get_mut(key) {
            let waited = now.duration_since(*last);
            *last = now;
            if waited < *interval {
                *interval += SLOWER;
                return Pace::TooFast;
            }
            return Pace::Fine;
        }
        if polls.len() >= MAX_DEVICES {
            polls.retain(|_, (last, _)| now.duration_since(*last) < FORGOTTEN_AFTER);
        }
        if polls.len() < MAX_DEVICES {
            polls.insert(key.to_owned(), (now, INTERVAL));
        }
        Pace::Fine
    }

    /// Its tokens were fetched, or it was refused.
    pub(crate) fn forget(&self, key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_polls_too_fast_is_told_to_wait_longer() {
        let polls = Polls::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(polls.note("a", at(0)), Pace::Fine);
        assert_eq!(polls.note("b", at(1)), Pace::Fine);
        assert_eq!(polls.note("a", at(5)), Pace::Fine);
        assert_eq!(polls.note("a", at(7)), Pace::TooFast);
        assert_eq!(polls.note("a", at(16)), Pace::TooFast);
        assert_eq!(polls.note("a", at(31)), Pace::Fine);
        polls.forget("a");
        assert_eq!(polls.note("a", at(31)), Pace::Fine);
    }
}
