//! Retention of history: over a limit the oldest of an owner's finished jobs are deleted, with log and
//! result, and the oldest of the owner's deliveries.
//!
//! Every gateway does this, without a lock: two at once delete the same. The end of a job triggers it, so
//! that an owner is over the limit only briefly.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use jobs::{
    JobId, UserId,
    bucket::Entry,
    usage::{Kind, Resource},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    error::ApiError,
    index::{ChargedKey, DeliverySize, JobSize, Tables, caught_up::CaughtUp},
    usage::Budgets,
};

/// Interval between two passes over owners whose history grew: the reserve of every store is larger than what
/// workers can write in this time.
const PAUSE: Duration = Duration::from_secs(1);
/// Interval of a pass over all owners, for changes that this gateway missed.
const FULL_SCAN: Duration = Duration::from_secs(600);
/// Deletion goes this far below the limit, in percent, so that it does not run with each new job.
const BELOW_PERCENT: u64 = 5;
/// Deletions in one pass at most; then other owners have their turn.
const BATCH_SIZE: usize = 500;

/// The size of an owner's history, in bytes; running jobs count with the most that they may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) records: u64,
    pub(crate) logs: u64,
    pub(crate) results: u64,
    pub(crate) inputs: u64,
    pub(crate) deliveries: u64,
}

impl History {
    fn add(&mut self, size: &JobSize) {
        self.records += size.record;
        self.logs += size.log;
        self.results += size.result;
        self.inputs += size.input;
    }

    fn remove(&mut self, size: &JobSize) {
        self.records -= size.record;
        self.logs -= size.log;
        self.results -= size.result;
        self.inputs -= size.input;
    }

    pub(crate) fn of(self, resource: Resource) -> u64 {
        match resource {
            Resource::Records => self.records,
            Resource::Logs => self.logs,
            Resource::Results => self.results,
            Resource::Inputs => self.inputs,
            Resource::Deliveries => self.deliveries,
            Resource::Queued | Resource::Repos | Resource::Tokens | Resource::Secrets | Resource::Refs => 0,
        }
    }
}

/// What became of an entry that was to go.
enum Removal {
    Removed,
    /// Somebody else removed it, or its age did.
    WasGone,
    /// It is still needed, or was written meanwhile.
    Stays,
}

/// The jobs that go so that what is left takes up no more than `limits`, oldest first. Nothing goes of one
/// that is within them.
fn jobs_over_limit(sizes: &[JobSize], limits: &History) -> Vec<JobId> {
    let mut sum = History::default();
    sizes.iter().for_each(|size| sum.add(size));
    let is_over = |sum: &History, percent: u64| {
        let over = |used: u64, limit: u64| used > limit / 100 * percent;
        over(sum.records, limits.records)
            || over(sum.logs, limits.logs)
            || over(sum.results, limits.results)
            || over(sum.inputs, limits.inputs)
    };
    if !is_over(&sum, 100) {
        return Vec::new();
    }
    let mut deleted = Vec::new();
    for size in sizes.iter().filter(|size| size.is_final) {
        if !is_over(&sum, 100 - BELOW_PERCENT) {
            break;
        }
        sum.remove(size);
        deleted.push(size.job);
    }
    deleted
}

impl Budgets {
    /// The size of an owner's history, counted now.
    pub(crate) async fn history_usage(&self, owner: UserId) -> Result<History, ApiError> {
        let mut sum = History::default();
        let sizes = move |tables: &Tables| Ok((tables.job_sizes(owner)?, tables.delivery_sizes(owner)?));
        let (jobs, sizes) = self.index.run(sizes).await?;
        jobs.iter().for_each(|size| sum.add(size));
        let now = Timestamp::now();
        sum.deliveries = sizes.iter().filter(|size| !size.is_expired(now)).map(|size| size.bytes).sum();
        Ok(sum)
    }

    /// The limit of an owner, from the mirror of users.
    pub(crate) fn limit_of(&self, owner: UserId, resource: Resource) -> u64 {
        let overrides = self.users.get(&owner.to_string()).map(|user| user.value.limits).unwrap_or_default();
        self.settings.limit(resource, &overrides)
    }

    /// Deletes what an owner has over the limits. Returns how many jobs and deliveries were deleted.
    pub(crate) async fn apply_retention(&self, owner: UserId) -> Result<(usize, usize), ApiError> {
        let limit = |resource| self.limit_of(owner, resource);
        let limits = History {
            records: limit(Resource::Records),
            logs: limit(Resource::Logs),
            results: limit(Resource::Results),
            inputs: limit(Resource::Inputs),
            deliveries: limit(Resource::Deliveries),
        };
        let mut jobs = 0;
        let sizes = self.index.run(move |tables| tables.job_sizes(owner)).await?;
        for id in jobs_over_limit(&sizes, &limits).into_iter().take(BATCH_SIZE) {
            match self.ledger.job(id).await? {
                Some(entry) if entry.value.spec.owner == owner => {
                    jobs += usize::from(self.delete_job(&entry).await?);
                }
                // The record was rewritten with another owner: it is left alone.
                Some(_) => {}
                None => self.index.run(move |tables| tables.forget_job(id)).await?,
            }
        }
        let deliveries = self.delete_old_deliveries(owner, limits.deliveries).await?;
        if jobs + deliveries > 0 {
            tracing::info!(%owner, jobs, deliveries, "old history deleted");
            self.metrics.history_deleted(jobs, deliveries);
        }
        if jobs == BATCH_SIZE || deliveries == BATCH_SIZE {
            self.index.changed.note(owner);
        }
        Ok((jobs, deliveries))
    }

    async fn delete_old_deliveries(&self, owner: UserId, limit: u64) -> Result<usize, ApiError> {
        let now = Timestamp::now();
        let sizes = move |tables: &Tables| {
            let (expired, sizes): (Vec<_>, Vec<_>) =
                tables.delivery_sizes(owner)?.into_iter().partition(|size| size.is_expired(now));
            tables.forget_charged(&expired.into_iter().map(|size| size.key).collect::<Vec<_>>())?;
            Ok(sizes)
        };
        let sizes: Vec<DeliverySize> = self.index.run(sizes).await?;
        let mut sum: u64 = sizes.iter().map(|size| size.bytes).sum();
        if sum <= limit {
            return Ok(0);
        }
        // Deliveries that await approval are deleted last.
        let (over, waiting): (Vec<_>, Vec<_>) = sizes.into_iter().partition(|size| size.is_final);
        let mut deleted = 0;
        for size in over.into_iter().chain(waiting).take(BATCH_SIZE) {
            if sum <= limit / 100 * (100 - BELOW_PERCENT) {
                break;
            }
            sum -= size.bytes;
            match self.remove_charged(&size.key).await? {
                Removal::Removed => deleted += 1,
                Removal::WasGone => {}
                Removal::Stays => continue,
            }
            self.index.run(move |tables| tables.forget_charged(&[size.key])).await?;
        }
        Ok(deleted)
    }

    /// Removes a delivery or an idempotency key, unless it is still needed or was just written.
    async fn remove_charged(&self, charged: &ChargedKey) -> Result<Removal, ApiError> {
        let removed = match charged {
            ChargedKey::Delivery(key) => {
                let bucket = &self.ledger.deliveries;
                let Some(entry) = bucket.get(key).await? else { return Ok(Removal::WasGone) };
                if entry.key.len() == 64 && entry.value.verdict.is_none() {
                    return Ok(Removal::Stays);
                }
                bucket.delete(key, entry.revision).await
            }
            ChargedKey::IdempotencyKey(key) => {
                let bucket = &self.ledger.idempotency;
                let Some(entry) = bucket.get(key).await? else { return Ok(Removal::WasGone) };
                bucket.delete(key, entry.revision).await
            }
        };
        match removed {
            Ok(()) => Ok(Removal::Removed),
            Err(error) if error.is_conflict() => Ok(Removal::Stays),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a job that is over with all that is kept of it. One that is not over stays.
    pub(crate) async fn delete_job(&self, entry: &Entry<jobs::Job>) -> Result<bool, ApiError> {
        let is_gone = self.ledger.forget(entry).await?;
        if is_gone {
            let id = entry.value.spec.id;
            self.index.run(move |tables| tables.forget_job(id)).await?;
            self.release_job(&entry.value.spec);
        }
        Ok(is_gone)
    }
}

impl Budgets {
    /// Logs owners over a limit that was lowered: nothing of theirs is deleted, and nothing more is accepted.
    async fn log_owners_over_limit(&self) {
        for owner in self.users.find(|_| true).iter().map(|user| user.value.id) {
            for of in Resource::ALL.into_iter().filter(|of| of.kind() == Kind::Kept) {
                let (used, limit) = (self.used_by(owner, of).await.unwrap_or(0), self.limit_of(owner, of));
                if used > limit {
                    tracing::warn!(%owner, resource = %of, used, limit, "owner over limit");
                }
            }
        }
    }
}

/// Applies retention until `stop`.
pub(crate) async fn run_retention(budgets: Arc<Budgets>, caught_up: CaughtUp, stop: CancellationToken) {
    let mut full_scan_at = Instant::now();
    let turns = async {
        loop {
            let _ = tokio::time::timeout_at(full_scan_at, budgets.index.changed.notify.notified()).await;
            // Changes within this pause share one pass.
            tokio::time::sleep(PAUSE).await;
            if !caught_up.is_complete() {
                full_scan_at = Instant::now() + PAUSE;
                continue;
            }
            let mut owners = budgets.index.changed.take();
            if Instant::now() >= full_scan_at {
                owners.extend(budgets.index.run(Tables::owners).await.unwrap_or_default());
                budgets.log_owners_over_limit().await;
                full_scan_at = Instant::now() + FULL_SCAN;
            }
            for owner in owners {
                if let Err(error) = budgets.apply_retention(owner).await {
                    let error: anyhow::Error = error.into();
                    tracing::warn!(%owner, error = format!("{error:#}"), "retention failed");
                    budgets.index.changed.note(owner);
                }
            }
        }
    };
    stop.run_until_cancelled(turns).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(is_final: bool, record: u64, log: u64, result: u64) -> JobSize {
        JobSize { job: JobId::new(), is_final, record, log, result, input: 0 }
    }

    const LIMITS: History = History { records: 1000, logs: 1000, results: 1000, inputs: 1000, deliveries: 0 };

    #[test]
    fn what_is_within_the_limits_stays() {
        assert!(jobs_over_limit(&[job(true, 500, 1000, 0), job(true, 500, 0, 1000)], &LIMITS).is_empty());
    }

    #[test]
    fn the_oldest_that_are_over_go_until_there_is_a_little_room() {
        let sizes =
            [job(false, 10, 600, 0), job(true, 10, 200, 0), job(true, 10, 100, 0), job(true, 10, 101, 0)];
        assert_eq!(jobs_over_limit(&sizes, &LIMITS), [sizes[1].job]);
        let sizes = [job(true, 10, 10, 900), job(true, 900, 10, 90), job(true, 10, 10, 11)];
        assert_eq!(jobs_over_limit(&sizes, &LIMITS), [sizes[0].job]);
    }

    #[test]
    fn inputs_are_history_too() {
        let sizes = [200, 400, 500].map(|input| JobSize { input, ..job(true, 1, 1, 1) });
        assert_eq!(jobs_over_limit(&sizes, &LIMITS), [sizes[0].job]);
    }

    #[test]
    fn jobs_that_run_keep_their_headroom_and_all_others_go() {
        let sizes = [job(false, 10, 2000, 0), job(true, 10, 1, 0), job(true, 10, 1, 0)];
        assert_eq!(jobs_over_limit(&sizes, &LIMITS).len(), 2);
    }
}
