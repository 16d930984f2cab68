//! What made a job in the first place.

use jobs::{Job, SecretEvent, Trigger};

use crate::{error::ApiError, records::JobRecords};

/// A rerun of a rerun is followed so far back.
const MAX_RERUNS: usize = 32;

impl JobRecords {
    /// What made a job in the first place, however often it was run again: of a record that nobody signed,
    /// where it was made before records were. `None` when that is not known any more: then it gets no
    /// secrets.
    pub(crate) async fn event_of(&self, job: &Job) -> Result<Option<SecretEvent>, ApiError> {
        let (mut trigger, mut before) = (job.trigger, job.rerun_of);
        for _ in 0..MAX_RERUNS {
            let Trigger::Rerun = trigger else { return Ok(SecretEvent::of(trigger)) };
            let Some(id) = before else { return Ok(None) };
            let Some(original) = self.ledger.job(id).await? else { return Ok(None) };
            (trigger, before) = (original.value.trigger, original.value.rerun_of);
        }
        Ok(None)
    }
}
