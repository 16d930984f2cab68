//! Limits the steps before a run to the time for which the slot is reserved.

use std::pin::pin;

use tokio_util::sync::CancellationToken;

use crate::attempt_context::AttemptContext;

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepEnd {
    /// By itself.
    Completed,
    /// It was told to stop, since the slot is reserved for no longer.
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
) -> (T, StepEnd) {
    let mut work = pin!(work);
    tokio::select! {
        done = &mut work => return (done, StepEnd::Completed),
        () = context.overdue() => stop.cancel(),
    }
    (work.await, StepEnd::Overdue)
}
