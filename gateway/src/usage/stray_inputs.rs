//! Removes inputs without a job: the gateway that stored one ended before it wrote the record, the record was not
//! accepted, or its age removed it.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use jobs::{JobId, LedgerError};

use crate::{error::ApiError, usage::Budgets};

impl Budgets {
    /// Removes every input that is older than `life` and whose job has no record. Returns how many.
    ///
    /// A record that is written after its input was listed is found, since records are listed later, and read again.
    pub(crate) async fn remove_stray_inputs(&self, life: SignedDuration) -> Result<usize, ApiError> {
        let before = Timestamp::now() - life;
        let inputs = &self.ledger.inputs;
        let stored = inputs.stored().await.map_err(|error| ApiError::Unavailable(anyhow::anyhow!(error)))?;
        if stored.is_empty() {
            return Ok(0);
        }
        let known = self.ledger.jobs.subjects().await?;
        let known: HashSet<JobId> = known.iter().filter_map(|key| key.parse().ok()).collect();
        let mut removed = 0;
        for input in stored.into_iter().filter(|input| !known.contains(&input.job)) {
            let is_old = inputs.stored_at(input).await?.is_some_and(|at| at < before);
            if is_old && self.has_no_record(input.job).await? {
                inputs.remove(input.job).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    async fn has_no_record(&self, job: JobId) -> Result<bool, LedgerError> {
        Ok(self.ledger.job(job).await?.is_none())
    }
}
