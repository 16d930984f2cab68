//! What `/api/v1` shows: jobs, repositories, deliveries, tokens. These are wire formats: fields are
//! added, never changed.

use crate::repos::reports_status::StatusView;

mod delivery;
mod repository;

pub(crate) use delivery::DeliveryView;
use jiff::Timestamp;
use jobs::{
    Cause, CommitSha, Fault, Job, JobId, Label, RepoId, State, Timings, TokenId, Trigger, WorkerName,
    accounts::{Scope, TokenRecord},
    bucket::Entry,
};
pub(crate) use repository::{OtherRegistration, ProblemView, RepoView, ViewedRepo};
use serde::Serialize;

/// A list, and where the next page begins.
#[derive(Debug, Serialize)]
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
    /// The cursor of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// A job; what is not known is absent.
#[derive(Debug, Serialize)]
pub(crate) struct JobView {
    pub(crate) id: JobId,
    pub(crate) state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<Cause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<Fault>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) repo: Option<RepoId>,
    pub(crate) url: String,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha: Option<CommitSha>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) args: Option<Vec<String>>,
    pub(crate) label: Label,
    pub(crate) trigger: Trigger,
    pub(crate) attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) worker: Option<WorkerName>,
    pub(crate) created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) timings_ms: Timings,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peak_memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prepared: Option<bool>,
    /// As text; what is not UTF-8 is shown as U+FFFD. The bytes are at `/result`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) omitted_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rerun_of: Option<JobId>,
    /// Only where one job is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<StatusView>,
}

impl From<&Entry<Job>> for JobView {
    fn from(entry: &Entry<Job>) -> Self {
        let job = &entry.value;
        let result = job.result.as_ref();
        Self {
            id: job.id,
            state: job.state,
            cause: job.cause,
            fault: job.fault,
            message: job.message.clone(),
            exit_code: job.exit_code,
            repo: job.repo,
            url: job.url.to_string(),
            reference: job.reference.as_ref().map(ToString::to_string),
            sha: job.sha.clone(),
            name: job.name.clone(),
            args: job.args.clone(),
            label: job.label.clone(),
            trigger: job.trigger,
            attempt: job.attempt,
            worker: job.worker.clone(),
            created_at: entry.created_at(),
            started_at: entry.started_at(),
            finished_at: entry.finished_at(),
            timings_ms: job.timings_ms,
            peak_memory_bytes: job.peak_memory_bytes,
            prepared: job.prepared,
            result: result.map(|result| String::from_utf8_lossy(&result.head()).into_owned()),
            result_bytes: result.map(|result| result.bytes),
            omitted_bytes: result.map(|result| result.omitted_bytes),
            rerun_of: job.rerun_of,
            status: None,
        }
    }
}

/// An API token; its text is shown once, when it is made.
#[derive(Debug, Serialize)]
pub(crate) struct TokenView {
    pub(crate) id: TokenId,
    pub(crate) name: String,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<Timestamp>,
    /// An hour late at most; absent of one that was never used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_used_at: Option<Timestamp>,
    /// The token that made it, with which it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) made_by: Option<TokenId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
}

impl From<&TokenRecord> for TokenView {
    fn from(record: &TokenRecord) -> Self {
        Self {
            id: record.id,
            name: record.name.clone(),
            scopes: record.scopes.clone(),
            created_at: record.made_at(),
            expires_at: record.expires_at,
            last_used_at: record.last_used_at,
            made_by: record.made_by.last().copied(),
            token: None,
        }
    }
}
