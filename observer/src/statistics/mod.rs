//! The statistics: a pure fold over the changes of job records.
//!
//! A job is counted as requested once, when it is first seen, and as completed once, at its final
//! revision, after which a record is never written again. The bucket keeps the last revision of
//! each record only, so a reader that lags or starts again does not see every revision; three rules
//! keep the count exact all the same:
//! * what was read once is not counted again: revisions at or below the position are passed over;
//! * a [`Snapshot`] is taken only when nothing is left to read, so it has counted every job that was
//!   created up to its sequence; later a record created up to there is no new request, however often
//!   it has changed since;
//! * reading goes on at the oldest job that was open then, so that the open jobs are known again.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use jobs::{Cause, Job, JobId, State, bucket::Entry};
use serde::{Deserialize, Serialize};

/// Averages of a service that is younger than this are those of its first second.
const SHORTEST_AGE_S: f64 = 1.0;

/// Sums since the first job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Jobs that were asked for: records made.
    pub requests: u64,
    /// Jobs that were worked on and reached `finish` or `error`.
    pub completed: u64,
    /// Of these, the ones whose program ran.
    pub runs: u64,
    /// How long these ran together.
    pub run_ms_total: u64,
    /// When the first job was made, by the server's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_job_at: Option<Timestamp>,
    /// Completed jobs by `<state>.<cause>`, such as `error.exit` or `finish.none`.
    #[serde(default)]
    pub by_end: BTreeMap<String, u64>,
}

/// Totals, and where in the stream of changes they belong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// What was counted.
    #[serde(flatten)]
    pub totals: Totals,
    /// Every change up to this stream sequence is in the totals, and none after it.
    pub sequence: u64,
    /// The oldest sequence that a job which was open then had; reading goes on here.
    pub open_from: u64,
}

/// What is published: `/observer/stats` answers with the last three.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// See [`Totals::requests`].
    pub requests: u64,
    /// See [`Totals::completed`].
    pub completed: u64,
    /// See [`Totals::runs`].
    pub runs: u64,
    /// See [`Totals::run_ms_total`].
    pub run_ms_total: u64,
    /// See [`Totals::first_job_at`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_job_at: Option<Timestamp>,
    /// When this was computed, by the server's clock.
    pub at: Timestamp,
    /// Up to which change.
    pub sequence: u64,
    /// Requests per minute since the first job.
    #[serde(rename = "averageRequests")]
    pub average_requests: f64,
    /// Jobs completed per minute since the first job.
    #[serde(rename = "averageCompleted")]
    pub average_completed: f64,
    /// Mean run time in seconds.
    #[serde(rename = "averageTime")]
    pub average_time: f64,
}

/// What one change of a record meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// A job that was not counted before.
    pub requested: bool,
    /// Worked on and over.
    pub completed: bool,
}

/// The running count.
#[derive(Debug, Clone, Default)]
pub struct JobCounter {
    totals: Totals,
    /// The last sequence that was read.
    position: u64,
    /// The sequence of the snapshot that this began with.
    counted_to: u64,
    /// Jobs that are not over, and the revision at which they were last seen.
    open: HashMap<JobId, (State, u64)>,
}

impl Totals {
    /// The averages at `at`.
    pub fn statistics(&self, at: Timestamp, sequence: u64) -> Statistics {
        let age_s = self.first_job_at.map_or(0.0, |first| at.duration_since(first).as_secs_f64());
        let minutes = age_s.max(SHORTEST_AGE_S) / 60.0;
        let mean_ms = if self.runs == 0 { 0.0 } else { self.run_ms_total as f64 / self.runs as f64 };
        Statistics {
            requests: self.requests,
            completed: self.completed,
            runs: self.runs,
            run_ms_total: self.run_ms_total,
            first_job_at: self.first_job_at,
            at,
            sequence,
            average_requests: self.requests as f64 / minutes,
            average_completed: self.completed as f64 / minutes,
            average_time: mean_ms / 1000.0,
        }
    }

    fn complete(&mut self, job: &Job) {
        self.completed += 1;
        if let Some(run_ms) = job.status.timings_ms.run {
            self.runs += 1;
            self.run_ms_total += run_ms;
        }
        let cause = job.status.cause.map_or("none", Cause::as_str);
        *self.by_end.entry(format!("{}.{cause}", job.status.state.as_str())).or_default() += 1;
    }
}

impl JobCounter {
    /// Goes on where a snapshot was taken; read the bucket from [`JobCounter::position`] + 1 on.
    pub fn resume(from: Snapshot) -> Self {
        let position = from.open_from.saturating_sub(1).min(from.sequence);
        Self { totals: from.totals, position, counted_to: from.sequence, open: HashMap::new() }
    }

    /// The last sequence that was read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What was counted.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// How many jobs are in a state that is not final.
    pub fn open(&self, state: State) -> usize {
        self.open.values().filter(|(open, _)| *open == state).count()
    }

    /// Counts one change.
    pub fn apply(&mut self, entry: &Entry<Job>) -> Change {
        if entry.revision <= self.position {
            return Change::default();
        }
        self.position = entry.revision;
        let job = &entry.value;
        let was_open = self.open.remove(&job.spec.id).is_some();
        if !job.status.state.is_final() {
            self.open.insert(job.spec.id, (job.status.state, entry.revision));
        }
        if entry.revision <= self.counted_to {
            return Change::default();
        }
        let requested = !was_open && entry.created_revision() > self.counted_to;
        if requested {
            self.totals.requests += 1;
            let created = entry.created_at();
            self.totals.first_job_at = Some(self.totals.first_job_at.map_or(created, |at| at.min(created)));
        }
        // A job that was refused, or cancelled while it waited, was never worked on.
        let completed = job.status.state.is_final() && job.status.attempt > 0;
        if completed {
            self.totals.complete(job);
        }
        Change { requested, completed }
    }

    /// Passes over a change that is no record: a deletion, or one that cannot be read.
    pub fn pass(&mut self, sequence: u64, job: Option<JobId>) {
        self.position = self.position.max(sequence);
        if let Some(job) = job {
            self.open.remove(&job);
        }
    }

    /// The count as of the position. To be called only when nothing is left to read.
    pub fn snapshot(&self) -> Snapshot {
        let sequence = self.position.max(self.counted_to);
        let oldest = self.open.values().map(|(_, revision)| *revision).min();
        Snapshot { totals: self.totals.clone(), sequence, open_from: oldest.unwrap_or(sequence + 1) }
    }
}

/// The whole minute of a point in time, in Unix time: the key of a snapshot.
pub(crate) fn minute(at: Timestamp) -> i64 {
    at.as_second().div_euclid(60)
}

#[cfg(test)]
mod tests;
