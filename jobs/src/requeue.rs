//! Attempts that are put back on the queue, without anybody's fault.

use crate::{
    JobId,
    bucket::Entry,
    ledger::{Ledger, LedgerError},
    record::Job,
};

impl Ledger {
    /// Puts an attempt back on the queue at once; it costs no failure. One that must not be repeated ends.
    ///
    /// # Errors
    /// NATS is away; then the lease will expire and the reconciler does it.
    pub async fn requeue(&self, id: JobId, attempt: u32) -> Result<Option<Entry<Job>>, LedgerError> {
        let entry = self.change_attempt(id, attempt, |job| job.requeued()).await?;
        match &entry {
            Some(entry) if entry.value.status.state.is_final() => self.mark_status_dirty(entry).await?,
            Some(entry) => self.enqueue(&entry.value).await?,
            None => {}
        }
        Ok(entry)
    }

    /// Puts an attempt back that waits for another job of its commit, to be queued a little later; it costs no
    /// failure.
    ///
    /// # Errors
    /// NATS is away; then the lease will expire and the reconciler does it.
    pub async fn defer(&self, id: JobId, attempt: u32) -> Result<Option<Entry<Job>>, LedgerError> {
        self.change_attempt(id, attempt, |job| job.deferred()).await
    }
}
