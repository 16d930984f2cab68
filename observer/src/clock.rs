//! The NATS server's time, as far as this process knows it.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// The newest timestamp from the server, advanced by this process's own monotonic clock: no decision compares
/// the clocks of two machines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerClock {
    server_time: Timestamp,
    at: Instant,
}

impl ServerClock {
    /// Starts at a timestamp that the server has just sent.
    pub(crate) fn new(server_time: Timestamp) -> Self {
        Self { server_time, at: Instant::now() }
    }

    /// Takes over a timestamp that is later than the known one; that of an old record is not.
    pub(crate) fn advance(&mut self, server_time: Timestamp) {
        if server_time > self.now() {
            *self = Self::new(server_time);
        }
    }

    /// The server's time now.
    pub(crate) fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.at.elapsed()).unwrap_or(SignedDuration::ZERO);
        self.server_time.saturating_add(elapsed).unwrap_or(self.server_time)
    }
}
