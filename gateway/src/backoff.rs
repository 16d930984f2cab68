//! Exponential back-off of everything that the gateway retries.

use std::time::Duration;

/// The delay after so many failures in a row: `first` after one, then doubling up to `max`.
pub(crate) fn delay(first: Duration, failures: u32, max: Duration) -> Duration {
    let doublings = failures.clamp(1, 17) - 1;
    first.saturating_mul(1 << doublings).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_its_maximum() {
        let delays = [0, 1, 2, 3, 4, u32::MAX]
            .map(|failures| delay(Duration::from_secs(60), failures, Duration::from_secs(300)).as_secs());
        assert_eq!(delays, [60, 60, 120, 240, 300, 300]);
    }
}
