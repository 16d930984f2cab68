//! Creates and queues a planned job: the same steps for pushes, pull requests and re-runs.

use jobs::{Cause, Delivery, DeliveryReason, JobId, NewJob, Outcome, Repo, Verdict};

use crate::{
    deliveries::{Deliveries, ref_heads::RefUpdate},
    error::ApiError,
};

/// What the last step writes into the delivery.
pub(super) struct Resolution {
    pub(super) verdict: Verdict,
    pub(super) reason: Option<DeliveryReason>,
    pub(super) jobs: Vec<JobId>,
}

impl Resolution {
    pub(super) fn new(verdict: Verdict, reason: DeliveryReason) -> Self {
        Self { verdict, reason: Some(reason), jobs: Vec::new() }
    }

    pub(super) fn duplicate_of(job: JobId) -> Self {
        Self { verdict: Verdict::Duplicate, reason: Some(DeliveryReason::DuplicateOf(job)), jobs: vec![job] }
    }
}

impl Deliveries {
    /// Writes the record and the head, then queue and status; a full queue ends the job at once.
    pub(super) async fn create_job(
        &self,
        delivery: &Delivery,
        new: impl Into<NewJob>,
        update: Option<(&RefUpdate, &Repo)>,
    ) -> Result<Resolution, ApiError> {
        let new = new.into();
        let job = new.spec.id;
        let is_full = delivery.reason == Some(DeliveryReason::QueueFull);
        let recording = async {
            Ok::<_, ApiError>(match is_full {
                true => {
                    let why = DeliveryReason::QueueFull.to_string();
                    self.ledger.record_ended(new, &Outcome::wished(Cause::Refused, &why)).await?
                }
                false => self.ledger.record(new).await?,
            })
        };
        let entry = match update {
            Some((update, repo)) => {
                // The head is read concurrently; it is written once the record is.
                let (entry, head) = tokio::try_join!(recording, self.head(update, repo))?;
                self.update_head_from(head, update, repo, Some(job).filter(|_| !is_full)).await?;
                entry
            }
            None => recording.await?,
        };
        if is_full {
            self.job_records.note(&entry).await;
            self.ledger.mark_status_dirty(&entry).await?;
            return Ok(Resolution {
                jobs: vec![job],
                ..Resolution::new(Verdict::Refused, DeliveryReason::QueueFull)
            });
        }
        // A record that was there already may have been changed since.
        if let Some(entry) = self.job_records.verified(entry) {
            self.ledger.announce(&entry).await?;
        }
        Ok(Resolution { verdict: Verdict::Accepted, reason: None, jobs: vec![job] })
    }
}

/// The job that this delivery's job repeats, if it is a replay.
pub(super) fn rerun_of(delivery: &Delivery) -> Option<JobId> {
    delivery.plan.rerun_of.as_ref()?.get()
}
