//! Throttles polls of devices. Kept per gateway and not in NATS: a poll must cost one read.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
/// The poll interval that devices are given (RFC 8628, section 3.5).
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);
/// What `slow_down` adds to the interval.
const SLOW_DOWN: Duration = Duration::from_secs(5);
/// A device that did not poll for this long is forgotten; its code has expired.
const IDLE_TIMEOUT: Duration = Duration::from_secs(900);
/// Devices remembered at once. Beyond it a device is not throttled, which costs a read for each poll.
const MAX_DEVICES: usize = 10_000;

/// Whether a device keeps to its poll interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PollCheck {
    Allowed,
    SlowDown,
}

/// When each device last polled, and its interval.
#[derive(Debug, Default)]
pub(crate) struct PollThrottle(Mutex<HashMap<String, (Instant, Duration)>>);

impl PollThrottle {
    /// Records a poll for the request with this key.
    pub(crate) fn record(&self, key: &str, now: Instant) -> PollCheck {
        let mut polls = self.0.lock();
        if let Some((last, interval)) = polls.get_mut(key) {
            let waited = now.duration_since(*last);
            *last = now;
            if waited < *interval {
                *interval += SLOW_DOWN;
                return PollCheck::SlowDown;
            }
            return PollCheck::Allowed;
        }
        if polls.len() >= MAX_DEVICES {
            polls.retain(|_, (last, _)| now.duration_since(*last) < IDLE_TIMEOUT);
        }
        if polls.len() < MAX_DEVICES {
            polls.insert(key.to_owned(), (now, INTERVAL));
        }
        PollCheck::Allowed
    }

    /// Forgets a device whose request is closed.
    pub(crate) fn forget(&self, key: &str) {
        self.0.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_polls_too_fast_is_told_to_wait_longer() {
        let polls = PollThrottle::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(polls.record("a", at(0)), PollCheck::Allowed);
        assert_eq!(polls.record("b", at(1)), PollCheck::Allowed);
        assert_eq!(polls.record("a", at(5)), PollCheck::Allowed);
        assert_eq!(polls.record("a", at(7)), PollCheck::SlowDown);
        assert_eq!(polls.record("a", at(16)), PollCheck::SlowDown);
        assert_eq!(polls.record("a", at(31)), PollCheck::Allowed);
        polls.forget("a");
        assert_eq!(polls.record("a", at(31)), PollCheck::Allowed);
    }
}
