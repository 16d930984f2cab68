//! The deadline of an operation on objects.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::ObjectError;

/// A deadline, and whether anybody still waits. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Deadline {
    until: Instant,
    whole: Duration,
    stopped: Arc<AtomicBool>,
}

impl Deadline {
    /// `whole` from now on, or until `stopped` says so.
    pub(crate) fn new(whole: Duration, stopped: Arc<AtomicBool>) -> Self {
        Self { until: Instant::now() + whole, whole, stopped }
    }

    /// `whole` from now on.
    pub(crate) fn of(whole: Duration) -> Self {
        Self::new(whole, Arc::default())
    }

    /// The flag that ends it early.
    pub(crate) fn stopped(&self) -> &AtomicBool {
        &self.stopped
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// The time is up, or nobody waits any more.
    pub(crate) fn check(&self) -> Result<(), ObjectError> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(ObjectError::Stopped);
        }
        if Instant::now() >= self.until { Err(ObjectError::TooSlow(self.whole)) } else { Ok(()) }
    }
}
