//! Counts failures within a minute, for each address.
//!
//! Unlike a rate limiter it can be read without taking anything.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::http::rate_limit::Slot;

const MINUTE: Duration = Duration::from_secs(60);

/// Counts by address hash; there are no more of them than hashes.
#[derive(Debug)]
pub(super) struct WindowCounter {
    most: u32,
    since: Mutex<HashMap<Slot, (Instant, u32)>>,
}

impl WindowCounter {
    /// Allows `most` in a minute.
    pub(super) fn per_minute(most: u32) -> Self {
        Self { most, since: Mutex::default() }
    }

    /// How long to wait, when there were too many.
    pub(super) fn retry_after(&self, slot: Slot, now: Instant) -> Option<Duration> {
        let counts = self.since.lock();
        let (since, count) = counts.get(&slot)?;
        let left = MINUTE.checked_sub(now.duration_since(*since))?;
        (*count >= self.most).then_some(left)
    }

    /// Counts one, unless there were too many; then returns how long to wait.
    pub(super) fn take(&self, slot: Slot, now: Instant) -> Result<(), Duration> {
        match self.retry_after(slot, now) {
            Some(wait) => Err(wait),
            None => {
                self.note(slot, now);
                Ok(())
            }
        }
    }

    /// Counts one.
    pub(super) fn note(&self, slot: Slot, now: Instant) {
        let mut counts = self.since.lock();
        let entry = counts.entry(slot).or_insert((now, 0));
        if now.duration_since(entry.0) >= MINUTE {
            *entry = (now, 0);
        }
        entry.1 = entry.1.saturating_add(1);
    }

    /// Drops counts that are older than a minute.
    pub(super) fn evict_idle(&self, now: Instant) {
        let mut counts = self.since.lock();
        counts.retain(|_, (since, _)| now.duration_since(*since) < MINUTE);
        counts.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_failed_too_often_waits_for_the_rest_of_the_minute() {
        let failures = WindowCounter::per_minute(2);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        failures.note(1, at(0));
        assert_eq!(failures.retry_after(1, at(1)), None);
        failures.note(1, at(10));
        assert_eq!(failures.retry_after(1, at(20)), Some(Duration::from_secs(40)));
        assert_eq!(failures.retry_after(2, at(20)), None);
        assert_eq!(failures.retry_after(1, at(61)), None);
        failures.note(1, at(61));
        assert_eq!(failures.retry_after(1, at(62)), None);
        failures.evict_idle(at(200));
        assert!(failures.since.lock().is_empty());
    }
}
