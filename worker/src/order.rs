//! What an attempt is told, what it asks of the outside, and what it found out.

use std::{sync::Arc, time::Duration};

use hooks::forge::CloneUrl;
use jobs::{Cause, CommitSha, Filter, Outcome, Trigger};

use crate::{
    checkout::Credential,
    output::{Kept, LogSink},
    sandbox::{JobTag, Trust},
    source::DirectoryFiles,
    twin::Twin,
};

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Order {
    /// The job and the attempt.
    pub tag: JobTag,
    /// Where its files are.
    pub source: JobSource,
    /// Arguments of a call; they replace the manifest's.
    pub args: Option<Vec<String>>,
    /// What made the job; filters are for pushes.
    pub trigger: Trigger,
    /// The registration's path filter; a path must pass this and the manifest's.
    pub paths: Filter,
    /// Environments are shared within this, and with nobody else.
    pub trust: Trust,
}

/// Where a function's files are.
#[derive(Debug, Clone)]
pub enum JobSource {
    /// A commit somewhere.
    Commit {
        /// The repository.
        url: CloneUrl,
        /// The commit, once known.
        sha: Option<CommitSha>,
        /// What was asked for.
        reference: Option<String>,
        /// What the ref was before, for path filters.
        before: Option<CommitSha>,
    },
    /// A directory here.
    Directory(DirectoryFiles),
}

/// What an attempt asks of the outside.
pub trait Outside: Send + Sync {
    /// The log.
    fn log(&self) -> Arc<dyn LogSink>;
    /// How to clone; `None` is anonymously.
    fn credential(&self) -> impl Future<Output = Result<Option<Credential>, Outcome>> + Send;
    /// The values of secrets, as variables.
    fn secrets(
        &self,
        names: &[String],
    ) -> impl Future<Output = Result<Vec<(String, String)>, Outcome>> + Send;
    /// The commit and the language are known; they are kept for later attempts.
    fn learned(&self, sha: Option<&CommitSha>, language: &str) -> impl Future<Output = ()> + Send;
    /// Why this job is not to be run any more, given what its manifest says of superseding.
    fn superseded(&self, manifest: Option<bool>) -> impl Future<Output = Option<Outcome>> + Send;
    /// What another job of the same commit came to that may answer for this one.
    fn twin(&self) -> impl Future<Output = Twin> + Send;
    /// Whether the slot may be held for this long; where not, the job goes back and waits for another.
    /// Where nobody queues, it may.
    fn may_run_for(&self, _time: Duration) -> impl Future<Output = bool> + Send {
        std::future::ready(true)
    }
    /// Returns once a step before the run, which begins now, has held the slot for too long.
    fn overdue(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
    /// Only the run is left, and takes this long at most.
    fn runs_for(&self, _time: Duration) {}
}

/// What an attempt found out.
#[derive(Debug, Clone)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// The commit.
    pub sha: Option<CommitSha>,
    /// The manifest's language.
    pub language: Option<String>,
    /// Time of the checkout.
    pub checkout: Option<Duration>,
    /// Time of the prepare phase.
    pub prepare: Option<Duration>,
    /// Time of the run, without the container's start.
    pub run: Option<Duration>,
    /// Whether the environment was there already.
    pub prepared: Option<bool>,
    /// The program's exit code.
    pub exit_code: Option<i32>,
    /// The most memory of the run.
    pub peak_memory_bytes: Option<u64>,
    /// Standard output of the run.
    pub kept: Option<Kept>,
    /// The end of its error output.
    pub error_tail: Option<String>,
    /// Nothing ended: it waits for another job of its commit.
    pub is_put_off: bool,
    /// Nothing ended: it waits for a slot that may be held for so long.
    pub needs: Option<Duration>,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self {
            outcome: Outcome::service(Cause::Lost, "not begun"),
            sha: None,
            language: None,
            checkout: None,
            prepare: None,
            run: None,
            prepared: None,
            exit_code: None,
            peak_memory_bytes: None,
            kept: None,
            error_tail: None,
            is_put_off: false,
            needs: None,
        }
    }

    /// Notes that the slot is not to be had for this long. What is returned is never stored.
    pub(crate) fn needs(&mut self, time: Duration) -> Outcome {
        self.needs = Some(time);
        Outcome::wished(Cause::Cancelled, jobs::needs::WAITS_FOR_A_SLOT)
    }

    /// An attempt that ended before it began.
    pub fn failed(outcome: Outcome) -> Self {
        Self { outcome, ..Self::new() }
    }
}
