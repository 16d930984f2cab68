//! The record of a job: what was asked for ([`JobSpec`]) and what became of it ([`JobStatus`]).
//!
//! The moves of its state are in `transitions`, what the server's clock tells in `server_times`. A record
//! is written by compare-and-set alone ([`crate::bucket`]) and never again after its final
//! state. Fields are added, never changed or reused; what a newer program added is kept in `other`
//! and written back.

mod call;
mod input;
mod message;
mod server_times;
mod spec;
mod status;
mod transitions;
mod trigger;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{CommitState, bucket, commit_state, signed::Signature};

pub use call::FunctionCall;
pub use input::JobInput;
pub use server_times::Timings;
pub(crate) use spec::NEWEST_VERSION;
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
        let version = spec.version();
        // What the bucket writes of itself needs not be said.
        let said = (version != bucket::VERSION).then(|| ("v".to_owned(), version.into()));
        Self { spec, status: JobStatus::pending(), signature: None, other: said.into_iter().collect() }
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
    use crate::{StoredJson, UserId, manifest::Http};

    #[test]
    fn what_a_newer_program_says_of_http_is_kept_and_what_it_does_not_say_is_absent() {
        let job = Job::new(JobSpec::call(UserId::new(), "https://example.com/r.git"));
        let mut value = serde_json::to_value(job).unwrap();
        assert!(value.get("http").is_none() && value.get("built").is_none());
        let read = |value: &Value| serde_json::from_value::<Job>(value.clone()).unwrap().status.http;
        assert_eq!(read(&value), None);
        for (http, known) in [
            (r#"{"response":"cgi","wait":0}"#, true),
            (r#"{"response":"stream"}"#, false),
            (r#"{"invented_later":7}"#, true),
        ] {
            value["http"] = serde_json::from_str(http).unwrap();
            let stored = read(&value).unwrap();
            assert_eq!(stored.get().is_some(), known, "{http}");
            assert_eq!(serde_json::to_string(&stored).unwrap(), http);
        }
        let http = Http { wait_s: Some(0), ..Http::default() };
        assert_eq!(StoredJson::from(&http).get(), Some(http));
    }

    #[test]
    fn an_older_program_leaves_a_job_to_others_that_has_what_it_does_not_know() {
        let call = JobSpec::call(UserId::new(), "https://example.com/r.git");
        let input = Some(crate::Input::new("x", "text/plain").describe());
        let function = Some(FunctionCall { name: "pi".to_owned(), repeatable: true });
        let written = |spec| serde_json::to_value(Job::new(spec)).unwrap();
        assert_eq!(written(JobSpec { input, ..call.clone() })["v"], 2);
        assert_eq!(written(JobSpec { push_revision: Some(7), ..call.clone() })["v"], 2);
        assert_eq!(written(JobSpec { function, ..call.clone() })["v"], 2);
        assert!(written(call).get("v").is_none(), "the bucket says 1");
    }

    #[test]
    fn a_record_of_an_older_program_has_no_input_and_is_no_call_of_a_function() {
        let mut value =
            serde_json::to_value(Job::new(JobSpec::call(UserId::new(), "https://example.com/r.git")))
                .unwrap();
        for field in ["input", "push_revision", "function", "began"] {
            assert!(value.get(field).is_none(), "{field}");
        }
        value["v"] = 1.into();
        let Job { spec, status, .. } = serde_json::from_value(value).unwrap();
        assert_eq!((spec.input, spec.push_revision, spec.function, status.began), (None, None, None, false));
    }

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
