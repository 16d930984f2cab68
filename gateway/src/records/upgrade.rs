//! Upgrades a ledger without signatures: open records are signed once, and then a mark is set after which
//! unsigned records do not count.
//!
//! The reconcile leader does it, once its index has caught up. Every step is idempotent: a record is signed
//! by compare-and-set, and `meta/records_signed` is create-only. Gateways are upgraded before workers, which
//! write back a field that they do not know.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use jiff::Timestamp;
use jobs::{
    Ledger,
    bucket::{BucketError, Entry, from_watch},
    streams,
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::index::Tables;
use crate::{crypto::record_verifier::SigningMark, error::ApiError, records::JobRecords};

/// The key in `meta`.
const META_KEY: &str = "records_signed";
/// Delay before a watch that ended is renewed.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The progress of one gateway.
#[derive(Debug, Default)]
pub(crate) struct Upgrade {
    /// The last sequence of the bucket of jobs, as read in an earlier round.
    end: Option<u64>,
    /// Whether open records were checked against the mark, once there was one.
    is_checked: bool,
}

impl Upgrade {
    /// One round; the upgrade is complete when the mark is set, and open records were checked against it
    /// once: the index may have accepted one just before.
    pub(crate) async fn round(&mut self, job_records: &JobRecords) -> Result<(), ApiError> {
        if job_records.verifier.mark().is_some() {
            if !self.is_checked {
                let open = job_records.index.run(Tables::open_jobs).await?;
                job_records.end_unverified_of(open.into_iter().map(|candidate| candidate.job)).await?;
                self.is_checked = true;
            }
            return Ok(());
        }
        let name = format!("KV_{}", streams::JOBS_BUCKET);
        let stream = job_records.ledger.js.get_stream(&name).await;
        let stream = stream.map_err(|error| ApiError::Unavailable(error.into()))?;
        let state = &stream.cached_info().state;
        let read = match job_records.index.run(|tables| tables.position(streams::JOBS_BUCKET)).await? {
            _ if state.messages == 0 => state.last_sequence,
            Some(position) => position.sequence,
            None => 0,
        };
        // The index must have read at least what was there in the first round.
        let end = *self.end.get_or_insert(state.last_sequence);
        if read < end || !job_records.sign_open_until(read).await? {
            return Ok(());
        }
        let mark = SigningMark { sequence: read, at: Timestamp::now() };
        let value = serde_json::to_value(mark).expect("a number and a time are JSON");
        // On a conflict another gateway did, and the watch will deliver it.
        if job_records.ledger.meta.try_write(META_KEY, &value, None).await?.is_some() {
            tracing::info!(sequence = mark.sequence, "record signing complete");
            job_records.verifier.set_mark(mark);
        }
        Ok(())
    }
}

impl JobRecords {
    /// Signs open records. Returns whether every record that was written after `read` is signed, as far as
    /// its job is indexed.
    async fn sign_open_until(&self, read: u64) -> Result<bool, ApiError> {
        let mut is_all = true;
        for candidate in self.index.run(Tables::open_jobs).await? {
            let Some(entry) = self.ledger.job(candidate.job).await? else { continue };
            if entry.value.signature.is_some() {
                continue;
            }
            let event = self.event_of(&entry.value).await?;
            let Some(now) = self.ledger.sign_open(candidate.job, event).await? else { continue };
            if now.value.signature.is_some() {
                self.note(&now).await;
            } else {
                // It ended meanwhile, and must be before the mark.
                is_all &= now.revision <= read;
            }
        }
        Ok(is_all)
    }
}

/// The mark, if there is one yet.
pub(crate) async fn mark(ledger: &Ledger) -> Result<Option<SigningMark>, BucketError> {
    Ok(ledger.meta.get(META_KEY).await?.and_then(|entry| read(&entry)))
}

/// A value that cannot be read is a newer gateway's, which means that there is a mark, at an unknown
/// position.
fn read(entry: &Entry<Value>) -> Option<SigningMark> {
    let mark = serde_json::from_value(entry.value.clone());
    Some(mark.unwrap_or(SigningMark { sequence: 0, at: Timestamp::UNIX_EPOCH }))
}

/// Watches for the mark of another gateway until `stop`.
pub(crate) async fn follow(job_records: Arc<JobRecords>, stop: CancellationToken) {
    let following = async {
        while job_records.verifier.mark().is_none() {
            if let Ok(mut news) = job_records.ledger.meta.watch(0).await {
                while let Some(Ok(entry)) = news.next().await {
                    if entry.key == META_KEY
                        && let Ok(Some(entry)) = from_watch::<Value>(&entry)
                        && let Some(mark) = read(&entry)
                    {
                        job_records.verifier.set_mark(mark);
                        return;
                    }
                }
            }
            tokio::time::sleep(RETRY_DELAY).await;
        }
    };
    stop.run_until_cancelled(following).await;
}
