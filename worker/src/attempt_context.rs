//! What an attempt needs from its surroundings: log, credentials, secrets, and the job's standing.
//!
//! A queue worker and `gitfaas run` implement it in their own ways, so that the steps of an execution
//! know nothing of NATS.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use jobs::{CommitSha, Outcome};

use crate::{checkout::Credential, output::LogSink, result_reuse::ReusableResult};

/// What a call gives its program.
#[derive(Debug, Clone, Default)]
pub struct ProgramInput {
    /// Standard input.
    pub body: Bytes,
    /// Variables of the request that it came with ([`jobs::cgi`]); they beat the manifest's.
    pub variables: Vec<(String, String)>,
}

/// What an attempt needs from its surroundings.
pub trait AttemptContext: Send + Sync {
    /// The log.
    fn log(&self) -> Arc<dyn LogSink>;
    /// How to clone; `None` is anonymously.
    fn credential(&self) -> impl Future<Output = Result<Option<Credential>, Outcome>> + Send;
    /// The values of secrets, as variables.
    fn secrets(
        &self,
        names: &[String],
    ) -> impl Future<Output = Result<Vec<(String, String)>, Outcome>> + Send;
    /// What the program reads from standard input, and is told of the request that it came with.
    fn input(&self) -> impl Future<Output = Result<ProgramInput, Outcome>> + Send {
        std::future::ready(Ok(ProgramInput::default()))
    }
    /// Whether the program must not begin before [`AttemptContext::begins`] was asked: the job must not run twice.
    fn runs_once(&self) -> bool {
        false
    }
    /// The program is about to begin. It must not where this is an error.
    fn begins(&self) -> impl Future<Output = Result<(), Outcome>> + Send {
        std::future::ready(Ok(()))
    }
    /// The commit and the language are known; they are kept for later attempts.
    fn learned(&self, sha: Option<&CommitSha>, language: &str) -> impl Future<Output = ()> + Send;
    /// From now on a newer push ends it while it runs, given what its manifest says of superseding. Not said of a
    /// build, which goes on to its end. Where nobody pushes there is nothing to do.
    fn may_be_superseded(&self, _manifest: Option<bool>) {}
    /// Why this job is not to be run any more, given what its manifest says of superseding.
    fn superseded(&self, manifest: Option<bool>) -> impl Future<Output = Option<Outcome>> + Send;
    /// What another job of the same commit came to that may answer for this one.
    fn reusable_result(&self) -> impl Future<Output = ReusableResult> + Send;
    /// Whether the slot may be held for this long; where not, the job goes back and waits for another.
    /// Where nobody queues, it may.
    fn may_run_for(&self, _time: Duration) -> impl Future<Output = bool> + Send {
        std::future::ready(true)
    }
    /// Returns once a step before the run, which begins now, has held the slot for too long.
    fn overdue(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
    /// Only the run is left, and takes this long at most.
    fn runs_for(&self, _time: Duration) {}
}
