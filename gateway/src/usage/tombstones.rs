//! Sweeps: purges tombstones once every gateway has seen them, and removes index rows whose tombstone this
//! gateway missed, and inputs without a job. One gateway at a time purges, under the lock `marks`.

use std::{collections::HashSet, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use jobs::{
    JobId,
    bucket::{Bucket, BucketError},
    lease::HEARTBEAT,
    lock::Lock,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{error::ApiError, usage::Budgets};

/// Interval between two sweeps.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);
/// Delay of the first sweep: after an outage all gateways are up to date by then.
const FIRST_SWEEP: Duration = Duration::from_secs(120);
/// How long tombstones are kept, for gateways that were disconnected meanwhile. By the server's time and this
/// gateway's clock: a difference only shifts it a little.
pub(crate) const TOMBSTONE_TTL: SignedDuration = SignedDuration::from_hours(1);

/// An input without a record this long after it was stored never gets one: many times the longest request.
const STRAY_INPUT_LIFE: SignedDuration = SignedDuration::from_hours(1);

/// Sweeps until `stop`.
pub(crate) async fn run_sweep(budgets: Arc<Budgets>, stop: CancellationToken) {
    let mut lock = Lock::new(budgets.ledger.locks.clone(), "marks");
    let mut next = Instant::now() + FIRST_SWEEP;
    while stop.run_until_cancelled(tokio::time::sleep(HEARTBEAT)).await.is_some() {
        if Instant::now() < next {
            continue;
        }
        let turn = async {
            budgets.remove_stale_job_rows().await?;
            if !lock.is_ours().await? {
                return Ok(());
            }
            let purged = budgets.purge_tombstones(TOMBSTONE_TTL).await;
            let strays = budgets.remove_stray_inputs(STRAY_INPUT_LIFE).await;
            lock.give_up().await;
            if purged? > 0 {
                tracing::debug!("tombstones purged");
            }
            let strays = strays?;
            if strays > 0 {
                tracing::info!(strays, "inputs without a job removed");
            }
            Ok::<_, ApiError>(())
        };
        if let Some(Err(error)) = stop.run_until_cancelled(turn).await {
            let error: anyhow::Error = error.into();
            tracing::warn!(error = format!("{error:#}"), "sweep failed");
        }
        next = Instant::now() + SWEEP_INTERVAL;
    }
}

impl Budgets {
    /// Purges tombstones that are older than `life` in every bucket that keeps them. Returns how many.
    pub(crate) async fn purge_tombstones(&self, life: SignedDuration) -> Result<usize, ApiError> {
        let before = Timestamp::now() - life;
        let ledger = &self.ledger;
        let mut purged = purge(&ledger.repos, before).await?;
        purged += purge(&ledger.names.bucket, before).await?;
        purged += purge(&ledger.accounts.users, before).await?;
        purged += purge(&ledger.accounts.identities, before).await?;
        purged += purge(&ledger.accounts.tokens, before).await?;
        purged += purge(&self.secrets, before).await?;
        purged += purge(&ledger.heads, before).await?;
        purged += purge(&ledger.pushes, before).await?;
        purged += purge(&ledger.commits, before).await?;
        purged += purge(&ledger.deliveries, before).await?;
        purged += purge(&ledger.idempotency, before).await?;
        purged += purge(&ledger.jobs, before).await?;
        purged += purge(&ledger.locks, before).await?;
        Ok(purged)
    }

    /// Removes index rows of jobs that are not in the ledger any more.
    pub(crate) async fn remove_stale_job_rows(&self) -> Result<(), ApiError> {
        let Some(before) = self.index.run(|tables| tables.position(jobs::streams::JOBS_BUCKET)).await? else {
            return Ok(());
        };
        let there = self.ledger.jobs.subjects().await?;
        let there: HashSet<JobId> = there.iter().filter_map(|key| key.parse().ok()).collect();
        let gone = self.index.run(move |tables| tables.retain_jobs(&there, before.sequence)).await?;
        if gone > 0 {
            tracing::info!(gone, "stale job rows removed");
        }
        Ok(())
    }
}

async fn purge<T: Serialize + DeserializeOwned>(
    bucket: &Bucket<T>,
    before: Timestamp,
) -> Result<usize, BucketError> {
    let mut purged = 0;
    for mark in bucket.tombstones().await? {
        if mark.deleted_at < before {
            bucket.purge_tombstone(&mark).await?;
            purged += 1;
        }
    }
    Ok(purged)
}
