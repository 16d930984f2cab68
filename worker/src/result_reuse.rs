//! Reuse of a result: of two jobs of one commit, a push's and a pull request's, the second takes over what
//! the first came to.
//!
//! Only the manifest tells whether either of them is filtered, so the second looks for the first one's result
//! after its own filters said yes. A job that never ran has no result to reuse.

use std::time::Duration;

use jobs::{Cause, Job, Ledger, Outcome, State, StoredJson, bucket::Entry};

use crate::{execution_report::ExecutionReport, output::CapturedOutput};

/// The result of a job of the same commit.
#[derive(Debug)]
pub enum ReusableResult {
    /// There is none, or it did not run.
    None,
    /// It is not over yet.
    NotFinished,
    /// It ran, and this is its report.
    Finished(Box<ExecutionReport>),
}

/// Looks for the result of the job that may answer for `job`. Where the ledger is out of reach there is none:
/// then the job runs itself.
pub(crate) async fn reusable_result(ledger: &Ledger, job: &Job) -> ReusableResult {
    let Some(id) = job.spec.same_as else { return ReusableResult::None };
    let Ok(Some(entry)) = ledger.job(id).await else { return ReusableResult::None };
    let other = &entry.value;
    let is_its = other.spec.repo == job.spec.repo
        && other.spec.sha == job.spec.sha
        && other.spec.sha.is_some()
        && !other.spec.untrusted;
    if !is_its {
        return ReusableResult::None;
    }
    match other.status.state {
        State::Pending | State::Working => ReusableResult::NotFinished,
        State::Finish | State::Error if ran(other) => match report(ledger, &entry).await {
            Some(report) => ReusableResult::Finished(Box::new(report)),
            None => ReusableResult::None,
        },
        State::Finish | State::Error => ReusableResult::None,
    }
}

/// Whether its end is a verdict on the commit.
fn ran(job: &Job) -> bool {
    match job.status.cause {
        None => true,
        Some(
            Cause::Exit | Cause::Timeout | Cause::Memory | Cause::Disk | Cause::Processes | Cause::Output,
        ) => true,
        Some(Cause::Manifest | Cause::Checkout | Cause::Prepare) => false,
        Some(Cause::Skipped | Cause::Cancelled | Cause::Superseded | Cause::Refused | Cause::Lost) => false,
    }
}

async fn report(ledger: &Ledger, entry: &Entry<Job>) -> Option<ExecutionReport> {
    let job = &entry.value;
    let kept = match &job.status.result {
        Some(result) => {
            let bytes = ledger.results.fetch(job.spec.id, job.status.attempt, result).await.ok()?;
            Some(CapturedOutput { bytes: bytes.to_vec(), omitted_bytes: result.omitted_bytes })
        }
        None => None,
    };
    let outcome = match (job.status.cause, job.status.fault) {
        (None, _) if job.status.built => Outcome::Built,
        (None, _) => Outcome::Finished,
        (Some(cause), Some(fault)) => {
            Outcome::Failed { cause, fault, message: job.status.message.clone().unwrap_or_default() }
        }
        (Some(_), None) => return None,
    };
    Some(ExecutionReport {
        outcome,
        sha: job.spec.sha.clone(),
        language: job.status.language.clone(),
        http: job.status.http.as_ref().and_then(StoredJson::get),
        prepare: job.status.timings_ms.prepare.map(Duration::from_millis),
        run: job.status.timings_ms.run.map(Duration::from_millis),
        prepared: job.status.prepared,
        exit_code: job.status.exit_code,
        peak_memory_bytes: job.status.peak_memory_bytes,
        stdout: kept,
        error_tail: job.status.error_tail.clone(),
        ..ExecutionReport::new()
    })
}
