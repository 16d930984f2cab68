//! Measured times and their statistics.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;

/// Times of one thing, sorted.
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self(times)
    }

    /// The time that this share of all is not above, in milliseconds.
    pub(crate) fn percentile_ms(&self, share: f64) -> f64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index into the list")]
        let at = ((self.0.len() - 1) as f64 * share).round() as usize;
        self.0[at].as_secs_f64() * 1000.0
    }

    pub(crate) fn median_ms(&self) -> f64 {
        self.percentile_ms(0.5)
    }

    pub(crate) fn into_vec(self) -> Vec<Duration> {
        self.0
    }
}

/// Does something `count` times, `at_once` of them at a time: each time, and how many a second.
pub(crate) async fn times<F: Future<Output = ()>>(
    count: usize,
    at_once: usize,
    act: impl Fn(usize) -> F,
) -> (Times, f64) {
    let begun = Instant::now();
    let one = |index| {
        let acting = act(index);
        async move {
            let begun = Instant::now();
            acting.await;
            begun.elapsed()
        }
    };
    let times: Vec<Duration> =
        futures_util::stream::iter((0..count).map(one)).buffer_unordered(at_once).collect().await;
    (Times::new(times), count as f64 / begun.elapsed().as_secs_f64())
}
