//! Authorizes a worker's request for a job: the record must be signed by a gateway, the job must be running,
//! and
//!
//! the attempt must be the worker's own.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use jobs::{Job, JobId, SecretEvent, SignatureError, State, WorkerName, bucket::Entry, record::MAX_FAILURES};

use crate::{
    crypto::record_verifier::{CLOCK_SKEW, SignatureStatus},
    grants::Grants,
    records::rejection_reason,
    repos::credentials::{NotGranted, refused, unavailable},
};

/// Above every sensible limit of fetching, preparing and running: workers configure theirs, and a gateway
/// does not read them. A day.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(24 * 3600);
/// Why nothing is granted for a job that was made before records were signed.
const UNSIGNED: &str = "the job is older than the signing of records; make a new one";
/// Why nothing is granted for an id that is too old, or of the future.
const STALE_ID: &str = "the job's id is not of a time at which the job could still go on";
/// Why nothing is granted for a job that ended.
const FINISHED: &str = "the job is over";
/// Why nothing is granted where only a newer gateway can decide.
const NEWER: &str = "a newer gateway signed the job's record";

impl Grants {
    /// The job whose attempt is the worker's, and the event by which its secrets are chosen.
    pub(crate) async fn job_to_grant(
        &self,
        worker: &WorkerName,
        id: JobId,
        attempt: u32,
    ) -> Result<(Job, Option<SecretEvent>), NotGranted> {
        let longest = max_job_age(self.job_records.max_queue_time);
        if !is_recent(id.made_at(), Timestamp::now(), longest) {
            return refused(STALE_ID);
        }
        let entry = self.ledger.job(id).await.map_err(unavailable)?;
        // Its record may have been rewritten since, but a final job stays final.
        if self.job_records.index.run(move |tables| tables.was_final(id)).await.map_err(unavailable)? {
            return refused(FINISHED);
        }
        let is_own_attempt = |entry: &Entry<Job>| {
            let job = &entry.value;
            job.status.state == State::Working
                && job.status.attempt == attempt
                && job.status.worker.as_ref() == Some(worker)
        };
        let Some(entry) = entry.filter(is_own_attempt) else {
            return refused("this attempt is not the asker's");
        };
        let event = self.event_to_grant(&entry).await?;
        Ok((entry.value, event))
    }

    /// The event that was signed. An unverified job ends here: another attempt would be refused too.
    async fn event_to_grant(&self, entry: &Entry<Job>) -> Result<Option<SecretEvent>, NotGranted> {
        match self.job_records.verifier.signature_status(entry) {
            // The commit decides what a worker runs with what it is given.
            SignatureStatus::Signed(signature)
                if signature.sha.is_none() || signature.sha == entry.value.spec.sha =>
            {
                Ok(signature.event)
            }
            SignatureStatus::Upgrading => self.job_records.event_of(&entry.value).await.map_err(unavailable),
            SignatureStatus::Legacy => refused(UNSIGNED),
            SignatureStatus::Rejected(SignatureError::Newer) => {
                Err(NotGranted::Unavailable(NEWER.to_owned()))
            }
            SignatureStatus::Signed(_) => self.end_for(entry, SignatureError::Forged).await,
            SignatureStatus::Rejected(doubt @ (SignatureError::Unsigned | SignatureError::Forged)) => {
                self.end_for(entry, doubt).await
            }
        }
    }

    async fn end_for<T>(&self, entry: &Entry<Job>, doubt: SignatureError) -> Result<T, NotGranted> {
        refused(self.job_records.end_unverified(entry, doubt).await.map_err(unavailable)?)
    }

    /// The job whose status is to be posted: also long after its end, but never of an unsigned record.
    pub(crate) async fn job_to_post(&self, id: JobId) -> Result<Option<Job>, NotGranted> {
        let Some(entry) = self.ledger.job(id).await.map_err(unavailable)? else { return Ok(None) };
        match self.job_records.verifier.signature_status(&entry) {
            SignatureStatus::Signed(_) | SignatureStatus::Upgrading => Ok(Some(entry.value)),
            SignatureStatus::Legacy => refused(UNSIGNED),
            SignatureStatus::Rejected(SignatureError::Newer) => {
                Err(NotGranted::Unavailable(NEWER.to_owned()))
            }
            SignatureStatus::Rejected(doubt @ (SignatureError::Unsigned | SignatureError::Forged)) => {
                self.job_records.verifier.reject_reason(&entry);
                refused(rejection_reason(doubt))
            }
        }
    }
}

/// The longest time from creation to the start of the last attempt: each attempt may have been queued for the
/// longest time.
fn max_job_age(max_queue_time: Duration) -> Duration {
    (max_queue_time + LONGEST_ATTEMPT) * MAX_FAILURES
}

fn is_recent(made_at: Option<Timestamp>, now: Timestamp, longest: Duration) -> bool {
    let longest = SignedDuration::try_from(longest).unwrap_or(SignedDuration::MAX);
    made_at.is_some_and(|made_at| {
        let age = now.duration_since(made_at);
        age <= longest && age >= -CLOCK_SKEW
    })
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    const HOUR: i64 = 3600;

    #[test_case(0 => true ; "just made")]
    #[test_case(143 * HOUR => true ; "three waits and three attempts")]
    #[test_case(145 * HOUR => false ; "older than any job")]
    #[test_case(-299 => true ; "a clock that is ahead")]
    #[test_case(-301 => false ; "of the future")]
    fn an_id_is_of_now_at_this_age(seconds: i64) -> bool {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let longest = max_job_age(Duration::from_secs(24 * 3600));
        is_recent(Some(now - SignedDuration::from_secs(seconds)), now, longest)
    }

    #[test]
    fn an_id_without_a_time_is_of_no_time() {
        assert!(!is_recent(None, Timestamp::now(), Duration::MAX));
    }
}
