//! The only moves that the state of a record may make.

use std::time::Duration;

use super::{Job, JobStatus, message::message_of};
use crate::{Cause, CommitSha, Outcome, State, WorkerName, log::MAX_LOG_BYTES, slot_limit::WAITS_FOR_A_SLOT};

/// A job that waits for another of its commit looks again after so many seconds.
const DEFER_S: u64 = 3;
/// How a job ends that must not be run again.
const MAY_HAVE_RUN: &str =
    "the service failed when the program may have begun; it may have run, so it is not run again";
/// After so many failures that were ours a job is over. Other attempts (a shutdown, a slot that is too
/// short, waiting for a job of the same commit) do not count.
pub const MAX_FAILURES: u32 = 3;

impl Job {
    /// `pending → working`, as attempt `attempt + 1`. `None` when the record does not wait.
    pub(crate) fn claimed(&self, worker: &WorkerName) -> Option<Self> {
        let status = &self.status;
        (status.state == State::Pending).then(|| {
            self.with(JobStatus {
                state: State::Working,
                attempt: status.attempt + 1,
                worker: Some(worker.clone()),
                // What it waited for is over; why it is tried again stays until its end.
                message: status.message.clone().filter(|_| status.retry_after_s.is_some()),
                retry_after_s: None,
                started_at: None,
                began: false,
                log_bytes: Some(status.log_bytes.unwrap_or_default() + MAX_LOG_BYTES),
                ..status.clone()
            })
        })
    }

    /// `working → pending` without anybody's fault: a shutdown, or a worker that is gone. One that may have run and
    /// must not run again ends instead.
    pub(crate) fn requeued(&self) -> Self {
        self.given_back(self.status.failures)
    }

    /// The same before its program began, to enter JOBS again after a while: it waits for another job.
    pub(crate) fn deferred(&self) -> Self {
        let requeued = self.before_its_run();
        requeued.with(JobStatus { retry_after_s: Some(DEFER_S), ..requeued.status.clone() })
    }

    /// The same before its program began, for a slot that may be used for this long.
    pub(crate) fn requeued_for_longer_slot(&self, time: Duration) -> Self {
        let whole = time.as_secs() + u64::from(time.subsec_nanos() > 0);
        let requeued = self.before_its_run();
        requeued.with(JobStatus {
            needs_s: Some(whole.max(self.status.needs_s.unwrap_or(0))),
            message: Some(WAITS_FOR_A_SLOT.to_owned()),
            ..requeued.status.clone()
        })
    }

    /// As [`Job::requeued`], at the cost of a failure: the worker was lost.
    pub(crate) fn requeued_after_loss(&self) -> Self {
        self.given_back(self.status.failures + 1)
    }

    /// How a job ends whose worker was lost; `None` where it is tried again.
    pub(crate) fn outcome_of_loss(&self) -> Option<Outcome> {
        let failures = self.status.failures + 1;
        let is_over = failures >= MAX_FAILURES;
        let lost = || Outcome::service(Cause::Lost, format!("its worker was lost {failures} times"));
        self.outcome_of_begun().or_else(|| is_over.then(lost))
    }

    /// The program is about to begin.
    pub(crate) fn begun(&self) -> Self {
        self.with(JobStatus { began: true, ..self.status.clone() })
    }

    /// The attempt never came to its program after all.
    #[must_use]
    pub fn not_begun(self) -> Self {
        let status = JobStatus { began: false, ..self.status };
        Self { status, ..self }
    }

    /// How a job ends after a fault of ours that must not be run again; `None` of all others.
    fn outcome_of_begun(&self) -> Option<Outcome> {
        let may_have_run = self.spec.runs_once() && self.status.began;
        may_have_run.then(|| Outcome::service(Cause::Lost, MAY_HAVE_RUN))
    }

    fn given_back(&self, failures: u32) -> Self {
        if let Some(lost) = self.outcome_of_begun() {
            return self.finished(failures, &lost);
        }
        let pending = self.before_its_run();
        pending.with(JobStatus { failures, ..pending.status.clone() })
    }

    /// Back on the queue. Such an attempt logs a few lines at most.
    fn before_its_run(&self) -> Self {
        self.clone().with_log(0).queued_again()
    }

    /// A pending job whose message is not in the queue, to be queued under a new number: the duplicate window
    /// may swallow the old one.
    pub(crate) fn renumbered(&self) -> Self {
        self.with(JobStatus { times_queued: self.status.times_queued + 1, ..self.status.clone() })
    }

    fn queued_again(&self) -> Self {
        let pending = self.renumbered();
        pending.with(JobStatus { state: State::Pending, began: false, ..pending.status.clone() })
    }

    /// What an attempt found out about what it runs, for later attempts. A commit that was given stays what it
    /// is, for it is signed.
    #[must_use]
    pub fn learned(mut self, sha: Option<CommitSha>, language: Option<&str>) -> Self {
        self.spec.sha = self.spec.sha.or(sha);
        self.status.language = language.map(str::to_owned).or(self.status.language);
        self
    }

    /// Replaces the most that this attempt's log may take up by what it does, in bytes.
    #[must_use]
    pub fn with_log(mut self, bytes: u64) -> Self {
        let before = self.status.log_bytes.unwrap_or_default().saturating_sub(MAX_LOG_BYTES);
        self.status.log_bytes = Some(before + bytes);
        self
    }

    /// The end of an attempt: a final state, or `pending` again where another attempt may help and is allowed.
    pub(crate) fn ended(&self, outcome: &Outcome) -> Self {
        let failures = self.status.failures + u32::from(outcome.may_be_retried());
        if outcome.may_be_retried()
            && let Some(lost) = self.outcome_of_begun()
        {
            return self.finished(failures, &lost);
        }
        if outcome.may_be_retried() && failures < MAX_FAILURES {
            let pending = self.queued_again();
            return pending.with(JobStatus {
                failures,
                retry_after_s: Some(retry_delay_s(failures)),
                message: message_of(outcome),
                ..pending.status.clone()
            });
        }
        self.finished(failures, outcome)
    }

    /// The end from outside, whatever the job is doing; no other attempt is made. `None` when it is over.
    pub(crate) fn aborted(&self, outcome: &Outcome) -> Option<Self> {
        (!self.status.state.is_final()).then(|| self.finished(self.status.failures, outcome))
    }

    fn finished(&self, failures: u32, outcome: &Outcome) -> Self {
        let (cause, fault) = match outcome {
            Outcome::Finished | Outcome::Built => (None, None),
            Outcome::Skipped { .. } => (Some(Cause::Skipped), None),
            Outcome::Failed { cause, fault, .. } => (Some(*cause), Some(*fault)),
        };
        self.with(JobStatus {
            state: outcome.state(),
            failures,
            built: *outcome == Outcome::Built,
            cause,
            fault,
            message: message_of(outcome),
            retry_after_s: None,
            ..self.status.clone()
        })
    }

    fn with(&self, status: JobStatus) -> Self {
        Self { status, ..self.clone() }
    }
}

/// A retry after our fault waits 10 s, then 60 s: a forge that restarts, then one that is repaired.
fn retry_delay_s(failures: u32) -> u64 {
    if failures <= 1 { 10 } else { 60 }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;
    use crate::{CommitState, Fault, FunctionCall, JobSpec, UserId};

    fn working() -> Job {
        let job = Job::new(JobSpec::call(UserId::new(), "https://example.com/r.git"));
        job.claimed(&"w1".parse().unwrap()).unwrap()
    }

    #[test]
    fn only_a_pending_job_can_be_claimed() {
        let job = working();
        assert_eq!(job.status.attempt, 1);
        assert!(job.claimed(&"w2".parse().unwrap()).is_none());
        assert!(job.ended(&Outcome::Finished).claimed(&"w2".parse().unwrap()).is_none());
    }

    #[test]
    fn our_fault_is_retried_after_10_and_60_seconds_and_then_final() {
        let fault = Outcome::service(Cause::Checkout, "forge out of reach");
        let first = working().ended(&fault);
        assert_eq!(
            (first.status.state, first.status.retry_after_s, first.status.failures),
            (State::Pending, Some(10), 1)
        );
        let second = first.claimed(&"w".parse().unwrap()).unwrap().ended(&fault);
        assert_eq!(
            (second.status.state, second.status.retry_after_s, second.status.failures),
            (State::Pending, Some(60), 2)
        );
        let third = second.claimed(&"w".parse().unwrap()).unwrap().ended(&fault);
        assert_eq!(
            (third.status.state, third.status.cause, third.status.fault),
            (State::Error, Some(Cause::Checkout), Some(Fault::Service))
        );
        assert_eq!(third.commit_state(), CommitState::Error);
    }

    #[test]
    fn handing_back_costs_no_failure() {
        let job = working().requeued();
        assert_eq!((job.status.state, job.status.failures, job.status.times_queued), (State::Pending, 0, 2));
    }

    #[test]
    fn a_log_is_charged_at_its_most_until_its_length_is_known() {
        let first = working();
        assert_eq!(first.status.log_bytes, Some(MAX_LOG_BYTES));
        let worker = "w".parse().unwrap();
        let lost = first.ended(&Outcome::service(Cause::Lost, "no word"));
        let second = lost.claimed(&worker).unwrap();
        assert_eq!(
            second.status.log_bytes,
            Some(2 * MAX_LOG_BYTES),
            "what a lost attempt wrote is not known"
        );
        assert_eq!(second.with_log(7).status.log_bytes, Some(MAX_LOG_BYTES + 7));
        assert_eq!(first.requeued().claimed(&worker).unwrap().status.log_bytes, Some(MAX_LOG_BYTES));
    }

    #[test]
    fn a_build_is_green_and_a_skip_has_a_cause() {
        let end = |outcome: &Outcome| {
            let job = working().ended(outcome);
            assert_eq!((job.status.state, job.commit_state()), (State::Finish, CommitState::Success));
            (job.status.cause, job.status.built, job.status.message)
        };
        assert_eq!(end(&Outcome::Finished), (None, false, None));
        assert_eq!(end(&Outcome::Built), (None, true, Some("built, not run".to_owned())));
        let skipped = Outcome::Skipped { why: "no matching path".to_owned() };
        assert_eq!(end(&skipped), (Some(Cause::Skipped), false, Some("no matching path".to_owned())));
    }

    #[test]
    fn an_end_from_outside_is_final_and_comes_once() {
        let fault = Outcome::service(Cause::Lost, "no worker took the job");
        let ended = working().aborted(&fault).unwrap();
        assert_eq!((ended.status.state, ended.status.failures), (State::Error, 0));
        assert!(ended.aborted(&Outcome::Finished).is_none());
    }

    #[test]
    fn the_third_lost_worker_ends_a_job() {
        let worker = "w".parse().unwrap();
        let mut job = working();
        for failures in 1..MAX_FAILURES {
            assert_eq!(job.outcome_of_loss(), None);
            job = job.requeued_after_loss();
            assert_eq!((job.status.state, job.status.failures), (State::Pending, failures));
            job = job.claimed(&worker).unwrap();
        }
        let lost = Outcome::service(Cause::Lost, "its worker was lost 3 times");
        assert_eq!(job.outcome_of_loss(), Some(lost));
    }
    /// A call of a function whose program has begun, and one whose manifest allows that it is run again.
    fn begun(repeatable: bool) -> Job {
        let function = Some(FunctionCall { name: "pi".to_owned(), repeatable });
        let spec = JobSpec { function, ..JobSpec::call(UserId::new(), "https://example.com/r.git") };
        Job::new(spec).claimed(&"w1".parse().unwrap()).unwrap().begun()
    }

    #[test_case(|job| job.requeued() => 0 ; "a shutdown")]
    #[test_case(|job| job.requeued_after_loss() => 1 ; "a lost worker")]
    #[test_case(|job| job.ended(&Outcome::service(Cause::Lost, "Docker")) => 1 ; "Docker")]
    #[test_case(|job| job.aborted(&job.outcome_of_loss().unwrap()).unwrap() => 0 ; "an expired lease")]
    fn a_call_that_may_have_run_is_not_run_again_after_our_fault(fault: fn(&Job) -> Job) -> u32 {
        let job = fault(&begun(false));
        let JobStatus { state, cause, fault: whose, message, failures, began, .. } = job.status;
        assert_eq!(
            (state, cause, whose, began),
            (State::Error, Some(Cause::Lost), Some(Fault::Service), true)
        );
        assert!(message.unwrap().contains("may have run"));
        failures
    }

    #[test]
    fn a_call_is_run_again_while_its_program_has_not_begun() {
        let not_begun = begun(false).not_begun();
        assert_eq!(not_begun.outcome_of_loss(), None);
        let fault = Outcome::service(Cause::Lost, "no container");
        for job in [not_begun.requeued(), not_begun.requeued_after_loss(), not_begun.ended(&fault)] {
            assert_eq!(job.status.state, State::Pending);
        }
    }

    #[test]
    fn a_call_that_may_be_repeated_is() {
        let job = begun(true);
        assert_eq!(job.outcome_of_loss(), None);
        let again = job.requeued_after_loss();
        assert_eq!((again.status.state, again.status.began), (State::Pending, false));
    }

    #[test_case(&Outcome::Finished => State::Finish)]
    #[test_case(&Outcome::function(Cause::Exit, "exit code 1") => State::Error)]
    fn an_end_of_its_own_is_an_end_as_any(outcome: &Outcome) -> State {
        let ended = begun(false).ended(outcome);
        assert_ne!(ended.status.cause, Some(Cause::Lost));
        ended.status.state
    }
}
