//! The steps before a run, ended where they hold a slot for longer than it is to be had.

use std::pin::pin;

use tokio_util::sync::CancellationToken;

use crate::attempt_context::AttemptContext;

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By itself.
    Own,
    /// It was told to stop, since the slot is not to be had for longer.
    Overdue,
}

/// What `work` comes to; `None`, and `work` is dropped, where it holds the slot for too long.
pub(crate) async fn within<T>(context: &impl AttemptContext, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = context.overdue() => None,
    }
}

/// The same for work that must not be dropped: it is told by `stop`, and its end is awaited.
pub(crate) async fn or_stopped<T>(
    context: &impl AttemptContext,
    stop: &CancellationToken,
    work: impl Future<Output = T>,
) -> (T, Ending) {
    let mut work = pin!(work);
    tokio::select! {
        done = &mut work => return (done, Ending::Own),
        () = context.overdue() => stop.cancel(),
    }
    (work.await, Ending::Overdue)
}
