//! Waits for the end of a job.

use std::time::Duration;

use jobs::{Job, bucket::Entry};
use tokio_util::sync::CancellationToken;

use crate::{error::ApiError, jobs::Jobs};

/// The record is read again after this long without news, in case one got lost.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

impl Jobs {
    /// The record once it is final, or as it is when `wait` is over or the gateway stops.
    pub(crate) async fn ended(
        &self,
        mut entry: Entry<Job>,
        wait: Duration,
        stop: &CancellationToken,
    ) -> Result<Entry<Job>, ApiError> {
        let id = entry.value.spec.id;
        let mut news = self.index.follow(id);
        let deadline = tokio::time::Instant::now() + wait;
        while let Some(now) = self.job_records.record(id).await? {
            entry = now;
            if entry.value.status.state.is_final() {
                break;
            }
            tokio::select! {
                _ = news.changed() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = tokio::time::sleep_until(deadline) => break,
                () = stop.cancelled() => break,
            }
        }
        Ok(entry)
    }
}
