//! Ending a job from outside, whatever it is doing.

use crate::{
    JobId, Outcome,
    bucket::Entry,
    ledger::{Ledger, LedgerError},
    record::Job,
    streams,
};

impl Ledger {
    /// Ends a job from outside, whatever it is doing: cancelled, superseded, refused or lost.
    /// Returns the record, which may have ended otherwise before; `None` when there is no such job.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn end(&self, id: JobId, outcome: &Outcome) -> Result<Option<Entry<Job>>, LedgerError> {
        let Some(entry) = self.end_without_status(id, outcome).await? else { return Ok(None) };
        self.mark_status_dirty(&entry).await?;
        Ok(Some(entry))
    }

    /// The same without a status at the forge: for a record that says what no gateway signed.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn end_without_status(
        &self,
        id: JobId,
        outcome: &Outcome,
    ) -> Result<Option<Entry<Job>>, LedgerError> {
        let ended = |entry: &Entry<Job>| entry.value.aborted(outcome).map(|job| entry.with_server_times(job));
        let entry = self.jobs.change(&id.to_string(), ended).await?;
        self.notify_worker(id).await;
        Ok(entry)
    }

    /// Notifies the worker that runs a job to read its record again. A lost message is covered by the look
    /// at every heartbeat of the lease.
    pub async fn notify_worker(&self, id: JobId) {
        let _ = self.client.publish(streams::cancel(id), "".into()).await;
    }
}
