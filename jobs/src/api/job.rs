//! Jobs: submitted, shown, listed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::OpenEnum;
use crate::{
    Cause, CommitSha, Fault, JobId, Label, RepoId, State, Timings, Trigger, WorkerName, bucket::Entry,
};

/// The longest input in a request, in bytes: base64 of it leaves room for the rest of a body of 256 KiB.
pub const MAX_INPUT_BYTES: u64 = 128 << 10;

/// A job to be submitted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitJob {
    /// A registered repository's id or its function's name, or a URL (https without a scheme).
    pub repo: String,
    /// Branch, tag or commit; resolved once, by the first attempt. Absent: the default branch.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Replaces the manifest's `arg`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    /// What its program reads from standard input, as text: 128 KiB at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// The same for bytes that are no text, in base64; in place of `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_base64: Option<String>,
    /// What to call it in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200)]
    pub name: Option<String>,
    /// Which workers may take it; `default` unless the registration says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// Whether the answer to a submitted job waits for its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WaitForJob {
    /// Seconds to wait for the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 0, maximum = 300)]
    pub wait: Option<u64>,
}

/// Which jobs are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListJobs {
    /// Only in this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Only of this repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(format = Uuid)]
    pub repo: Option<String>,
    /// Items of a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<usize>,
    /// `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub cursor: Option<JobId>,
}

/// The key of a job's link, which stands for a token where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct JobKey {
    /// From the job's link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A job. What is not known is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Where it is in its life.
    #[schema(value_type = State)]
    pub state: OpenEnum<State>,
    /// Why it ended as it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Cause>, nullable = false)]
    pub cause: Option<OpenEnum<Cause>>,
    /// Whose failure it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Fault>, nullable = false)]
    pub fault: Option<OpenEnum<Fault>>,
    /// One sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<String>,
    /// Whether its program may have run although the job was lost, so that it is not to be repeated unseen. Only
    /// of calls of functions; other jobs are run again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_have_run: bool,
    /// The program's exit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub exit_code: Option<i32>,
    /// The registered repository, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub repo: Option<RepoId>,
    /// The clone URL, without credentials.
    pub url: String,
    /// The ref that was asked for.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reference: Option<String>,
    /// The commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sha: Option<CommitSha>,
    /// What its owner called it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// Arguments of a call; they replace the manifest's `arg`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub args: Option<Vec<String>>,
    /// What its program read from standard input; absent where that was empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub input: Option<JobInput>,
    /// Which workers may take it; absent of a job that ran without a gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub label: Option<Label>,
    /// What made it.
    #[schema(value_type = Trigger)]
    pub trigger: OpenEnum<Trigger>,
    /// Counts attempts; 0 before the first.
    pub attempt: u32,
    /// Which worker has it, or had it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub worker: Option<WorkerName>,
    /// When it was submitted; absent of a job that ran without a gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub created_at: Option<Timestamp>,
    /// When its newest attempt began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub finished_at: Option<Timestamp>,
    /// How long its parts took, in milliseconds.
    pub timings_ms: Timings,
    /// The most memory that the program used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub peak_memory_bytes: Option<u64>,
    /// Whether the environment was there already; absent when none was needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub prepared: Option<bool>,
    /// The first 8 KiB as text; what is not UTF-8 is shown as U+FFFD. The bytes are at `/result`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub result: Option<String>,
    /// How long the result is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub result_bytes: Option<u64>,
    /// What the program printed beyond the longest result.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub omitted_bytes: Option<u64>,
    /// The job that it repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rerun_of: Option<JobId>,
    /// What became of the job's status at the forge. Only in the answer to a request for this one job, and
    /// absent of one that has nothing to do with a forge.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub status: Option<ForgeStatus>,
}

impl From<&Entry<crate::Job>> for Job {
    /// Without its status, which the record does not know.
    fn from(entry: &Entry<crate::Job>) -> Self {
        let job = &entry.value;
        let result = job.status.result.as_ref();
        Self {
            id: job.spec.id,
            state: job.status.state.into(),
            cause: job.status.cause.map(OpenEnum::Known),
            fault: job.status.fault.map(OpenEnum::Known),
            message: job.status.message.clone(),
            may_have_run: job.status.may_have_run(),
            exit_code: job.status.exit_code,
            repo: job.spec.repo,
            url: job.spec.url.to_string(),
            reference: job.spec.reference.as_ref().map(ToString::to_string),
            sha: job.spec.sha.clone(),
            name: job.spec.name.clone(),
            args: job.spec.args.clone(),
            input: job.spec.input.as_ref().map(JobInput::from),
            label: Some(job.spec.label.clone()),
            trigger: job.spec.trigger.into(),
            attempt: job.status.attempt,
            worker: job.status.worker.clone(),
            created_at: Some(entry.created_at()),
            started_at: entry.started_at(),
            finished_at: entry.finished_at(),
            timings_ms: job.status.timings_ms,
            peak_memory_bytes: job.status.peak_memory_bytes,
            prepared: job.status.prepared,
            result: result.map(|result| String::from_utf8_lossy(&result.head()).into_owned()),
            result_bytes: result.map(|result| result.bytes),
            omitted_bytes: result.map(|result| result.omitted_bytes),
            rerun_of: job.spec.rerun_of,
            status: None,
        }
    }
}

/// A job's input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobInput {
    /// How long it is.
    pub bytes: u64,
    /// Its SHA-256, in hex.
    pub sha256: String,
    /// Its media type.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub content_type: Option<String>,
    /// The method of the HTTP request that it came with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub method: Option<String>,
    /// That request's path. As `head` only in the answer to a request for this one job, and absent where the
    /// repository has secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub path: Option<String>,
    /// The first 1 KiB of a text. Only in the answer to a request for this one job, and absent where `hidden` says
    /// why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub head: Option<String>,
    /// Why its beginning is not shown, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub hidden: Option<String>,
}

impl From<&crate::JobInput> for JobInput {
    /// Without its beginning, which the record does not know, and without the path, which may hold a secret.
    fn from(input: &crate::JobInput) -> Self {
        Self {
            bytes: input.bytes,
            sha256: input.sha256.clone(),
            content_type: input.content_type.clone(),
            method: input.method.clone(),
            path: None,
            head: None,
            hidden: None,
        }
    }
}

/// What became of a job's status at the forge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ForgeStatus {
    /// The status's context.
    pub context: String,
    /// Whether the forge shows it.
    #[schema(value_type = StatusState)]
    pub state: OpenEnum<StatusState>,
    /// Why, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub since: Option<Timestamp>,
    /// What mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub fix: Option<String>,
}

/// Whether the forge shows a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StatusState {
    /// The forge accepted it.
    Posted,
    /// It will be posted, or tried again.
    Waiting,
    /// The forge does not accept it.
    Refused,
    /// This registration posts no statuses.
    Silent,
}

impl StatusState {
    /// As it is on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Posted => "posted",
            Self::Waiting => "waiting",
            Self::Refused => "refused",
            Self::Silent => "silent",
        }
    }
}
