//! Noting that a program may begin, of jobs that must not be run twice.

use crate::{
    JobId,
    ledger::{Ledger, LedgerError},
};

impl Ledger {
    /// Notes that an attempt is about to begin its program. Returns whether it may: `false` when the attempt is
    /// outdated; then nothing was written.
    ///
    /// # Errors
    /// NATS is away: it may be noted, and the program must not begin.
    pub async fn begin(&self, id: JobId, attempt: u32) -> Result<bool, LedgerError> {
        Ok(self.change_attempt(id, attempt, |job| job.begun()).await?.is_some())
    }
}
