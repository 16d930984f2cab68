//! Whether the ledger has room: nothing new is taken before its buckets are full, so that what was
//! taken can still be ended. A full bucket refuses every write, the end of a job too.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jobs::Ledger;
use tokio_util::sync::CancellationToken;

use crate::{error::ApiError, metrics::Metrics};

/// Between two looks; the last share of a bucket takes longer than this to fill.
const EVERY: Duration = Duration::from_secs(5);
/// Nothing new is taken when a bucket holds more than this share of its limit, in percent.
const FULL_PERCENT: u64 = 95;

/// What owners share, and whether a job that was taken cannot be ended without it.
const STORES: [(&str, bool); 10] = [
    ("KV_jobs", true),
    ("KV_deliveries", true),
    ("KV_idempotency", false),
    ("OBJ_RESULTS", true),
    ("LOGS", false),
    ("KV_pushes", true),
    ("KV_commits", true),
    ("KV_heads", false),
    ("KV_secrets", false),
    ("KV_repos", false),
];

/// What was seen last.
pub(crate) struct Capacity {
    pub(crate) ledger: Ledger,
    pub(crate) metrics: Arc<Metrics>,
    lacking: Mutex<Option<String>>,
}

impl Capacity {
    pub(crate) fn new(ledger: Ledger, metrics: Arc<Metrics>) -> Self {
        Self { ledger, metrics, lacking: Mutex::new(None) }
    }

    /// Why there is no room; `None` when there is.
    pub(crate) fn lacking(&self) -> Option<String> {
        self.lacking.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Capacity {
    /// Refuses what is new while there is no room for its end.
    pub(crate) fn check_room(&self) -> Result<(), ApiError> {
        match self.lacking() {
            None => Ok(()),
            Some(why) => Err(ApiError::Unavailable(anyhow::anyhow!(why))),
        }
    }

    async fn full_stream(&self) -> Option<String> {
        let mut full = None;
        for (name, is_needed) in STORES {
            // Who cannot be asked is the business of whoever writes to it.
            let Ok(stream) = self.ledger.js.get_stream(name).await else { continue };
            let info = stream.cached_info();
            self.metrics.store(name, info.state.bytes, info.config.max_bytes);
            if is_needed && is_full(info.state.bytes, info.config.max_bytes) {
                full = Some(format!("the stream {name} is full"));
            }
        }
        full
    }
}

/// A limit of -1 is none.
fn is_full(bytes: u64, max_bytes: i64) -> bool {
    u64::try_from(max_bytes).is_ok_and(|limit| limit > 0 && bytes >= limit / 100 * FULL_PERCENT)
}

/// Looks until `stop`.
pub(crate) async fn look(capacity: Arc<Capacity>, stop: CancellationToken) {
    loop {
        let lacking = capacity.full_stream().await;
        if let Some(why) = &lacking {
            tracing::error!(why, "nothing new is taken");
        }
        *capacity.lacking.lock().unwrap_or_else(PoisonError::into_inner) = lacking;
        if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    #[test_case(94, 100 => false)]
    #[test_case(95, 100 => true)]
    #[test_case(u64::MAX, -1 => false ; "no limit")]
    fn is_full(bytes: u64, max_bytes: i64) -> bool {
        super::is_full(bytes, max_bytes)
    }
}
