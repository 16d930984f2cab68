//! Ends jobs whose record does not verify: no worker gets them again, and the record says why.
//!
//! No status is posted, because the commit is not known either.

use jobs::{Cause, Job, JobId, LedgerError, Outcome, SignatureError, bucket::Entry};

use crate::index::Tables;
use crate::{crypto::record_verifier::SignatureStatus, error::ApiError, records::JobRecords};

/// The reason for a record that was reopened after its end.
const REOPENED: &str = "the job's record was changed after its end, by something that is no gateway";

/// The reason that an unverified record ends with.
pub(crate) fn rejection_reason(doubt: SignatureError) -> &'static str {
    match doubt {
        SignatureError::Unsigned => {
            "the job's record is not signed: a gateway of an older version made it after the others were upgraded, or no gateway did"
        }
        SignatureError::Forged => "the job's record does not say what a gateway signed",
        SignatureError::Newer => "a newer gateway signed the job's record",
    }
}

impl JobRecords {
    /// Ends an unverified record, and returns the reason.
    pub(crate) async fn end_unverified(
        &self,
        entry: &Entry<Job>,
        doubt: SignatureError,
    ) -> Result<&'static str, LedgerError> {
        // A record whose commit was changed verifies by itself, so it is logged here.
        if self.verifier.reject_reason(entry).is_none() {
            tracing::warn!(job.id = entry.key, "job commit differs from signed commit");
        }
        self.end_without_status(entry, rejection_reason(doubt)).await?;
        Ok(rejection_reason(doubt))
    }

    async fn end_without_status(&self, entry: &Entry<Job>, why: &str) -> Result<(), LedgerError> {
        let Ok(id) = entry.key.parse::<JobId>() else { return Ok(()) };
        let ended = self.ledger.end_without_status(id, &Outcome::service(Cause::Refused, why)).await?;
        if let Some(ended) = ended {
            self.note(&ended).await;
        }
        Ok(())
    }

    /// Ends every open record that the index has as unverified; the record is read again first.
    pub(crate) async fn end_all_unverified(&self) -> Result<(), ApiError> {
        self.end_unverified_of(self.index.run(Tables::unverified_jobs).await?).await
    }

    /// The same for these jobs; verified open ones are left alone.
    pub(crate) async fn end_unverified_of(
        &self,
        jobs: impl IntoIterator<Item = JobId>,
    ) -> Result<(), ApiError> {
        for id in jobs {
            let Some(entry) = self.ledger.job(id).await? else {
                self.index.run(move |tables| tables.forget_job(id)).await?;
                continue;
            };
            if entry.value.status.state.is_final() {
                continue;
            }
            match self.verifier.signature_status(&entry) {
                SignatureStatus::Rejected(doubt @ (SignatureError::Unsigned | SignatureError::Forged)) => {
                    self.end_unverified(&entry, doubt).await?;
                }
                // A newer gateway handles it.
                SignatureStatus::Rejected(SignatureError::Newer) => {}
                SignatureStatus::Signed(_) | SignatureStatus::Upgrading | SignatureStatus::Legacy
                    if self.index.run(move |tables| tables.was_final(id)).await? =>
                {
                    tracing::warn!(job.id = %id, revision = entry.revision, "job record reopened after its end");
                    self.end_without_status(&entry, REOPENED).await?;
                }
                SignatureStatus::Signed(_) | SignatureStatus::Upgrading | SignatureStatus::Legacy => {}
            }
        }
        Ok(())
    }
}
