//! Verifies job records: workers write them, so only what a gateway signed counts.
//!
//! Everything that shows a job, grants something for it or reruns it verifies the record here first. A record
//! whose signature does not verify is shown to admins alone, gets no grant, is not rerun, and is ended. One
//! that is older than signatures stays readable by its owner and gets nothing else.
//!
//! `rerun.rs` has what a rerun copies, `upgrade.rs` the signing of records of older versions,
//! `end_unverified.rs` the end of records that do not verify. The key is in [`crate::crypto`], what a grant
//! needs in [`crate::grants`].

use std::{sync::Arc, time::Duration};

use jobs::Ledger;

use crate::{
    crypto::record_verifier::{RecordVerifier, SignatureStatus},
    index::{Change, Durability, Index},
};

mod end_unverified;
mod event;
mod rerun;
mod upgrade;

pub(crate) use end_unverified::rejection_reason;
use jobs::{Job, JobId, LedgerError, bucket::Entry};
pub(crate) use upgrade::{Upgrade, follow, mark};

/// Reads records of jobs, and verifies them.
pub(crate) struct JobRecords {
    pub(crate) ledger: Ledger,
    pub(crate) index: Arc<Index>,
    pub(crate) verifier: Arc<RecordVerifier>,
    /// How long a job may be queued.
    pub(crate) max_queue_time: Duration,
}

impl JobRecords {
    /// The record of a job, if it verifies; with the commit that was signed, where one was.
    pub(crate) async fn record(&self, id: JobId) -> Result<Option<Entry<Job>>, LedgerError> {
        Ok(self.ledger.job(id).await?.and_then(|entry| self.verified(entry)))
    }

    /// An entry, if it verifies; see [`JobRecords::record`].
    pub(crate) fn verified(&self, mut entry: Entry<Job>) -> Option<Entry<Job>> {
        match self.verifier.signature_status(&entry) {
            SignatureStatus::Signed(signature) => {
                entry.value.spec.sha = signature.sha.or(entry.value.spec.sha);
                Some(entry)
            }
            SignatureStatus::Upgrading | SignatureStatus::Legacy => Some(entry),
            SignatureStatus::Rejected(doubt) => {
                tracing::debug!(job.id = entry.key, reason = doubt.as_str(), "record not verified");
                None
            }
        }
    }
}

impl JobRecords {
    /// Writes an own change to the index, so that the next list has it. Without this the list has it a
    /// moment later, so an error here fails no request.
    pub(crate) async fn note(&self, entry: &Entry<Job>) {
        let change = Change::Put(Box::new(entry.clone()));
        if let Err(error) = self.index.apply_jobs(vec![change], None, Durability::Later).await {
            let error: anyhow::Error = error.into();
            tracing::warn!(error = format!("{error:#}"), "own write not indexed");
        }
    }
}
