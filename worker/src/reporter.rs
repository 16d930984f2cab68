//! Posts commit statuses and check runs: takes what STATUSES says may be out of date, and tells the
//! forge what the newest job's record says.
//!
//! The entry in `commits` is taken by compare-and-set, so two posters do not race; the record is read
//! after taking, so the last word at the forge is the record's.

mod annotations;
mod approval;
mod log;
mod pace;
mod posting;
mod taking;
mod text;
mod words;

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
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

use crate::{grants::Grants, metrics::Metrics};
use log::LogView;
use pace::Pace;
use posting::Turn;

/// Of the statuses posted at once, what may be about jobs that are not over.
const EARLY_AT_ONCE: usize = 4;
/// An entry that was taken and not changed for this long is taken over.
const TAKEN_OVER_AFTER: Duration = Duration::from_secs(30);
/// How often a taken entry is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How often a message in hand is said to be in progress; after 30 s another would get it.
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
    pace: Arc<Pace>,
    /// By commit key, the digest of a token that the forge did not take; told with the next request.
    stale: Arc<Mutex<HashMap<String, String>>>,
    /// By commit key, how often in a row the forge or we failed. NATS counts deliveries, among them those
    /// after a wait that was asked for, which is no failure.
    failures: Arc<Mutex<HashMap<String, u32>>>,
    /// By commit key, which attempt was first seen to run here, and when.
    running_since: Arc<Mutex<HashMap<String, RunningSince>>>,
    /// Requests about jobs that are not over.
    early: Arc<tokio::sync::Semaphore>,
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

/// What the forge is still to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    /// Something, after this.
    Later(Duration),
    Now,
}

/// What to do with the message.
#[derive(Debug)]
enum Done {
    /// The forge knows, or never will.
    Ack,
    /// Another try, after this.
    Again(Option<Duration>),
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
            pace: Arc::default(),
            stale: Arc::default(),
            failures: Arc::default(),
            running_since: Arc::default(),
            early: Arc::new(tokio::sync::Semaphore::new(EARLY_AT_ONCE)),
            workers: Arc::new(AtomicUsize::new(1)),
            metrics,
        })
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Workers that are present.
    fn workers(&self) -> usize {
        self.workers.load(Ordering::Relaxed)
    }

    fn running_since(&self) -> MutexGuard<'_, HashMap<String, RunningSince>> {
        self.running_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a failure, and tells how many there were in a row.
    fn failed_again(&self, key: String) -> u32 {
        let mut failures = self.failures();
        let count = failures.entry(key).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// Posts until record and forge agree, and keeps the message meanwhile.
    async fn post(&self, key: &str, message: &Acker) -> Done {
        let keeping = async {
            loop {
                tokio::time::sleep(IN_PROGRESS_EVERY).await;
                let _ = message.ack_with(AckKind::Progress).await;
            }
        };
        let posted = tokio::select! {
            posted = self.until_agreed(key) => posted,
            never = keeping => never,
        };
        posted.unwrap_or_else(|error| {
            tracing::warn!(commit = key, error = format!("{error:#}"), "a status waits");
            Done::Again(None)
        })
    }

    async fn until_agreed(&self, key: &str) -> anyhow::Result<Done> {
        let mut seen: Option<(u64, Instant)> = None;
        let mut log: Option<(JobId, LogView)> = None;
        loop {
            let Some(entry) = self.ledger.commits.get(key).await? else { return Ok(Done::Ack) };
            if entry.value.is_claimed() {
                let (revision, since) = *seen.get_or_insert((entry.revision, Instant::now()));
                if revision != entry.revision {
                    seen = None;
                    continue;
                }
                if since.elapsed() < TAKEN_OVER_AFTER {
                    tokio::time::sleep(LOOK_AGAIN).await;
                    continue;
                }
            } else {
                match self.left(key, &entry.value).await? {
                    Left::Nothing => return Ok(Done::Ack),
                    Left::Later(wait) => return Ok(Done::Again(Some(wait))),
                    Left::Now => {}
                }
            }
            let Some(claimed) = self.claim(&entry).await? else { continue };
            let since = Instant::now();
            if let Some(delivery) = claimed.delivery() {
                let Turn { next, done } = self.turn_of_delivery(key, &claimed, delivery, since).await;
                self.release(key, &next).await?;
                // A job may have taken the commit over meanwhile.
                match self.ledger.commits.get(key).await? {
                    Some(now) if now.value.delivery().is_none() => continue,
                    Some(_) | None => return Ok(done.unwrap_or(Done::Ack)),
                }
            }
            // Read after claiming: what is posted is never older than what another posted before.
            let turn = match self.ledger.job(claimed.job()).await? {
                Some(job) if !agrees(&claimed, &job) => {
                    let turn = self.turn(key, &claimed, &job, &mut log, since).await;
                    Some((turn, job))
                }
                Some(_) | None => None,
            };
            match turn {
                Some((Turn { next, done }, job)) => {
                    let released = self.release(key, &next).await?;
                    let was_posted = next.last_posted().is_some_and(|posted| posted.revision == job.revision);
                    // That a job runs is told late on purpose.
                    let is_on_time = was_posted && job.value.state != State::Working;
                    if let Some(released) = released.filter(|_| is_on_time) {
                        let delay = released.written_at.duration_since(job.written_at);
                        self.metrics.delayed(delay.try_into().unwrap_or_default());
                    }
                    if let Some(done) = done {
                        return Ok(done);
                    }
                }
                None => {
                    self.release(key, &claimed).await?;
                }
            }
        }
    }

    /// What the forge is still to be told. A record that changes after this look sends a message of its
    /// own.
    async fn left(&self, key: &str, commit: &CommitStatus) -> anyhow::Result<Left> {
        // What is to be said of a delivery a gateway tells.
        if commit.delivery().is_some() {
            return Ok(Left::Now);
        }
        let Some(job) = self.ledger.job(commit.job()).await? else { return Ok(Left::Nothing) };
        if agrees(commit, &job) {
            return Ok(Left::Nothing);
        }
        let told = commit.last_posted().filter(|posted| posted.job == job.value.id);
        let (State::Working, Some(told)) = (job.value.state, told) else { return Ok(Left::Now) };
        // It was said to wait, and runs: that is told after a while.
        let now = Instant::now();
        let fresh = RunningSince { job: job.value.id, attempt: job.value.attempt, since: now };
        let mut all = self.running_since();
        let seen = all.entry(key.to_owned()).or_insert(fresh);
        if (seen.job, seen.attempt) != (fresh.job, fresh.attempt) {
            *seen = fresh;
        }
        let after = Duration::from_millis(told.running_after_ms.unwrap_or(0));
        let left = after.saturating_sub(now - seen.since);
        Ok(if left.is_zero() { Left::Now } else { Left::Later(left) })
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

/// Whether the forge was told this job's colour, and of one that runs that it does; or refused to be told
/// this very one.
fn agrees(commit: &CommitStatus, job: &Entry<Job>) -> bool {
    let told = commit.last_posted().is_some_and(|posted| {
        posted.job == job.value.id
            && posted.state == job.value.commit_state()
            && (posted.running || job.value.state != State::Working)
    });
    told || commit.was_rejected(job.value.commit_state())
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
