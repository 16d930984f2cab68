//! The steps before a run, ended where they hold a slot for longer than it is to be had.

use std::pin::pin;

use tokio_util::sync::CancellationToken;

use crate::order::Outside;

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By itself.
    Own,
    /// It was told to stop, since the slot is not to be had for longer.
    Overdue,
}

/// What `work` comes to; `None`, and `work` is dropped, where it holds the slot for too long.
pub(crate) async fn within<T>(outside: &impl Outside, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = outside.overdue() => None,
    }
}

/// The same for work that must not be dropped: it is told by `stop`, and its end is awaited.
pub(crate) async fn or_stopped<T>(
    outside: &impl Outside,
    stop: &CancellationToken,
    work: impl Future<Output = T>,
) -> (T, Ending) {
    let mut work = pin!(work);
    tokio::select! {
        done = &mut work => return (done, Ending::Own),
        () = outside.overdue() => stop.cancel(),
    }
    (work.await, Ending::Overdue)
}
