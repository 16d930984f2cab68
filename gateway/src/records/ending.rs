//! The end of what is not believed: no worker gets it again, and the record says why.
//!
//! The forge is told nothing of it, for which commit it is of is not known either.

use jobs::{Cause, Doubt, Job, JobId, LedgerError, Outcome, bucket::Entry};

use crate::{crypto::record_verifier::SignatureStatus, error::ApiError, records::JobRecords};

/// Of a record that went on after its end.
const REOPENED: &str = "the job's record was changed after its end, by something that is no gateway";

/// What a record that is not believed ends with.
pub(crate) fn sentence(doubt: Doubt) -> &'static str {
    match doubt {
        Doubt::Unsigned => {
            "the job's record is not signed: a gateway of an older version made it after the others were upgraded, or no gateway did"
        }
        Doubt::Forged => "the job's record does not say what a gateway signed",
        Doubt::Newer => "a newer gateway signed the job's record",
    }
}

impl JobRecords {
    /// Ends a record that is not believed, and tells why.
    pub(crate) async fn end_doubted(
        &self,
        entry: &Entry<Job>,
        doubt: Doubt,
    ) -> Result<&'static str, LedgerError> {
        // Of a commit that was changed the record itself says nothing wrong, so it is counted here.
        if self.verifier.reject_reason(entry).is_none() {
            tracing::warn!(job.id = entry.key, "a job's commit is not the one that was signed");
        }
        self.end_without_status(entry, sentence(doubt)).await?;
        Ok(sentence(doubt))
    }

    async fn end_without_status(&self, entry: &Entry<Job>, why: &str) -> Result<(), LedgerError> {
        let Ok(id) = entry.key.parse::<JobId>() else { return Ok(()) };
        let ended = self.ledger.end_without_status(id, &Outcome::service(Cause::Refused, why)).await?;
        if let Some(ended) = ended {
            self.note(&ended).await;
        }
        Ok(())
    }

    /// Ends every open record that the index has in doubt; what the leader says now decides.
    pub(crate) async fn end_all_doubted(&self) -> Result<(), ApiError> {
        self.end_doubted_of(self.index.doubted()?).await
    }

    /// The same of these jobs; those that are believed and go on are left alone.
    pub(crate) async fn end_doubted_of(&self, jobs: impl IntoIterator<Item = JobId>) -> Result<(), ApiError> {
        for id in jobs {
            let Some(entry) = self.ledger.job(id).await? else {
                self.index.forget_job(id)?;
                continue;
            };
            if entry.value.state.is_final() {
                continue;
            }
            match self.verifier.signature_status(&entry) {
                SignatureStatus::Rejected(doubt @ (Doubt::Unsigned | Doubt::Forged)) => {
                    self.end_doubted(&entry, doubt).await?;
                }
                // Those who understand it will see to it.
                SignatureStatus::Rejected(Doubt::Newer) => {}
                SignatureStatus::Signed(_) | SignatureStatus::Upgrading | SignatureStatus::Legacy
                    if self.index.is_over(id)? =>
                {
                    tracing::warn!(job.id = %id, revision = entry.revision, "a job's record went on after its end");
                    self.end_without_status(&entry, REOPENED).await?;
                }
                SignatureStatus::Signed(_) | SignatureStatus::Upgrading | SignatureStatus::Legacy => {}
            }
        }
        Ok(())
    }
}
