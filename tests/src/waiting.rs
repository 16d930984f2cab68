//! Waits for events, never for a time: each wait has a time limit, and prints the state when it is over.

use std::{fmt::Debug, time::Duration};

/// A program starts, with its containers, on two slow cores.
pub const START: Duration = Duration::from_secs(60);
/// A job ends, on a machine that compiles beside it.
pub const JOB: Duration = Duration::from_secs(90);
/// A job is taken over and ends: the lease's 20 s, the reconciler's look, and the job itself.
pub const TAKEOVER: Duration = Duration::from_secs(120);
/// The forge hears of a state.
pub const STATUS: Duration = Duration::from_secs(60);
/// A container is removed: of a worker that was killed by another one's next round, every 30 s.
pub const REMOVAL: Duration = Duration::from_secs(75);
/// A program that was told to stop has stopped.
pub const STOP: Duration = Duration::from_secs(40);
/// Before a server that did not answer is asked again: nothing tells when it is back.
pub const ASK_AGAIN: Duration = Duration::from_millis(100);

/// The value of `event`, or a panic that says what was waited for and in which state.
pub async fn within<T, S: Debug>(
    time: Duration,
    what: &str,
    event: impl Future<Output = T>,
    state: impl AsyncFnOnce() -> S,
) -> T {
    match tokio::time::timeout(time, event).await {
        Ok(value) => value,
        Err(_) => panic!("waited {} s for {what}; it stands so: {:#?}", time.as_secs(), state().await),
    }
}
