//! Times and order of a record, by the clock and the revisions of the NATS server.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Job, JobStatus};
use crate::{State, bucket::Entry};

/// How long the parts of a job took; absent means not reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
pub struct Timings {
    /// From created to claimed: the difference of two times of the NATS server.
    #[cfg_attr(feature = "api", schema(nullable = false))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<u64>,
    /// Fetching the commit and reading its manifest.
    #[cfg_attr(feature = "api", schema(nullable = false))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkout: Option<u64>,
    /// Making or finding the environment.
    #[cfg_attr(feature = "api", schema(nullable = false))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepare: Option<u64>,
    /// The program, from its start to its end.
    #[cfg_attr(feature = "api", schema(nullable = false))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<u64>,
}

impl Entry<Job> {
    /// When the job was made, by the server's clock.
    pub fn created_at(&self) -> Timestamp {
        self.value.status.created_at.unwrap_or(self.written_at)
    }

    /// When the newest attempt was claimed.
    pub fn started_at(&self) -> Option<Timestamp> {
        match self.value.status.state {
            State::Working => Some(self.value.status.started_at.unwrap_or(self.written_at)),
            State::Pending | State::Finish | State::Error => self.value.status.started_at,
        }
    }

    /// When the job ended; its record is never written after that.
    pub fn finished_at(&self) -> Option<Timestamp> {
        self.value.status.state.is_final().then_some(self.written_at)
    }

    /// The order of jobs of one commit.
    pub fn created_revision(&self) -> u64 {
        self.value.status.created_revision.unwrap_or(self.revision)
    }

    /// Notes in `next` what only this entry's own revision and time tell. Every change goes
    /// through here.
    pub(crate) fn with_server_times(&self, next: Job) -> Job {
        let started_at = match next.status.state {
            // A claim has no start yet: it is the time of the write that is about to happen.
            State::Working if self.value.status.state == State::Pending => None,
            State::Pending | State::Working | State::Finish | State::Error => self.started_at(),
        };
        let mut timings_ms = next.status.timings_ms;
        if let Some(started_at) = started_at {
            let waited = started_at.duration_since(self.created_at()).as_millis();
            timings_ms.queued = Some(u64::try_from(waited).unwrap_or(0));
        }
        let status = JobStatus {
            created_revision: Some(self.created_revision()),
            created_at: Some(self.created_at()),
            started_at,
            timings_ms,
            ..next.status
        };
        Job { status, ..next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{JobSpec, Outcome, UserId};

    #[test]
    fn times_come_from_the_entries_of_the_record() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let entry = |value, revision, s| Entry { key: String::new(), value, revision, written_at: at(s) };
        let created = entry(Job::new(JobSpec::call(UserId::new(), "https://example.com/r")), 7, 100);
        let claimed =
            entry(created.with_server_times(created.value.claimed(&"w".parse().unwrap()).unwrap()), 9, 103);
        let ended = entry(claimed.with_server_times(claimed.value.ended(&Outcome::Finished)), 12, 110);
        assert_eq!(ended.created_revision(), 7);
        assert_eq!(
            (ended.created_at(), ended.started_at(), ended.finished_at()),
            (at(100), Some(at(103)), Some(at(110)))
        );
        assert_eq!(ended.value.status.timings_ms.queued, Some(3000));
    }
}
