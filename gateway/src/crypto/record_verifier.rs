//! Whether a record of a job says what a gateway signed.

use std::sync::{PoisonError, RwLock};

use jiff::{SignedDuration, Timestamp};
use jobs::{Doubt, Job, RecordKey, Signature, bucket::Entry};
use prometheus_client::metrics::{counter::Counter, family::Family};

use crate::metrics::OfRecord;

/// How far clocks of gateways may be apart: ids carry the time of the gateway that made them.
pub(crate) const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// From which write on a record must be signed; `meta/records_signed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Mark {
    /// What the bucket of jobs held up to this revision may be unsigned. Revisions are the server's:
    /// nobody writes under one that is past.
    pub(crate) sequence: u64,
    /// When that was, by the gateway's clock.
    pub(crate) at: Timestamp,
}

/// How much of a record is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It says what a gateway signed.
    Signed(Signature),
    /// Nobody signed it, and not all open records are signed yet: believed as it was before.
    Upgrading,
    /// Nobody signed it, because it was over before records were signed. It is shown, nothing more.
    Old,
    /// It is not believed.
    Doubted(Doubt),
}

/// The key, and since when everything is signed.
#[derive(Debug)]
pub(crate) struct RecordVerifier {
    key: RecordKey,
    mark: RwLock<Option<Mark>>,
    doubted: Family<OfRecord, Counter>,
}

impl RecordVerifier {
    pub(crate) fn new(key: RecordKey, mark: Option<Mark>, doubted: Family<OfRecord, Counter>) -> Self {
        Self { key, mark: RwLock::new(mark), doubted }
    }

    pub(crate) fn mark(&self) -> Option<Mark> {
        *self.mark.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_mark(&self, mark: Mark) {
        *self.mark.write().unwrap_or_else(PoisonError::into_inner) = Some(mark);
    }

    /// How much of this record is believed. Costs one code over some hundred bytes.
    pub(crate) fn standing(&self, entry: &Entry<Job>) -> Standing {
        let job = &entry.value;
        // A signed record is good under its own key alone.
        if entry.key != job.id.to_string() {
            return Standing::Doubted(Doubt::Forged);
        }
        match (self.key.check(job), self.mark()) {
            (Ok(signature), _) => Standing::Signed(signature.clone()),
            (Err(Doubt::Unsigned), None) => Standing::Upgrading,
            (Err(Doubt::Unsigned), Some(mark)) if mark.is_before(entry) => Standing::Old,
            (Err(doubt @ (Doubt::Unsigned | Doubt::Forged | Doubt::Newer)), _) => Standing::Doubted(doubt),
        }
    }

    /// Why a record is not believed, told to the log and counted.
    pub(crate) fn doubt(&self, entry: &Entry<Job>) -> Option<Doubt> {
        match self.standing(entry) {
            Standing::Signed(_) | Standing::Upgrading | Standing::Old => None,
            Standing::Doubted(doubt) => {
                let (key, revision, reason) = (&entry.key, entry.revision, doubt.as_str());
                tracing::warn!(job.id = key, revision, reason, "a job's record is not believed");
                self.doubted.get_or_create(&OfRecord::of(doubt)).inc();
                Some(doubt)
            }
        }
    }
}

impl Mark {
    /// Whether a record was last written when records were not signed yet.
    fn is_before(&self, entry: &Entry<Job>) -> bool {
        let made_at = entry.value.id.made_at();
        entry.revision <= self.sequence && made_at.is_some_and(|made_at| made_at <= self.at + CLOCK_SKEW)
    }
}

#[cfg(test)]
mod tests {
    use jobs::{JobId, NewJob, UserId};

    use super::*;

    fn records(mark: Option<Mark>) -> RecordVerifier {
        RecordVerifier::new(RecordKey::new([7; 32]), mark, Family::default())
    }

    fn entry(revision: u64) -> Entry<Job> {
        let job = Job::new(NewJob::call(UserId::new(), "https://example.com/r"));
        Entry { key: job.id.to_string(), value: job, revision, written_at: Timestamp::UNIX_EPOCH }
    }

    fn mark(sequence: u64, at: Timestamp) -> Option<Mark> {
        Some(Mark { sequence, at })
    }

    #[test]
    fn unsigned_records_are_believed_until_the_mark_and_shown_if_they_are_older() {
        let now = Timestamp::now();
        assert_eq!(records(None).standing(&entry(9)), Standing::Upgrading);
        assert_eq!(records(mark(9, now)).standing(&entry(9)), Standing::Old);
        let unsigned = Standing::Doubted(Doubt::Unsigned);
        assert_eq!(records(mark(9, now)).standing(&entry(10)), unsigned, "written after it");
        let hour_ago = now - SignedDuration::from_hours(1);
        assert_eq!(records(mark(9, hour_ago)).standing(&entry(9)), unsigned, "made after it");
    }

    #[test]
    fn a_signed_record_is_good_under_its_own_key_alone() {
        let records = records(mark(0, Timestamp::now()));
        let mut entry = entry(3);
        entry.value.signature = Some(RecordKey::new([7; 32]).sign(&entry.value, None));
        assert!(matches!(records.standing(&entry), Standing::Signed(_)));
        entry.key = JobId::new().to_string();
        assert_eq!(records.standing(&entry), Standing::Doubted(Doubt::Forged));
    }

    #[test]
    fn the_mark_is_read_as_it_was_written() {
        let at: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let text = serde_json::to_string(&Mark { sequence: 7, at }).unwrap();
        insta::assert_snapshot!(text, @r#"{"sequence":7,"at":"2026-01-31T12:00:00Z"}"#);
        assert_eq!(serde_json::from_str::<Mark>(&text).unwrap(), Mark { sequence: 7, at });
    }
}
