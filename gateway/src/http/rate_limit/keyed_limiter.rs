//! A rate limit of requests per minute for each key, with a burst of a minute's worth.

use std::{hash::Hash, num::NonZeroU32, time::Duration};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock as _};

/// One token bucket for each key; full ones are dropped by [`KeyedLimiter::evict_idle`].
pub(super) struct KeyedLimiter<K: Hash + Eq + Clone>(DefaultKeyedRateLimiter<K>);

impl<K: Hash + Eq + Clone> KeyedLimiter<K> {
    pub(super) fn per_minute(requests: NonZeroU32) -> Self {
        Self(RateLimiter::keyed(Quota::per_minute(requests)))
    }

    /// A burst of `most`, then one in each `period`.
    pub(super) fn with_burst(most: NonZeroU32, period: Duration) -> Self {
        let quota = Quota::with_period(period).expect("a period is not zero").allow_burst(most);
        Self(RateLimiter::keyed(quota))
    }

    /// Takes one; otherwise returns how long to wait for the next.
    pub(super) fn take(&self, key: &K) -> Result<(), Duration> {
        self.0.check_key(key).map_err(|until| until.wait_time_from(self.0.clock().now()))
    }

    /// Drops the buckets that are full again.
    pub(super) fn evict_idle(&self) {
        self.0.retain_recent();
        self.0.shrink_to_fit();
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_followed_by_one_in_each_period() {
        let rates = KeyedLimiter::with_burst(NonZeroU32::new(2).unwrap(), Duration::from_secs(600));
        assert!(rates.take(&1).is_ok() && rates.take(&1).is_ok());
        let wait = rates.take(&1).unwrap_err();
        assert!(wait > Duration::from_secs(500) && wait <= Duration::from_secs(600), "{wait:?}");
        assert!(rates.take(&2).is_ok());
    }

    #[test]
    fn each_key_has_its_own_and_is_told_how_long_to_wait() {
        let rates = KeyedLimiter::per_minute(NonZeroU32::new(2).unwrap());
        assert!(rates.take(&1).is_ok() && rates.take(&1).is_ok() && rates.take(&2).is_ok());
        let wait = rates.take(&1).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(30), "{wait:?}");
        rates.evict_idle();
        assert_eq!(rates.len(), 2, "nobody who still waits is forgotten");
    }
}
