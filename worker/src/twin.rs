//! Two jobs of one commit, a push's and a pull request's, of which the first answers for both.
//!
//! Only the manifest tells whether either of them is filtered, so the second looks for the first one's end
//! after its own filters said yes. What never ran answers for nothing.

use std::time::Duration;

use jobs::{Cause, Job, Ledger, Outcome, State, bucket::Entry};

use crate::{execution_report::ExecutionReport, output::CapturedOutput};

/// What a job of the same commit came to.
#[derive(Debug)]
pub enum Twin {
    /// There is none, or it did not run.
    None,
    /// It is not over yet.
    NotOver,
    /// It ran, and this is how it went.
    Ran(Box<ExecutionReport>),
}

/// Looks for the end of the job that may answer for `job`. A ledger out of reach answers nothing: then
/// the job runs itself.
pub(crate) async fn twin(ledger: &Ledger, job: &Job) -> Twin {
    let Some(id) = job.same_as else { return Twin::None };
    let Ok(Some(entry)) = ledger.job(id).await else { return Twin::None };
    let other = &entry.value;
    let is_its = other.repo == job.repo && other.sha == job.sha && other.sha.is_some() && !other.untrusted;
    if !is_its {
        return Twin::None;
    }
    match other.state {
        State::Pending | State::Working => Twin::NotOver,
        State::Finish | State::Error if ran(other) => match report(ledger, &entry).await {
            Some(report) => Twin::Ran(Box::new(report)),
            None => Twin::None,
        },
        State::Finish | State::Error => Twin::None,
    }
}

/// Whether its end is a verdict on the commit.
fn ran(job: &Job) -> bool {
    match job.cause {
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
    let kept = match &job.result {
        Some(result) => {
            let bytes = ledger.results.fetch(job.id, job.attempt, result).await.ok()?;
            Some(CapturedOutput { bytes: bytes.to_vec(), omitted_bytes: result.omitted_bytes })
        }
        None => None,
    };
    let outcome = match (job.cause, job.fault) {
        (None, _) => Outcome::Finished,
        (Some(cause), Some(fault)) => {
            Outcome::Failed { cause, fault, message: job.message.clone().unwrap_or_default() }
        }
        (Some(_), None) => return None,
    };
    Some(ExecutionReport {
        outcome,
        sha: job.sha.clone(),
        language: job.language.clone(),
        prepare: job.timings_ms.prepare.map(Duration::from_millis),
        run: job.timings_ms.run.map(Duration::from_millis),
        prepared: job.prepared,
        exit_code: job.exit_code,
        peak_memory_bytes: job.peak_memory_bytes,
        stdout: kept,
        error_tail: job.error_tail.clone(),
        ..ExecutionReport::new()
    })
}
