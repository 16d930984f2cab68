//! Whether the index has read what was in the streams at start-up.

use tokio::sync::watch;

/// Reports when lists are complete.
#[derive(Debug, Clone)]
pub(crate) struct CaughtUp {
    jobs: watch::Receiver<bool>,
    deliveries: watch::Receiver<bool>,
}

/// The sending side: each follower reports here.
#[derive(Debug)]
pub(crate) struct CatchingUp {
    pub(crate) jobs: watch::Sender<bool>,
    pub(crate) deliveries: watch::Sender<bool>,
}

impl CaughtUp {
    /// A pair of which nothing is read yet.
    pub(crate) fn begin() -> (Self, CatchingUp) {
        let ((jobs_read, jobs), (deliveries_read, deliveries)) =
            (watch::channel(false), watch::channel(false));
        (Self { jobs, deliveries }, CatchingUp { jobs: jobs_read, deliveries: deliveries_read })
    }

    /// Whether lists are complete.
    pub(crate) fn is_complete(&self) -> bool {
        *self.jobs.borrow() && *self.deliveries.borrow()
    }

    /// Waits until they are, or the followers have ended.
    pub(crate) async fn completed(&mut self) {
        let _ = self.jobs.wait_for(|read| *read).await;
        let _ = self.deliveries.wait_for(|read| *read).await;
    }
}
