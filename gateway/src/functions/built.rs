//! Which commits of a repository are built, and which is the newest green one of a ref. Read at the leader.

use jobs::{
    CommitSha, GitRef, Ledger, RepoId,
    bucket::BucketError,
    function::{live_key, version_key},
};

/// What is built.
#[derive(Debug, Clone)]
pub(crate) struct BuiltVersions {
    pub(crate) ledger: Ledger,
}

impl BuiltVersions {
    /// Whether this commit is built.
    pub(crate) async fn is_built(&self, repo: RepoId, sha: &CommitSha) -> Result<bool, BucketError> {
        Ok(self.ledger.versions.get(&version_key(repo, sha)).await?.is_some())
    }

    /// The newest green commit of a branch or tag.
    pub(crate) async fn newest_green(
        &self,
        repo: RepoId,
        git_ref: &GitRef,
    ) -> Result<Option<CommitSha>, BucketError> {
        let live = self.ledger.live.get(&live_key(repo, git_ref.as_str())).await?;
        Ok(live.map(|entry| entry.value.sha))
    }
}
