//! The event that originally triggered a job.

use jobs::{Job, SecretEvent, Trigger};

use crate::{error::ApiError, records::JobRecords};

/// How far a chain of reruns is followed back.
const MAX_RERUNS: usize = 32;

impl JobRecords {
    /// The event that originally triggered a job, through any number of reruns, for unsigned records of older
    /// versions. `None` when it is not known any more: then the job gets no secrets.
    pub(crate) async fn event_of(&self, job: &Job) -> Result<Option<SecretEvent>, ApiError> {
        let (mut trigger, mut before) = (job.spec.trigger, job.spec.rerun_of);
        for _ in 0..MAX_RERUNS {
            let Trigger::Rerun = trigger else { return Ok(SecretEvent::of(trigger)) };
            let Some(id) = before else { return Ok(None) };
            let Some(original) = self.ledger.job(id).await? else { return Ok(None) };
            (trigger, before) = (original.value.spec.trigger, original.value.spec.rerun_of);
        }
        Ok(None)
    }
}
