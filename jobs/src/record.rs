//! The record: the truth about one job, and the only moves its state may make.
//!
//! A record is written by compare-and-set alone ([`crate::bucket`]) and never again after its final
//! state. Fields are added, never changed or reused; what a newer program added is kept in `other`
//! and written back.

mod message;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Cause, CloneUrl, CommitSha, CommitState, Fault, Filter, JobId, Label, NewJob, Outcome, RefName, RepoId,
    State, Stored, UserId, WorkerName, bucket::Entry, commit_state, log::MAX_LOG_BYTES, result::JobResult,
    signed::Signature,
};
use message::message_of;

/// A job that waits for another of its commit looks again after so many seconds.
const DEFER_S: u64 = 3;
/// After so many attempts that ended by our fault a job is over.
pub const MAX_ATTEMPTS: u32 = 3;
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

/// How long the parts of a job took; absent means not reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
pub struct Timings {
    /// From created to claimed: the difference of two times of the NATS server.
    #[cfg_attr(feature = "api", schema(nullable = false))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<u64>,
    /// Fetching the commit and reading its manifest.
    #[cfg_attr(feature = "api", schema(nullable = false))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkout: Option<u64>,
    /// Making or finding the environment.
    #[cfg_attr(feature = "api", schema(nullable = false))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepare: Option<u64>,
    /// The program, from its start to its end.
    #[cfg_attr(feature = "api", schema(nullable = false))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<u64>,
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

    /// `pending → working`, as attempt `attempt + 1`. `None` when the record does not wait.
    pub(crate) fn claimed(&self, worker: &WorkerName) -> Option<Self> {
        (self.state == State::Pending).then(|| Self {
            state: State::Working,
            attempt: self.attempt + 1,
            worker: Some(worker.clone()),
            // What it waited for is over; why it is tried again stays until its end.
            message: self.message.clone().filter(|_| self.retry_after_s.is_some()),
            retry_after_s: None,
            started_at: None,
            log_bytes: Some(self.log_bytes.unwrap_or_default() + MAX_LOG_BYTES),
            ..self.clone()
        })
    }

    /// `working → pending` without anybody's fault: a shutdown, or a worker that is gone. Such an attempt
    /// logs a few lines at most.
    pub(crate) fn requeued(&self) -> Self {
        self.clone().with_log(0).queued_again()
    }

    fn queued_again(&self) -> Self {
        Self { state: State::Pending, times_queued: self.times_queued + 1, ..self.clone() }
    }

    /// Replaces the most that this attempt's log may take up by what it does, in bytes.
    #[must_use]
    pub fn with_log(self, bytes: u64) -> Self {
        let before = self.log_bytes.unwrap_or_default().saturating_sub(MAX_LOG_BYTES);
        Self { log_bytes: Some(before + bytes), ..self }
    }

    /// The same, to enter JOBS again after a while: it waits for another job.
    pub(crate) fn deferred(&self) -> Self {
        Self { retry_after_s: Some(DEFER_S), ..self.requeued() }
    }

    /// The end of an attempt: a final state, or `pending` again where another attempt may help.
    pub(crate) fn ended(&self, outcome: &Outcome) -> Self {
        let failures = self.failures + u32::from(outcome.may_be_retried());
        if outcome.may_be_retried() && failures < MAX_ATTEMPTS {
            let retry_after_s = Some(retry_delay_s(failures));
            return Self { failures, retry_after_s, message: message_of(outcome), ..self.queued_again() };
        }
        let (cause, fault) = match outcome {
            Outcome::Finished => (None, None),
            Outcome::Skipped { .. } => (Some(Cause::Skipped), None),
            Outcome::Failed { cause, fault, .. } => (Some(*cause), Some(*fault)),
        };
        let state = outcome.state();
        Self {
            state,
            failures,
            cause,
            fault,
            message: message_of(outcome),
            retry_after_s: None,
            ..self.clone()
        }
    }
}

/// A retry after our fault waits 10 s, then 60 s: a forge that restarts, then one that is repaired.
fn retry_delay_s(failures: u32) -> u64 {
    if failures <= 1 { 10 } else { 60 }
}

impl Entry<Job> {
    /// When the job was made, by the server's clock.
    pub fn created_at(&self) -> Timestamp {
        self.value.created_at.unwrap_or(self.written_at)
    }

    /// When the newest attempt was claimed.
    pub fn started_at(&self) -> Option<Timestamp> {
        match self.value.state {
            State::Working => Some(self.value.started_at.unwrap_or(self.written_at)),
            State::Pending | State::Finish | State::Error => self.value.started_at,
        }
    }

    /// When the job ended; its record is never written after that.
    pub fn finished_at(&self) -> Option<Timestamp> {
        self.value.state.is_final().then_some(self.written_at)
    }

    /// The order of jobs of one commit.
    pub fn created_revision(&self) -> u64 {
        self.value.created_revision.unwrap_or(self.revision)
    }

    /// Notes in `next` what only this entry's own revision and time tell. Every change goes
    /// through here.
    pub(crate) fn with_server_times(&self, next: Job) -> Job {
        let started_at = match next.state {
            // A claim has no start yet: it is the time of the write that is about to happen.
            State::Working if self.value.state == State::Pending => None,
            State::Pending | State::Working | State::Finish | State::Error => self.started_at(),
        };
        let mut timings_ms = next.timings_ms;
        if let Some(started_at) = started_at {
            let waited = started_at.duration_since(self.created_at()).as_millis();
            timings_ms.queued = Some(u64::try_from(waited).unwrap_or(0));
        }
        Job {
            created_revision: Some(self.created_revision()),
            created_at: Some(self.created_at()),
            started_at,
            timings_ms,
            ..next
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn working() -> Job {
        let job = Job::new(NewJob::call(UserId::new(), "https://example.com/r.git"));
        job.claimed(&"w1".parse().unwrap()).unwrap()
    }

    #[test]
    fn only_a_pending_job_can_be_claimed() {
        let job = working();
        assert_eq!(job.attempt, 1);
        assert!(job.claimed(&"w2".parse().unwrap()).is_none());
        assert!(job.ended(&Outcome::Finished).claimed(&"w2".parse().unwrap()).is_none());
    }

    #[test]
    fn our_fault_is_retried_after_10_and_60_seconds_and_then_final() {
        let fault = Outcome::service(Cause::Checkout, "forge out of reach");
        let first = working().ended(&fault);
        assert_eq!((first.state, first.retry_after_s, first.failures), (State::Pending, Some(10), 1));
        let second = first.claimed(&"w".parse().unwrap()).unwrap().ended(&fault);
        assert_eq!((second.state, second.retry_after_s, second.failures), (State::Pending, Some(60), 2));
        let third = second.claimed(&"w".parse().unwrap()).unwrap().ended(&fault);
        assert_eq!(
            (third.state, third.cause, third.fault),
            (State::Error, Some(Cause::Checkout), Some(Fault::Service))
        );
        assert_eq!(third.commit_state(), CommitState::Error);
    }

    #[test]
    fn handing_back_costs_no_failure() {
        let job = working().requeued();
        assert_eq!((job.state, job.failures, job.times_queued), (State::Pending, 0, 2));
    }

    #[test]
    fn a_log_is_charged_at_its_most_until_its_length_is_known() {
        let first = working();
        assert_eq!(first.log_bytes, Some(MAX_LOG_BYTES));
        let worker = "w".parse().unwrap();
        let lost = first.ended(&Outcome::service(Cause::Lost, "no word"));
        let second = lost.claimed(&worker).unwrap();
        assert_eq!(second.log_bytes, Some(2 * MAX_LOG_BYTES), "what a lost attempt wrote is not known");
        assert_eq!(second.with_log(7).log_bytes, Some(MAX_LOG_BYTES + 7));
        assert_eq!(first.requeued().claimed(&worker).unwrap().log_bytes, Some(MAX_LOG_BYTES));
    }

    #[test]
    fn fields_of_a_newer_program_are_written_back() {
        let mut value = serde_json::to_value(working()).unwrap();
        value["invented_later"] = 7.into();
        let job: Job = serde_json::from_value(value).unwrap();
        assert_eq!(serde_json::to_value(&job).unwrap()["invented_later"], 7);
    }

    #[test]
    fn times_come_from_the_entries_of_the_record() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let entry = |value, revision, s| Entry { key: String::new(), value, revision, written_at: at(s) };
        let created = entry(Job::new(NewJob::call(UserId::new(), "https://example.com/r")), 7, 100);
        let claimed =
            entry(created.with_server_times(created.value.claimed(&"w".parse().unwrap()).unwrap()), 9, 103);
        let ended = entry(claimed.with_server_times(claimed.value.ended(&Outcome::Finished)), 12, 110);
        assert_eq!(ended.created_revision(), 7);
        assert_eq!(
            (ended.created_at(), ended.started_at(), ended.finished_at()),
            (at(100), Some(at(103)), Some(at(110)))
        );
        assert_eq!(ended.value.timings_ms.queued, Some(3000));
    }
}
