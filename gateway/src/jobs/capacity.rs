//! Storage capacity of the ledger: new jobs are refused before its buckets are full, so that accepted jobs can
//! still be finished. A full bucket refuses every write, also the end of a job.

use std::{sync::Arc, time::Duration};

use jobs::Ledger;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::{error::ApiError, metrics::Metrics};

/// Between two checks; the last share of a bucket takes longer than this to fill.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// New jobs are refused when a bucket holds more than this share of its limit, in percent.
const FULL_PERCENT: u64 = 95;

/// The stores that all owners share, and whether an accepted job cannot be finished without it.
const STORES: [(&str, bool); 13] = [
    ("KV_jobs", true),
    ("KV_deliveries", true),
    ("KV_idempotency", false),
    ("OBJ_RESULTS", true),
    ("LOGS", false),
    ("INPUTS", false),
    ("KV_pushes", true),
    ("KV_commits", true),
    ("KV_heads", false),
    ("KV_secrets", false),
    ("KV_repos", false),
    ("KV_versions", false),
    ("KV_live", false),
];

/// The result of the last capacity check.
pub(crate) struct Capacity {
    pub(crate) ledger: Ledger,
    pub(crate) metrics: Arc<Metrics>,
    full_store: Mutex<Option<String>>,
}

impl Capacity {
    pub(crate) fn new(ledger: Ledger, metrics: Arc<Metrics>) -> Self {
        Self { ledger, metrics, full_store: Mutex::new(None) }
    }

    /// Which store is full; `None` when none is.
    pub(crate) fn full_store(&self) -> Option<String> {
        self.full_store.lock().clone()
    }

    /// Refuses new jobs while a store is full.
    pub(crate) fn check_capacity(&self) -> Result<(), ApiError> {
        match self.full_store() {
            None => Ok(()),
            Some(why) => Err(ApiError::Unavailable(anyhow::anyhow!(why))),
        }
    }

    async fn check_stores(&self) -> Option<String> {
        let mut full = None;
        for (name, is_needed) in STORES {
            // A store that is unavailable is reported by the code that writes to it.
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

/// Checks the capacity regularly until `stop`.
pub(crate) async fn monitor(capacity: Arc<Capacity>, stop: CancellationToken) {
    loop {
        let full_store = capacity.check_stores().await;
        if let Some(why) = &full_store {
            tracing::error!(why, "new jobs refused, store full");
        }
        *capacity.full_store.lock() = full_store;
        if stop.run_until_cancelled(tokio::time::sleep(CHECK_INTERVAL)).await.is_none() {
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
