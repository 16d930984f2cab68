//! What an execution came to: outcome, measurements and captured output.

use std::time::Duration;

use jobs::{Cause, CommitSha, Outcome, manifest::Http};

use crate::output::CapturedOutput;

/// What an execution came to.
#[derive(Debug, Clone)]
pub struct ExecutionReport {
    /// How it ended.
    pub outcome: Outcome,
    /// The commit.
    pub sha: Option<CommitSha>,
    /// The manifest's language.
    pub language: Option<String>,
    /// The manifest's `http`.
    pub http: Option<Http>,
    /// Time of the checkout.
    pub checkout: Option<Duration>,
    /// Time of the prepare phase.
    pub prepare: Option<Duration>,
    /// Time of the run, without the container's start.
    pub run: Option<Duration>,
    /// Whether the environment was there already.
    pub prepared: Option<bool>,
    /// Whether the program may have begun, of jobs that must not run twice: where not, a note of it is taken back.
    pub may_have_begun: bool,
    /// The program's exit code.
    pub exit_code: Option<i32>,
    /// The most memory of the run.
    pub peak_memory_bytes: Option<u64>,
    /// Standard output of the run.
    pub stdout: Option<CapturedOutput>,
    /// The end of its error output.
    pub error_tail: Option<String>,
    /// Nothing ended: it waits for another job of its commit.
    pub is_put_off: bool,
    /// Nothing ended: it waits for a slot that may be held for so long.
    pub needs: Option<Duration>,
}

impl ExecutionReport {
    pub(crate) fn new() -> Self {
        Self {
            outcome: Outcome::service(Cause::Lost, "not begun"),
            sha: None,
            language: None,
            http: None,
            checkout: None,
            prepare: None,
            run: None,
            prepared: None,
            may_have_begun: false,
            exit_code: None,
            peak_memory_bytes: None,
            stdout: None,
            error_tail: None,
            is_put_off: false,
            needs: None,
        }
    }

    /// How long a build took: fetching the commit and preparing its environment.
    pub(crate) fn build_time(&self) -> Duration {
        self.checkout.unwrap_or_default() + self.prepare.unwrap_or_default()
    }

    /// Notes that the slot is not to be had for this long. What is returned is never stored.
    pub(crate) fn needs(&mut self, time: Duration) -> Outcome {
        self.needs = Some(time);
        Outcome::wished(Cause::Cancelled, jobs::slot_limit::WAITS_FOR_A_SLOT)
    }

    /// An attempt that ended before it began.
    pub fn failed(outcome: Outcome) -> Self {
        Self { outcome, ..Self::new() }
    }
}
