//! Sweeping: marks of deletion go once everybody has seen them, and rows of the index whose mark this gateway
//! never saw. One gateway at a time purges, under the lock `marks`.

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

/// Between two sweeps.
const EVERY: Duration = Duration::from_secs(3600);
/// Before the first: an outage is over then, and whoever follows is up to date.
const FIRST: Duration = Duration::from_secs(120);
/// A mark is kept for so long, for gateways that were away meanwhile. By the server's time and this gateway's
/// clock: a difference only moves the time a little.
pub(crate) const MARK_LIFE: SignedDuration = SignedDuration::from_hours(1);

/// Sweeps until `stop`.
pub(crate) async fn sweep(budgets: Arc<Budgets>, stop: CancellationToken) {
    let mut lock = Lock::new(budgets.ledger.locks.clone(), "marks");
    let mut next = Instant::now() + FIRST;
    while stop.run_until_cancelled(tokio::time::sleep(HEARTBEAT)).await.is_some() {
        if Instant::now() < next {
            continue;
        }
        let turn = async {
            budgets.drop_rows_of_gone_jobs().await?;
            if !lock.is_ours().await? {
                return Ok(());
            }
            let purged = budgets.purge_marks(MARK_LIFE).await;
            lock.give_up().await;
            if purged? > 0 {
                tracing::debug!("marks of deletion were purged");
            }
            Ok::<_, ApiError>(())
        };
        if let Some(Err(error)) = stop.run_until_cancelled(turn).await {
            let error: anyhow::Error = error.into();
            tracing::warn!(error = format!("{error:#}"), "a sweep broke off");
        }
        next = Instant::now() + EVERY;
    }
}

impl Budgets {
    /// Purges marks of deletion that are older than `life` in every bucket that keeps them. Tells how many.
    pub(crate) async fn purge_marks(&self, life: SignedDuration) -> Result<usize, ApiError> {
        let before = Timestamp::now() - life;
        let ledger = &self.ledger;
        let mut purged = purge(&ledger.repos, before).await?;
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

    /// Drops from the index what is not in the ledger any more.
    pub(crate) async fn drop_rows_of_gone_jobs(&self) -> Result<(), ApiError> {
        let Some(before) = self.index.position(jobs::streams::JOBS_BUCKET)? else { return Ok(()) };
        let there = self.ledger.jobs.subjects().await?;
        let there: HashSet<JobId> = there.iter().filter_map(|key| key.parse().ok()).collect();
        let gone = self.index.retain_jobs(&there, before.sequence)?;
        if gone > 0 {
            tracing::info!(gone, "jobs that are gone left the index");
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
