//! Posts commit statuses and check runs: consumes what STATUSES says may be out of date, and posts
//! what the newest job's record says.
//!
//! The entry in `commits` is claimed by compare-and-set, so two posters do not race; the record is read
//! after claiming, so what the forge shows in the end is what the record says.

mod annotations;
mod approval;
mod consume;
mod log;
mod post;
mod render;
mod text;
mod throttle;

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_nats::jetstream::{AckKind, message::Acker};
use hooks::{address::Allow, checks::CheckClient, status::StatusClient};
use jobs::{
    ClaimedStatus, CommitStatus, Job, JobId, Ledger, State,
    bucket::{BucketError, Entry},
};

use parking_lot::Mutex;

use crate::{grants::Grants, metrics::Metrics};
use log::LogView;
use post::PostAttempt;
use throttle::Throttle;

/// Of the statuses posted at once, how many may be of states that are not final.
const NON_FINAL_AT_ONCE: usize = 4;
/// An entry that is claimed and was not changed for this long is claimed anew.
const CLAIM_EXPIRES_AFTER: Duration = Duration::from_secs(30);
/// How often an entry that another poster has claimed is read.
const CLAIM_POLL_EVERY: Duration = Duration::from_secs(2);
/// How often a message in hand is acknowledged as in progress; after 30 s another worker would get it.
const IN_PROGRESS_EVERY: Duration = Duration::from_secs(10);
/// The first wait after a failure of the forge or of ours; doubled each time.
const FIRST_RETRY: Duration = Duration::from_secs(2);
/// The longest wait: a forge that is away for an hour is looked for every five minutes.
const LAST_RETRY: Duration = Duration::from_secs(300);
/// Posts statuses until it is stopped.
#[derive(Debug, Clone)]
pub struct Reporter {
    ledger: Ledger,
    grants: Grants,
    statuses: StatusClient,
    checks: CheckClient,
    throttle: Arc<Throttle>,
    /// By commit key, the digest of a token that the forge did not take; sent with the next request for a
    /// grant.
    stale_tokens: Arc<Mutex<HashMap<String, String>>>,
    /// By commit key, how often in a row the forge or we failed. NATS counts deliveries, among them those
    /// after a wait that was asked for, which is no failure.
    failures: Arc<Mutex<HashMap<String, u32>>>,
    /// By commit key, which attempt was first seen to run here, and when.
    running_since: Arc<Mutex<HashMap<String, RunningSince>>>,
    /// Bounds requests about states that are not final.
    non_final: Arc<tokio::sync::Semaphore>,
    /// Workers that are present.
    workers: Arc<AtomicUsize>,
    metrics: Metrics,
}

/// No clocks are compared: it counts from when this poster saw it.
#[derive(Debug, Clone, Copy)]
struct RunningSince {
    job: JobId,
    attempt: u32,
    since: Instant,
}

/// When a status is to be posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// The forge knows already, or never will.
    Never,
    After(Duration),
    Now,
}

/// What to do with a message of STATUSES.
#[derive(Debug)]
enum MessageAction {
    /// The forge knows, or never will.
    Ack,
    /// It is to be delivered again after this; without a time, after a back-off.
    Redeliver(Option<Duration>),
}

impl Reporter {
    /// Posts to public addresses and what `allow` adds.
    ///
    /// # Errors
    /// The certificates cannot be read.
    pub fn new(
        ledger: Ledger,
        grants: Grants,
        allow: &Allow,
        ca_bundle: Option<&Path>,
        metrics: Metrics,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            ledger,
            grants,
            statuses: StatusClient::new(allow, ca_bundle)?,
            checks: CheckClient::new(allow, ca_bundle)?,
            throttle: Arc::default(),
            stale_tokens: Arc::default(),
            failures: Arc::default(),
            running_since: Arc::default(),
            non_final: Arc::new(tokio::sync::Semaphore::new(NON_FINAL_AT_ONCE)),
            workers: Arc::new(AtomicUsize::new(1)),
            metrics,
        })
    }

    /// Workers that are present.
    fn workers(&self) -> usize {
        self.workers.load(Ordering::Relaxed)
    }

    /// Counts a failure; returns how many there were in a row.
    fn count_failure(&self, key: String) -> u32 {
        let mut failures = self.failures.lock();
        let count = failures.entry(key).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// Posts what the entry under `key` is behind with, and keeps the message meanwhile.
    async fn handle(&self, key: &str, message: &Acker) -> MessageAction {
        let keeping = async {
            loop {
                tokio::time::sleep(IN_PROGRESS_EVERY).await;
                let _ = message.ack_with(AckKind::Progress).await;
            }
        };
        let posted = tokio::select! {
            posted = self.sync(key) => posted,
            never = keeping => never,
        };
        posted.unwrap_or_else(|error| {
            tracing::warn!(commit = key, error = format!("{error:#}"), "status delayed");
            MessageAction::Redeliver(None)
        })
    }

    /// Posts until record and forge agree.
    async fn sync(&self, key: &str) -> anyhow::Result<MessageAction> {
        let mut seen: Option<(u64, Instant)> = None;
        let mut log: Option<(JobId, LogView)> = None;
        loop {
            let Some(entry) = self.ledger.commits.get(key).await? else { return Ok(MessageAction::Ack) };
            if entry.value.is_claimed() {
                let (revision, since) = *seen.get_or_insert((entry.revision, Instant::now()));
                if revision != entry.revision {
                    seen = None;
                    continue;
                }
                if since.elapsed() < CLAIM_EXPIRES_AFTER {
                    tokio::time::sleep(CLAIM_POLL_EVERY).await;
                    continue;
                }
            } else {
                match self.due(key, &entry.value).await? {
                    Due::Never => return Ok(MessageAction::Ack),
                    Due::After(wait) => return Ok(MessageAction::Redeliver(Some(wait))),
                    Due::Now => {}
                }
            }
            let Some(claimed) = self.claim(&entry).await? else { continue };
            let since = Instant::now();
            if let Some(delivery) = claimed.delivery() {
                let PostAttempt { next, action } = self.post_delivery(key, &claimed, delivery, since).await;
                self.release(key, &next).await?;
                // A job may have taken the commit over meanwhile.
                match self.ledger.commits.get(key).await? {
                    Some(now) if now.value.delivery().is_none() => continue,
                    Some(_) | None => return Ok(action.unwrap_or(MessageAction::Ack)),
                }
            }
            // Read after claiming: what is posted is never older than what another posted before.
            let attempt = match self.ledger.job(claimed.job()).await? {
                Some(job) if !is_in_sync(&claimed, &job) => {
                    let attempt = self.post_job(key, &claimed, &job, &mut log, since).await;
                    Some((attempt, job))
                }
                Some(_) | None => None,
            };
            match attempt {
                Some((PostAttempt { next, action }, job)) => {
                    let released = self.release(key, &next).await?;
                    let was_posted = next.last_posted().is_some_and(|posted| posted.revision == job.revision);
                    // That a job runs is posted late on purpose.
                    let is_on_time = was_posted && job.value.status.state != State::Working;
                    if let Some(released) = released.filter(|_| is_on_time) {
                        let delay = released.written_at.duration_since(job.written_at);
                        self.metrics.status_delay(delay.try_into().unwrap_or_default());
                    }
                    if let Some(action) = action {
                        return Ok(action);
                    }
                }
                None => {
                    self.release(key, &claimed).await?;
                }
            }
        }
    }

    /// When the entry's status is to be posted. A record that changes after this look sends a message of its
    /// own.
    async fn due(&self, key: &str, commit: &CommitStatus) -> anyhow::Result<Due> {
        // What is to be posted of a delivery only a gateway knows.
        if commit.delivery().is_some() {
            return Ok(Due::Now);
        }
        let Some(job) = self.ledger.job(commit.job()).await? else { return Ok(Due::Never) };
        if is_in_sync(commit, &job) {
            return Ok(Due::Never);
        }
        let posted = commit.last_posted().filter(|posted| posted.job == job.value.spec.id);
        let (State::Working, Some(posted)) = (job.value.status.state, posted) else { return Ok(Due::Now) };
        // It was posted as queued, and runs: that is posted after a while.
        let now = Instant::now();
        let fresh = RunningSince { job: job.value.spec.id, attempt: job.value.status.attempt, since: now };
        let mut all = self.running_since.lock();
        let seen = all.entry(key.to_owned()).or_insert(fresh);
        if (seen.job, seen.attempt) != (fresh.job, fresh.attempt) {
            *seen = fresh;
        }
        let after = Duration::from_millis(posted.running_after_ms.unwrap_or(0));
        let left = after.saturating_sub(now - seen.since);
        Ok(if left.is_zero() { Due::Now } else { Due::After(left) })
    }

    /// Claims the entry with a token of ours; `None` when another poster was faster.
    async fn claim(&self, entry: &Entry<CommitStatus>) -> anyhow::Result<Option<ClaimedStatus>> {
        let token = hex::encode(rand::random::<[u8; 8]>());
        let claimed = entry.value.claim(&token);
        match self.ledger.commits.update(&entry.key, &claimed, entry.revision).await {
            Ok(_) => Ok(Some(claimed)),
            Err(error) if error.is_conflict() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Notes what was posted and frees the entry, unless another poster has taken it over meanwhile.
    async fn release(
        &self,
        key: &str,
        next: &ClaimedStatus,
    ) -> Result<Option<Entry<CommitStatus>>, BucketError> {
        self.ledger.commits.change(key, |now| next.release(&now.value)).await
    }
}

/// Whether this job's state was posted, and of one that runs that it does; or the forge rejected this very
/// state.
fn is_in_sync(commit: &CommitStatus, job: &Entry<Job>) -> bool {
    let is_posted = commit.last_posted().is_some_and(|posted| {
        posted.job == job.value.spec.id
            && posted.state == job.value.commit_state()
            && (posted.running || job.value.status.state != State::Working)
    });
    is_posted || commit.was_rejected(job.value.commit_state())
}

fn backoff(failures: u32) -> Duration {
    let doublings = failures.clamp(1, 16) - 1;
    FIRST_RETRY.saturating_mul(1 << doublings).min(LAST_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes() {
        assert_eq!(backoff(1), FIRST_RETRY);
        assert_eq!(backoff(3), Duration::from_secs(8));
        assert_eq!(backoff(99), LAST_RETRY);
    }
}
