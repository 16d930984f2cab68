//! The only moves that the state of a record may make.

use super::{Job, message::message_of};
use crate::{Cause, Outcome, State, WorkerName, log::MAX_LOG_BYTES};

/// A job that waits for another of its commit looks again after so many seconds.
const DEFER_S: u64 = 3;
/// After so many attempts that ended by our fault a job is over.
pub const MAX_ATTEMPTS: u32 = 3;

impl Job {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CommitState, Fault, NewJob, UserId};

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
}
