//! Verifies the signatures of job records.

use jiff::{SignedDuration, Timestamp};
use jobs::{Job, RecordKey, Signature, SignatureError, bucket::Entry};
use parking_lot::RwLock;
use prometheus_client::metrics::{counter::Counter, family::Family};

use crate::metrics::RecordLabels;

/// Tolerated clock skew between gateways: ids carry the time of the gateway that created them.
pub(crate) const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// From which write on records must be signed; `meta/records_signed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct SigningMark {
    /// Records up to this revision of the jobs bucket may be unsigned. Revisions are assigned by the server:
    /// none can be written with a past one.
    pub(crate) sequence: u64,
    /// When the mark was set, by the gateway's clock.
    pub(crate) at: Timestamp,
}

/// The result of verifying a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SignatureStatus {
    /// Signed by a gateway.
    Signed(Signature),
    /// Unsigned, and not all open records are signed yet: accepted as before signatures.
    Upgrading,
    /// Unsigned, because it was final before records were signed. Readable, nothing more.
    Legacy,
    /// Rejected, with the reason.
    Rejected(SignatureError),
}

/// The signing key, and from when on every record must be signed.
#[derive(Debug)]
pub(crate) struct RecordVerifier {
    key: RecordKey,
    mark: RwLock<Option<SigningMark>>,
    doubted: Family<RecordLabels, Counter>,
}

impl RecordVerifier {
    pub(crate) fn new(
        key: RecordKey,
        mark: Option<SigningMark>,
        doubted: Family<RecordLabels, Counter>,
    ) -> Self {
        Self { key, mark: RwLock::new(mark), doubted }
    }

    pub(crate) fn mark(&self) -> Option<SigningMark> {
        *self.mark.read()
    }

    pub(crate) fn set_mark(&self, mark: SigningMark) {
        *self.mark.write() = Some(mark);
    }

    /// Verifies a record. Costs one MAC over some hundred bytes.
    pub(crate) fn signature_status(&self, entry: &Entry<Job>) -> SignatureStatus {
        let job = &entry.value;
        // A signature is valid under the record's own key alone.
        if entry.key != job.spec.id.to_string() {
            return SignatureStatus::Rejected(SignatureError::Forged);
        }
        match (self.key.check(job), self.mark()) {
            (Ok(signature), _) => SignatureStatus::Signed(signature.clone()),
            (Err(SignatureError::Unsigned), None) => SignatureStatus::Upgrading,
            (Err(SignatureError::Unsigned), Some(mark)) if mark.is_before(entry) => SignatureStatus::Legacy,
            (Err(doubt @ (SignatureError::Unsigned | SignatureError::Forged | SignatureError::Newer)), _) => {
                SignatureStatus::Rejected(doubt)
            }
        }
    }

    /// Why a record is rejected, logged and counted.
    pub(crate) fn reject_reason(&self, entry: &Entry<Job>) -> Option<SignatureError> {
        match self.signature_status(entry) {
            SignatureStatus::Signed(_) | SignatureStatus::Upgrading | SignatureStatus::Legacy => None,
            SignatureStatus::Rejected(doubt) => {
                let (key, revision, reason) = (&entry.key, entry.revision, doubt.as_str());
                tracing::warn!(job.id = key, revision, reason, "a job's record is not believed");
                self.doubted.get_or_create(&RecordLabels::of(doubt)).inc();
                Some(doubt)
            }
        }
    }
}

impl SigningMark {
    /// Whether a record was last written when records were not signed yet.
    fn is_before(&self, entry: &Entry<Job>) -> bool {
        let made_at = entry.value.spec.id.made_at();
        entry.revision <= self.sequence && made_at.is_some_and(|made_at| made_at <= self.at + CLOCK_SKEW)
    }
}

#[cfg(test)]
mod tests {
    use jobs::{JobId, JobSpec, UserId};

    use super::*;

    fn records(mark: Option<SigningMark>) -> RecordVerifier {
        RecordVerifier::new(RecordKey::new([7; 32]), mark, Family::default())
    }

    fn entry(revision: u64) -> Entry<Job> {
        let job = Job::new(JobSpec::call(UserId::new(), "https://example.com/r"));
        Entry { key: job.spec.id.to_string(), value: job, revision, written_at: Timestamp::UNIX_EPOCH }
    }

    fn mark(sequence: u64, at: Timestamp) -> Option<SigningMark> {
        Some(SigningMark { sequence, at })
    }

    #[test]
    fn unsigned_records_are_believed_until_the_mark_and_shown_if_they_are_older() {
        let now = Timestamp::now();
        assert_eq!(records(None).signature_status(&entry(9)), SignatureStatus::Upgrading);
        assert_eq!(records(mark(9, now)).signature_status(&entry(9)), SignatureStatus::Legacy);
        let unsigned = SignatureStatus::Rejected(SignatureError::Unsigned);
        assert_eq!(records(mark(9, now)).signature_status(&entry(10)), unsigned, "written after it");
        let hour_ago = now - SignedDuration::from_hours(1);
        assert_eq!(records(mark(9, hour_ago)).signature_status(&entry(9)), unsigned, "made after it");
    }

    #[test]
    fn a_signed_record_is_good_under_its_own_key_alone() {
        let records = records(mark(0, Timestamp::now()));
        let mut entry = entry(3);
        entry.value.signature = Some(RecordKey::new([7; 32]).sign(&entry.value, None));
        assert!(matches!(records.signature_status(&entry), SignatureStatus::Signed(_)));
        entry.key = JobId::new().to_string();
        assert_eq!(records.signature_status(&entry), SignatureStatus::Rejected(SignatureError::Forged));
    }

    #[test]
    fn the_mark_is_read_as_it_was_written() {
        let at: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let text = serde_json::to_string(&SigningMark { sequence: 7, at }).unwrap();
        insta::assert_snapshot!(text, @r#"{"sequence":7,"at":"2026-01-31T12:00:00Z"}"#);
        assert_eq!(serde_json::from_str::<SigningMark>(&text).unwrap(), SigningMark { sequence: 7, at });
    }
}
