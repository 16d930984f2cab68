//! Puts right what a crash left between two steps.
//!
//! Candidates come from somebody's index and may be outdated; decisions are made on what the leader
//! says, in the order record, its lease, compare-and-set. One process at a time does this, under the
//! lock `reconcile`.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::{
    Cause, JobId, Outcome, State,
    bucket::Entry,
    ledger::{Ledger, LedgerError},
    record::Job,
};

/// How often to reconcile.
pub const EVERY: Duration = Duration::from_secs(2);
/// How long to wait before something counts as wrong.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// A pending record unchanged for this long is looked for in the queue.
    pub looked_for_after: Duration,
    /// A job that no worker took for this long is lost; `GITFAAS_MAX_QUEUE_TIME`.
    pub max_queue_time: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { looked_for_after: Duration::from_secs(10), max_queue_time: Duration::from_secs(24 * 3600) }
    }
}

/// What reconciling remembers: since when it has itself seen a revision. No clocks are compared.
#[derive(Debug)]
pub struct Reconciler {
    patience: Patience,
    seen: HashMap<JobId, Seen>,
}

#[derive(Debug)]
struct Seen {
    revision: u64,
    since: Instant,
    looked_for: bool,
}

/// A job that is not final, as an index knows it.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// The job.
    pub job: JobId,
    /// The revision of its record.
    pub revision: u64,
    /// Pending or working.
    pub state: State,
}

impl Reconciler {
    /// Nothing seen yet.
    pub fn new(patience: Patience) -> Self {
        Self { patience, seen: HashMap::new() }
    }

    /// Forgets what was seen: after one's own connection was away.
    pub fn forget(&mut self) {
        self.seen.clear();
    }

    /// Goes through all jobs that are not final. Returns how many were changed or queued again.
    ///
    /// # Errors
    /// NATS is away; the next round begins anew.
    pub async fn round(&mut self, ledger: &Ledger, candidates: &[Candidate]) -> Result<usize, LedgerError> {
        let now = Instant::now();
        self.seen.retain(|job, _| candidates.iter().any(|candidate| candidate.job == *job));
        let mut mended = 0;
        let mut missing = Vec::new();
        for candidate in candidates {
            let seen = self.seen.entry(candidate.job).or_insert(Seen {
                revision: candidate.revision,
                since: now,
                looked_for: false,
            });
            if seen.revision != candidate.revision {
                *seen = Seen { revision: candidate.revision, since: now, looked_for: false };
            }
            let age = seen.since.elapsed();
            match candidate.state {
                State::Working => mended += usize::from(take_back(ledger, candidate.job).await?),
                State::Pending if age >= self.patience.max_queue_time => {
                    let lost = Outcome::service(
                        Cause::Lost,
                        format!("no worker took the job within {} s", self.patience.max_queue_time.as_secs()),
                    );
                    mended += usize::from(ledger.end(candidate.job, &lost).await?.is_some());
                }
                State::Pending => {
                    if let Some(entry) = ledger
                        .job(candidate.job)
                        .await?
                        .filter(|_| !seen.looked_for)
                        .filter(|entry| entry.revision == candidate.revision)
                    {
                        match entry.value.status.retry_after_s {
                            Some(delay) if age >= Duration::from_secs(delay) => {
                                seen.looked_for = true;
                                ledger.enqueue(&entry.value).await?;
                                mended += 1;
                            }
                            None if age >= self.patience.looked_for_after => {
                                seen.looked_for = true;
                                missing.push(entry);
                            }
                            Some(_) | None => {}
                        }
                    }
                }
                State::Finish | State::Error => {}
            }
        }
        Ok(mended + queue_missing(ledger, missing).await?)
    }
}

async fn queue_missing(ledger: &Ledger, pending: Vec<Entry<Job>>) -> Result<usize, LedgerError> {
    if pending.is_empty() {
        return Ok(0);
    }
    let waiting = ledger.all_queued().await?;
    let mut queued = 0;
    for entry in pending
        .iter()
        .filter(|entry| !waiting.contains(&(entry.value.spec.id, entry.value.status.times_queued)))
    {
        let again = |now: &Entry<Job>| {
            (now.revision == entry.revision).then(|| now.with_server_times(now.value.renumbered()))
        };
        if let Some(now) = ledger
            .jobs
            .change(&entry.key, again)
            .await?
            .filter(|now| now.value.status.state == State::Pending)
        {
            tracing::warn!(job.id = %now.value.spec.id, "pending job not in the queue");
            ledger.mark_status_dirty(&now).await?;
            ledger.enqueue(&now.value).await?;
            queued += 1;
        }
    }
    Ok(queued)
}

/// A working job without a lease goes back, or ends as lost.
async fn take_back(ledger: &Ledger, id: JobId) -> Result<bool, LedgerError> {
    let Some(entry) = ledger.job(id).await?.filter(|entry| entry.value.status.state == State::Working) else {
        return Ok(false);
    };
    let attempt = entry.value.status.attempt;
    if ledger.has_lease(id, attempt).await? {
        return Ok(false);
    }
    tracing::warn!(job.id = %id, attempt, failures = entry.value.status.failures, "lease of a running job expired");
    if let Some(lost) = entry.value.outcome_of_loss() {
        return Ok(ledger.end(id, &lost).await?.is_some());
    }
    let back = ledger.change_attempt(id, attempt, |job| job.requeued_after_loss()).await?;
    if let Some(entry) = &back {
        ledger.mark_status_dirty(entry).await?;
        if !entry.value.status.state.is_final() {
            ledger.enqueue(&entry.value).await?;
        }
    }
    Ok(back.is_some())
}
