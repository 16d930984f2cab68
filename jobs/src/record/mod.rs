//! The record of a job: its fields, its first state, and what follows from them alone.
//!
//! The moves of its state are in `transitions`, what the server's clock tells in `server_times`. A record
//! is written by compare-and-set alone ([`crate::bucket`]) and never again after its final
//! state. Fields are added, never changed or reused; what a newer program added is kept in `other`
//! and written back.

mod message;
mod server_times;
mod transitions;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Cause, CloneUrl, CommitSha, CommitState, Fault, Filter, JobId, Label, NewJob, RefName, RepoId, State,
    Stored, UserId, WorkerName, commit_state, result::JobResult, signed::Signature,
};

pub use server_times::Timings;
pub use transitions::MAX_ATTEMPTS;

/// Bytes of a failed program's error output that are kept in the record, for the published
/// `/job/result/`: some lines, so that a record stays under 32 KiB.
pub const ERROR_TAIL_BYTES: usize = 2048;

/// In which of its owner's queues a job waits: an owner's calls come before pushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueClass {
    /// Somebody waits for the answer.
    Call,
    /// A forge told of it.
    Push,
}

impl QueueClass {
    /// The word in the subject.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Push => "push",
        }
    }
}

/// What made the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// REST, or the command line.
    Call,
    /// A push to a branch.
    Push,
    /// A push of a tag.
    Tag,
    /// A pull request.
    PullRequest,
    /// Somebody asked for an older job again.
    Rerun,
}

/// One job. Build one with [`Job::new`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// Who called it; of a push, the repository's owner.
    pub owner: UserId,
    /// The queue it waits in.
    pub class: QueueClass,
    /// Which workers may take it.
    #[serde(default)]
    pub label: Label,
    /// What made it.
    pub trigger: Trigger,
    /// The registered repository, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<RepoId>,
    /// The clone URL as given, never with credentials.
    pub url: Stored<CloneUrl>,
    /// The ref that was asked for; absent means the default branch.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<Stored<RefName>>,
    /// The commit: given by the push, or resolved once by the first attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha: Option<CommitSha>,
    /// What the ref was before the push, for path filters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<CommitSha>,
    /// The registration's path filter, as it was then: a worker cannot read registrations.
    #[serde(default, skip_serializing_if = "Filter::is_empty")]
    pub paths: Filter,
    /// Whether the commit may be a stranger's, such as a pull request's from a fork: it gets no
    /// secrets, and what it prepared is used by no branch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untrusted: bool,
    /// A name its owner gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Arguments of a call; they replace the manifest's `arg`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    /// The status context; absent means no status is posted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Further contexts that this job answers for: one of a merge queue is push and pull request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_contexts: Vec<String>,
    /// A job of the same commit that may answer for this one, where it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<JobId>,
    /// The job this one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<JobId>,

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
    /// How long it may take, in seconds, where a worker had no slot for that; see [`crate::slot_limit`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs_s: Option<u64>,
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

    /// A gateway's proof that it made the job, and what it said then; never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,

    /// What a newer program added.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Job {
    /// The first record of a job: pending, and entered into JOBS once.
    pub fn new(new: NewJob) -> Self {
        let class = match new.trigger {
            Trigger::Call | Trigger::Rerun => QueueClass::Call,
            Trigger::Push | Trigger::Tag | Trigger::PullRequest => QueueClass::Push,
        };
        Self {
            id: new.id,
            owner: new.owner,
            class,
            label: new.label,
            trigger: new.trigger,
            repo: new.repo,
            url: new.url,
            reference: new.reference,
            sha: new.sha,
            before: new.before,
            paths: new.paths,
            untrusted: new.untrusted,
            name: new.name,
            args: new.args,
            context: new.context,
            also_contexts: new.also_contexts,
            same_as: new.same_as,
            rerun_of: new.rerun_of,
            state: State::Pending,
            attempt: 0,
            failures: 0,
            times_queued: 1,
            retry_after_s: None,
            worker: None,
            language: None,
            needs_s: None,
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
            signature: None,
            other: Map::new(),
        }
    }

    /// Every context that it answers for; none of a job that posts no status.
    pub fn contexts(&self) -> impl Iterator<Item = &String> {
        self.context.iter().chain(self.also_contexts.iter().filter(|_| self.context.is_some()))
    }

    /// What the forge shows beside the commit.
    pub fn commit_state(&self) -> CommitState {
        commit_state(self.state, self.fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_newer_program_are_written_back() {
        let mut value =
            serde_json::to_value(Job::new(NewJob::call(UserId::new(), "https://example.com/r.git"))).unwrap();
        value["invented_later"] = 7.into();
        let job: Job = serde_json::from_value(value).unwrap();
        assert_eq!(serde_json::to_value(&job).unwrap()["invented_later"], 7);
    }
}
