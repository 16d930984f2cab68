//! How long a body may stay silent: each received byte earns time, up to a maximum.

use std::time::Duration;

use tokio::time::Instant;

/// A body that comes more slowly than this, in bytes a second, is held back on purpose: the worst mobile
/// connection is faster.
const SLOWEST: u64 = 16 << 10;

/// The time that a body has left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Credit {
    until: Instant,
    most: Duration,
}

impl Credit {
    /// Begins with the maximum.
    pub(crate) fn new(most: Duration) -> Self {
        Self { until: Instant::now() + most, most }
    }

    /// So many bytes were received.
    pub(crate) fn earn(&mut self, bytes: usize) {
        let now = Instant::now();
        let micros = (bytes as u64).saturating_mul(1_000_000) / SLOWEST;
        self.until = (self.until.max(now) + Duration::from_micros(micros)).min(now + self.most);
    }

    /// When it is used up, if nothing more comes.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    /// Whether it is used up.
    pub(crate) fn is_used_up(&self) -> bool {
        self.until <= Instant::now()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: usize = 16 << 10;

    #[tokio::test(start_paused = true)]
    async fn what_comes_fast_enough_goes_on_and_what_came_before_does_not_last() {
        let mut credit = Credit::new(Duration::from_secs(2));
        for _ in 0..20 {
            advance(Duration::from_secs(1)).await;
            assert!(!credit.is_used_up());
            credit.earn(SECOND);
        }
        credit.earn(1_000 * SECOND);
        advance(Duration::from_millis(1_999)).await;
        assert!(!credit.is_used_up());
        advance(Duration::from_millis(1)).await;
        assert!(credit.is_used_up());
        credit.earn(SECOND / 2);
        assert_eq!(credit.until() - Instant::now(), Duration::from_millis(500), "it begins anew");
    }
}
