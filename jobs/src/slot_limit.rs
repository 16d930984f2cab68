//! The time limit of a slot, and jobs that need a slot for longer.
//!
//! How long a job may take is in its manifest, which is read after the checkout. A worker that has no
//! slot for so long notes the time in the record ([`crate::JobStatus::needs_s`]) and requeues the job, in one
//! write: a crash leaves both or neither. The queue's message repeats the time, so that nobody else
//! fetches the commit only to find the same.

use std::time::Duration;

use crate::{
    Job, JobId,
    bucket::Entry,
    ledger::{Ledger, LedgerError},
};

/// What a job says of itself while it waits for such a slot.
pub const WAITS_FOR_A_SLOT: &str = "waits for a slot: a worker's last free slot takes only short jobs";

/// For how long a slot may be used by one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotLimit {
    /// For any time.
    Unlimited,
    /// No longer than this.
    Within(Duration),
}

impl SlotLimit {
    /// Whether a job may be tried here that needs so many seconds, as far as that is known.
    pub fn admits(self, needs_s: Option<u64>) -> bool {
        match self {
            Self::Unlimited => true,
            Self::Within(limit) => needs_s.is_none_or(|needs_s| Duration::from_secs(needs_s) <= limit),
        }
    }
}

impl Ledger {
    /// Puts an attempt back on the queue at once that needs a slot for this long; it costs no failure.
    ///
    /// # Errors
    /// NATS is away; what was not written is done when the lease expires, what was not queued is queued by
    /// the reconciler.
    pub async fn requeue_for_longer_slot(
        &self,
        id: JobId,
        attempt: u32,
        time: Duration,
    ) -> Result<Option<Entry<Job>>, LedgerError> {
        let entry = self.change_attempt(id, attempt, |job| job.requeued_for_longer_slot(time)).await?;
        if let Some(entry) = &entry {
            // The forge may have been told that it runs.
            self.mark_status_dirty(entry).await?;
            self.enqueue(&entry.value).await?;
        }
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;
    use crate::{JobSpec, Outcome, State, UserId};

    #[test_case(None => true ; "nothing is known of it")]
    #[test_case(Some(59) => true)]
    #[test_case(Some(60) => true ; "exactly as long")]
    #[test_case(Some(61) => false)]
    #[test_case(Some(u64::MAX) => false)]
    fn there_is_a_minute_for(needs_s: Option<u64>) -> bool {
        assert!(SlotLimit::Unlimited.admits(needs_s));
        SlotLimit::Within(Duration::from_secs(60)).admits(needs_s)
    }

    #[test]
    fn the_time_stays_in_the_record_and_costs_nothing() {
        let worker = "w".parse().unwrap();
        let job = Job::new(JobSpec::call(UserId::new(), "https://example.com/r.git"));
        let back = job.claimed(&worker).unwrap().requeued_for_longer_slot(Duration::from_millis(3_600_001));
        assert_eq!(
            (back.status.state, back.status.failures, back.status.needs_s),
            (State::Pending, 0, Some(3601))
        );
        assert_eq!(back.status.message.as_deref(), Some(WAITS_FOR_A_SLOT));
        let again = back.claimed(&worker).unwrap();
        assert_eq!((again.status.needs_s, again.status.message.as_deref()), (Some(3601), None));
        assert_eq!(again.requeued_for_longer_slot(Duration::from_secs(61)).status.needs_s, Some(3601));
        assert_eq!(again.ended(&Outcome::Finished).status.needs_s, Some(3601));
    }
}
