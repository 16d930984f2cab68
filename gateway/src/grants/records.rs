//! What a worker must show before it is granted anything for a job: a record that a gateway signed, of a
//! job that goes on, in an attempt of the worker's own.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use jobs::{Doubt, Job, JobId, SecretEvent, State, WorkerName, bucket::Entry, record::MAX_ATTEMPTS};

use crate::{
    crypto::record_verifier::{CLOCK_SKEW, SignatureStatus},
    grants::Grants,
    records::sentence,
    repos::credentials::{NotGranted, refused, unavailable},
};

/// Above every ceiling of fetching, preparing and running that makes sense: workers set theirs
/// themselves, and a gateway does not read them. A day.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(24 * 3600);
/// Why nothing is given of a job that was made before records were signed.
const OLD: &str = "the job is older than the signing of records; make a new one";
/// Why nothing is given for an id that no gateway made lately.
const OUT_OF_TIME: &str = "the job's id is not of a time at which the job could still go on";
/// Why nothing is given for a job that ended.
const OVER: &str = "the job is over";
/// Why nothing is given where a newer gateway may know better.
const NEWER: &str = "a newer gateway signed the job's record";

impl Grants {
    /// The job whose attempt is the asker's, and the event by which its secrets are chosen.
    pub(crate) async fn job_to_grant(
        &self,
        worker: &WorkerName,
        id: JobId,
        attempt: u32,
    ) -> Result<(Job, Option<SecretEvent>), NotGranted> {
        let longest = longest_life(self.job_records.max_queue_time);
        if !is_of_now(id.made_at(), Timestamp::now(), longest) {
            return refused(OUT_OF_TIME);
        }
        let entry = self.ledger.job(id).await.map_err(unavailable)?;
        // Its record may have been written again since, but an end stays one.
        if self.job_records.index.is_over(id).map_err(unavailable)? {
            return refused(OVER);
        }
        let is_its = |entry: &Entry<Job>| {
            let job = &entry.value;
            job.state == State::Working && job.attempt == attempt && job.worker.as_ref() == Some(worker)
        };
        let Some(entry) = entry.filter(is_its) else {
            return refused("this attempt is not the asker's");
        };
        let event = self.event_to_grant(&entry).await?;
        Ok((entry.value, event))
    }

    /// The event that was signed. What is not believed ends here: another attempt would get nothing too.
    async fn event_to_grant(&self, entry: &Entry<Job>) -> Result<Option<SecretEvent>, NotGranted> {
        match self.job_records.verifier.signature_status(entry) {
            // The commit decides what a worker runs with what it is given.
            SignatureStatus::Signed(signature)
                if signature.sha.is_none() || signature.sha == entry.value.sha =>
            {
                Ok(signature.event)
            }
            SignatureStatus::Upgrading => self.job_records.event_of(&entry.value).await.map_err(unavailable),
            SignatureStatus::Legacy => refused(OLD),
            SignatureStatus::Rejected(Doubt::Newer) => Err(NotGranted::Unavailable(NEWER.to_owned())),
            SignatureStatus::Signed(_) => self.end_for(entry, Doubt::Forged).await,
            SignatureStatus::Rejected(doubt @ (Doubt::Unsigned | Doubt::Forged)) => {
                self.end_for(entry, doubt).await
            }
        }
    }

    async fn end_for<T>(&self, entry: &Entry<Job>, doubt: Doubt) -> Result<T, NotGranted> {
        refused(self.job_records.end_doubted(entry, doubt).await.map_err(unavailable)?)
    }

    /// The job whose status is to be posted: also long after its end, but never of a record that is not
    /// signed.
    pub(crate) async fn job_to_post(&self, id: JobId) -> Result<Option<Job>, NotGranted> {
        let Some(entry) = self.ledger.job(id).await.map_err(unavailable)? else { return Ok(None) };
        match self.job_records.verifier.signature_status(&entry) {
            SignatureStatus::Signed(_) | SignatureStatus::Upgrading => Ok(Some(entry.value)),
            SignatureStatus::Legacy => refused(OLD),
            SignatureStatus::Rejected(Doubt::Newer) => Err(NotGranted::Unavailable(NEWER.to_owned())),
            SignatureStatus::Rejected(doubt @ (Doubt::Unsigned | Doubt::Forged)) => {
                self.job_records.verifier.reject_reason(&entry);
                refused(sentence(doubt))
            }
        }
    }
}

/// From its making to the start of its last attempt: each of them may have waited as long as a job may.
fn longest_life(max_queue_time: Duration) -> Duration {
    (max_queue_time + LONGEST_ATTEMPT) * MAX_ATTEMPTS
}

fn is_of_now(made_at: Option<Timestamp>, now: Timestamp, longest: Duration) -> bool {
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
        let longest = longest_life(Duration::from_secs(24 * 3600));
        is_of_now(Some(now - SignedDuration::from_secs(seconds)), now, longest)
    }

    #[test]
    fn an_id_without_a_time_is_of_no_time() {
        assert!(!is_of_now(None, Timestamp::now(), Duration::MAX));
    }
}
