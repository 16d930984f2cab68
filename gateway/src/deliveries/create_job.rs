//! The steps from a planned job to one that waits, the same for pushes, pull requests and reruns.

use jobs::{Cause, Delivery, JobId, NewJob, Outcome, Repo, Verdict};

use crate::{
    deliveries::{Deliveries, ingest::RERUN_OF, ref_heads::Moved},
    error::ApiError,
};

/// Why a delivery with a full queue makes no running job; noted before its record exists.
pub(super) const QUEUE_FULL: &str = "the owner's queue is full";

/// What the last step writes into the entry.
pub(super) struct Decided {
    pub(super) verdict: Verdict,
    pub(super) reason: Option<String>,
    pub(super) jobs: Vec<JobId>,
}

impl Decided {
    pub(super) fn because(verdict: Verdict, reason: &str) -> Self {
        Self { verdict, reason: Some(reason.to_owned()), jobs: Vec::new() }
    }

    pub(super) fn duplicate_of(job: JobId) -> Self {
        Self { verdict: Verdict::Duplicate, reason: Some(format!("duplicate of {job}")), jobs: vec![job] }
    }
}

impl Deliveries {
    /// Record, `heads`, and then queue and status; a full queue ends the job at once.
    pub(super) async fn make(
        &self,
        delivery: &Delivery,
        new: NewJob,
        moved: Option<(&Moved, &Repo)>,
    ) -> Result<Decided, ApiError> {
        let job = new.id;
        let is_full = delivery.reason.as_deref() == Some(QUEUE_FULL);
        let recording = async {
            Ok::<_, ApiError>(match is_full {
                true => self.ledger.record_ended(new, &Outcome::wished(Cause::Refused, QUEUE_FULL)).await?,
                false => self.ledger.record(new).await?,
            })
        };
        let entry = match moved {
            Some((moved, repo)) => {
                // The head is read beside; it is written once the record is.
                let (entry, head) = tokio::try_join!(recording, self.head(moved, repo))?;
                self.move_head_from(head, moved, repo, Some(job).filter(|_| !is_full)).await?;
                entry
            }
            None => recording.await?,
        };
        if is_full {
            self.job_records.note(&entry);
            self.ledger.mark_status_dirty(&entry).await?;
            return Ok(Decided { jobs: vec![job], ..Decided::because(Verdict::Refused, QUEUE_FULL) });
        }
        // A record that was there already may have been changed since.
        if let Some(entry) = self.job_records.believed(entry) {
            self.ledger.announce(&entry).await?;
        }
        Ok(Decided { verdict: Verdict::Accepted, reason: None, jobs: vec![job] })
    }
}

/// The job that this delivery's job repeats, when it is a replay.
pub(super) fn rerun_of(delivery: &Delivery) -> Option<JobId> {
    delivery.other.get(RERUN_OF)?.as_str()?.parse().ok()
}
