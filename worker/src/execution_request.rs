//! What an attempt is to run: the job, where its files are, and who may share what it makes.

use jobs::{
    CloneUrl, CommitSha, Filter, Job, SecretEvent, Trigger,
    manifest::{Manifest, OnPush},
};

use crate::{
    sandbox::{CacheScope, JobTag},
    source::DirectoryFiles,
};

/// What is to be run.
#[derive(Debug, Clone)]
pub struct ExecutionRequest {
    /// The job and the attempt.
    pub tag: JobTag,
    /// Where its files are.
    pub source: JobSource,
    /// Arguments of a call; they replace the manifest's.
    pub args: Option<Vec<String>>,
    /// What made the job; filters are for pushes.
    pub trigger: Trigger,
    /// Who made it, or the job that it repeats.
    pub origin: Origin,
    /// Whether it is the call of a function, whose commit the gateway chose among those that were built here: one that
    /// is in its mirror is not asked for again.
    pub is_function_call: bool,
    /// The registration's path filter; a path must pass this and the manifest's.
    pub paths: Filter,
    /// Mirrors and environments are shared within this scope only.
    pub cache_scope: CacheScope,
}

impl ExecutionRequest {
    /// Whether it ends before the run: only somebody who calls needs an answer.
    pub(crate) fn only_builds(&self, manifest: &Manifest) -> bool {
        match (manifest.on_push, self.origin) {
            (OnPush::Build, Origin::Forge) => true,
            (OnPush::Build, Origin::Caller) | (OnPush::Run, _) => false,
        }
    }
}

/// Who made a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Somebody who waits for an answer.
    Caller,
    /// A forge, which told of a commit.
    Forge,
}

impl Origin {
    /// That of a job, of a rerun that of what it repeats: a build that failed for our fault is built again.
    pub fn of(job: &Job) -> Self {
        let repeated = job.signature.as_ref().and_then(|signature| signature.event);
        match SecretEvent::of(job.spec.trigger).or(repeated) {
            Some(SecretEvent::Push | SecretEvent::Tag | SecretEvent::PullRequest) => Self::Forge,
            Some(SecretEvent::Call) | None => Self::Caller,
        }
    }
}

/// Where a function's files are.
#[derive(Debug, Clone)]
pub enum JobSource {
    /// A commit somewhere.
    Commit {
        /// The repository.
        url: CloneUrl,
        /// The commit, once known.
        sha: Option<CommitSha>,
        /// What was asked for.
        reference: Option<String>,
        /// What the ref was before, for path filters.
        before: Option<CommitSha>,
    },
    /// A directory here.
    Directory(DirectoryFiles),
}

#[cfg(test)]
mod tests {
    use jobs::{JobSpec, Signature, UserId};
    use test_case::test_case;

    use super::*;

    #[test_case(Trigger::Push, Some(SecretEvent::Push) => Origin::Forge)]
    #[test_case(Trigger::Tag, Some(SecretEvent::Tag) => Origin::Forge)]
    #[test_case(Trigger::PullRequest, Some(SecretEvent::PullRequest) => Origin::Forge)]
    #[test_case(Trigger::Call, Some(SecretEvent::Call) => Origin::Caller)]
    #[test_case(Trigger::Rerun, Some(SecretEvent::Push) => Origin::Forge ; "the rerun of a push")]
    #[test_case(Trigger::Rerun, Some(SecretEvent::Call) => Origin::Caller ; "the rerun of a call")]
    #[test_case(Trigger::Rerun, None => Origin::Caller ; "a rerun of what is not known")]
    fn origins(trigger: Trigger, event: Option<SecretEvent>) -> Origin {
        let call = JobSpec::call(UserId::new(), "https://example.com/r.git");
        let signature = Signature { v: 1, key: String::new(), event, sha: None, mac: String::new() };
        Origin::of(&Job { signature: Some(signature), ..Job::new(JobSpec { trigger, ..call }) })
    }
}
