//! What an attempt is to run: the job, where its files are, and who may share what it makes.

use jobs::CloneUrl;
use jobs::{CommitSha, Filter, Trigger};

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
    /// The registration's path filter; a path must pass this and the manifest's.
    pub paths: Filter,
    /// Mirrors and environments are shared within this scope only.
    pub cache_scope: CacheScope,
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
