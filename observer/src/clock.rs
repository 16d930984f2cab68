//! The NATS server's time, as far as this process knows it.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// The newest point in time that the server told, carried on by this process's own monotonic
/// clock, because no decision compares two machines' clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerClock {
    told: Timestamp,
    at: Instant,
}

impl ServerClock {
    /// Begins with a time that the server has just told.
    pub(crate) fn new(told: Timestamp) -> Self {
        Self { told, at: Instant::now() }
    }

    /// Takes over a time that is later than the one known; an old record's is not.
    pub(crate) fn hear(&mut self, told: Timestamp) {
        if told > self.now() {
            *self = Self::new(told);
        }
    }

    /// The server's time now.
    pub(crate) fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.at.elapsed()).unwrap_or(SignedDuration::ZERO);
        self.told.saturating_add(elapsed).unwrap_or(self.told)
    }
}
