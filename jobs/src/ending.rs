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
        let Some(entry) = self.end_untold(id, outcome).await? else { return Ok(None) };
        self.mark_status_dirty(&entry).await?;
        Ok(Some(entry))
    }

    /// The same without a word to the forge: for a record that says what no gateway signed.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn end_untold(&self, id: JobId, outcome: &Outcome) -> Result<Option<Entry<Job>>, LedgerError> {
        let ended = |entry: &Entry<Job>| {
            let job = Job { failures: u32::MAX - 1, ..entry.value.clone() };
            (!entry.value.state.is_final())
                .then(|| Job { failures: entry.value.failures, ..entry.noted(job.ended(outcome)) })
        };
        let entry = self.jobs.change(&id.to_string(), ended).await?;
        self.tell_worker(id).await;
        Ok(entry)
    }

    /// Tells whoever runs a job to look at its record again. A lost word is covered by the look at
    /// every beat of the lease.
    pub async fn tell_worker(&self, id: JobId) {
        let _ = self.client.publish(streams::cancel(id), "".into()).await;
    }
}
