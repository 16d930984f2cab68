//! What became of a job: where it is in its life, and what was found out on the way.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Timings;
use crate::{Cause, Fault, State, StoredJson, WorkerName, manifest::Http, result::JobResult};

/// Bytes of a failed program's error output that are kept in the record, for the published
/// `/job/result/`: some lines, so that a record stays under 32 KiB.
pub const ERROR_TAIL_BYTES: usize = 2048;

/// What became of a job. Only the moves of `transitions` and the worker that has it change it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobStatus {
    /// Where it is in its life.
    pub state: State,
    /// Counts claims, and fences: what another attempt writes is not shown.
    #[serde(default)]
    pub attempt: u32,
    /// Counts attempts that ended by our fault; only this is limited.
    #[serde(default)]
    pub failures: u32,
    /// Counts entries into JOBS; a message with another number is outdated.
    #[serde(default)]
    pub times_queued: u32,
    /// A retry enters JOBS this many seconds after the record was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// Who has it, or had it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerName>,
    /// The manifest's language, once it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The manifest's `http`, once a job of it ended: what a gateway needs of a version that is called. Absent
    /// where the manifest has none, and in records of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<StoredJson<Http>>,
    /// How long it may take, in seconds, where a worker had no slot for that; see [`crate::slot_limit`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs_s: Option<u64>,
    /// Whether its program may have begun, of jobs that must not be run twice ([`super::JobSpec::runs_once`]): noted
    /// by the attempt before, and taken back where it did not come to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub began: bool,
    /// Whether it ended well without a run, as the manifest's `onPush` says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub built: bool,
    /// Why it ended as it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Whose failure it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// One sentence for the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The program's exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Milliseconds of each part.
    #[serde(default)]
    pub timings_ms: Timings,
    /// The most memory the run's container used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    /// Whether the environment was there already; absent when none was needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared: Option<bool>,
    /// The run's standard output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<JobResult>,
    /// The last lines of a failed program's error output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_tail: Option<String>,
    /// What its attempts' logs take up, in bytes: of one that works the most that it may. Absent in
    /// records of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_bytes: Option<u64>,

    /// The revision of the record's first write; orders jobs of one commit. Noted by the first change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_revision: Option<u64>,
    /// The server's time of the first write. Noted by the first change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// The server's time of the newest claim. Noted by the change after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
}

impl JobStatus {
    /// Whether it was lost when its program may have begun.
    pub fn may_have_run(&self) -> bool {
        self.began && self.cause == Some(Cause::Lost)
    }

    /// Of a job that waits for its first attempt and was entered into JOBS once.
    pub(super) fn pending() -> Self {
        Self {
            state: State::Pending,
            attempt: 0,
            failures: 0,
            times_queued: 1,
            retry_after_s: None,
            worker: None,
            language: None,
            http: None,
            needs_s: None,
            began: false,
            built: false,
            cause: None,
            fault: None,
            message: None,
            exit_code: None,
            timings_ms: Timings::default(),
            peak_memory_bytes: None,
            prepared: None,
            result: None,
            error_tail: None,
            log_bytes: None,
            created_revision: None,
            created_at: None,
            started_at: None,
        }
    }
}
