//! The record of a job: what was asked for ([`JobSpec`]) and what became of it ([`JobStatus`]).
//!
//! The moves of its state are in `transitions`, what the server's clock tells in `server_times`. A record
//! is written by compare-and-set alone ([`crate::bucket`]) and never again after its final
//! state. Fields are added, never changed or reused; what a newer program added is kept in `other`
//! and written back.

mod message;
mod server_times;
mod spec;
mod status;
mod transitions;
mod trigger;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{CommitState, commit_state, signed::Signature};

pub use server_times::Timings;
pub use spec::{JobSpec, NewJob};
pub use status::{ERROR_TAIL_BYTES, JobStatus};
pub use transitions::MAX_FAILURES;
pub use trigger::{QueueClass, Trigger};

/// One job. Build one with [`Job::new`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// What was asked for.
    #[serde(flatten)]
    pub spec: JobSpec,
    /// What became of it.
    #[serde(flatten)]
    pub status: JobStatus,
    /// A gateway's proof that it made the job, and what it said then; never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// What a newer program added.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Job {
    /// The first record of a job: pending, and entered into JOBS once.
    pub fn new(spec: JobSpec) -> Self {
        let spec = JobSpec { class: spec.trigger.class(), ..spec };
        Self { spec, status: JobStatus::pending(), signature: None, other: Map::new() }
    }

    /// Every context that it answers for; none of a job that posts no status.
    pub fn contexts(&self) -> impl Iterator<Item = &String> {
        self.spec.context.iter().chain(self.spec.also_contexts.iter().filter(|_| self.spec.context.is_some()))
    }

    /// What the forge shows beside the commit.
    pub fn commit_state(&self) -> CommitState {
        commit_state(self.status.state, self.status.fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UserId;

    #[test]
    fn fields_of_a_newer_program_are_written_back() {
        let mut value =
            serde_json::to_value(Job::new(JobSpec::call(UserId::new(), "https://example.com/r.git")))
                .unwrap();
        value["invented_later"] = 7.into();
        let job: Job = serde_json::from_value(value).unwrap();
        assert_eq!(serde_json::to_value(&job).unwrap()["invented_later"], 7);
    }
}
