//! Which function a call is for, and which of its commits it runs: the version that its address names, or the newest
//! green one.
//!
//! A version is looked up in this order: a full commit id, an alias, a tag, a branch. Only what a push built green is
//! found.

use std::sync::Arc;

use jobs::{
    CommitSha, FunctionName, GitRef, Repo, RepoId, Stored,
    function::{AliasName, NameTarget, Version, live_key, version_key},
};

use crate::functions::{Functions, call::Call, problem::CallError};

/// The alias that goes before the newest green commit of the default branch.
const LIVE: &str = "live";

/// A version that may be called.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) sha: CommitSha,
    pub(super) version: Arc<Version>,
}

impl Functions {
    /// The repository of a name, or of one that it had before. Its registration has the last word.
    pub(super) async fn look_up(&self, function: &str) -> Result<Option<RepoId>, CallError> {
        let Ok(name) = function.parse::<FunctionName>() else { return Ok(None) };
        Ok(self.ledger.names.lookup(&name).await?.map(|target| target.repo()))
    }

    /// The registration, and the version that is called, if it is built; `None` where the repository is not
    /// registered any more, or the name is none of its names.
    pub(super) async fn repo_and_version(
        &self,
        id: RepoId,
        call: &Call<'_>,
    ) -> Result<Option<(Repo, Option<Target>)>, CallError> {
        // Which branch is the default changes once in a repository's life, so what is known here is read along.
        let known = self.repos.get(&id.to_string()).and_then(|entry| entry.value.default_branch);
        let key = id.to_string();
        let registration = async { Ok::<_, CallError>(self.ledger.repos.get(&key).await?) };
        let (entry, target) =
            tokio::try_join!(registration, self.resolve(id, call, known.as_ref().map(Stored::as_str)))?;
        let Some(repo) = entry.map(|entry| entry.value) else { return Ok(None) };
        let name = call.function.parse::<FunctionName>().ok();
        if name.and_then(|name| NameTarget::settled(&name, &repo)).is_none() {
            return Ok(None);
        }
        let target = match repo.default_branch == known {
            true => target,
            false => self.resolve(id, call, repo.default_branch.as_ref().map(Stored::as_str)).await?,
        };
        Ok(Some((repo, target)))
    }

    /// What a call runs.
    async fn resolve(
        &self,
        repo: RepoId,
        call: &Call<'_>,
        default_branch: Option<&str>,
    ) -> Result<Option<Target>, CallError> {
        let sha = match &call.version {
            None => self.default_version(repo, default_branch).await?,
            Some(version) => self.named_version(repo, version).await?,
        };
        let Some(sha) = sha else { return Ok(None) };
        let version = self.version(repo, &sha).await?;
        Ok(version.map(|version| Target { sha, version }))
    }

    /// The alias `live`, else the newest green commit of the default branch.
    async fn default_version(
        &self,
        repo: RepoId,
        branch: Option<&str>,
    ) -> Result<Option<CommitSha>, CallError> {
        let newest = async {
            match branch {
                Some(branch) => self.newest_green(repo, branch).await,
                None => Ok(None),
            }
        };
        let (alias, newest) = tokio::try_join!(self.alias(repo, LIVE), newest)?;
        Ok(alias.or(newest))
    }

    async fn named_version(&self, repo: RepoId, version: &str) -> Result<Option<CommitSha>, CallError> {
        if let Ok(sha) = version.parse::<CommitSha>() {
            return Ok(Some(sha));
        }
        let newest = async |git_ref: Option<GitRef>| match git_ref {
            Some(git_ref) => self.newest_green(repo, git_ref.as_str()).await,
            None => Ok(None),
        };
        let (tag, branch) = (GitRef::from_tag(version).ok(), GitRef::from_branch(version).ok());
        let (alias, tag, branch) = tokio::try_join!(self.alias(repo, version), newest(tag), newest(branch))?;
        Ok(alias.or(tag).or(branch))
    }

    /// Whether a call names an alias.
    pub(super) async fn is_alias(&self, repo: &Repo, call: &Call<'_>) -> Result<bool, CallError> {
        match &call.version {
            Some(version) => Ok(self.alias(repo.id, version).await?.is_some()),
            None => Ok(false),
        }
    }

    /// The commit that an alias stands for; `None` where there is no such alias, or nothing of what it follows is
    /// green.
    async fn alias(&self, repo: RepoId, name: &str) -> Result<Option<CommitSha>, CallError> {
        let Ok(name) = name.parse::<AliasName>() else { return Ok(None) };
        let Some(entry) = self.ledger.aliases.get(&name.key(repo)).await? else { return Ok(None) };
        Ok(self.aliases.commit_of(repo, &entry.value.target).await?)
    }

    async fn newest_green(&self, repo: RepoId, reference: &str) -> Result<Option<CommitSha>, CallError> {
        let found = self.ledger.live.get(&live_key(repo, reference)).await?;
        Ok(found.map(|live| live.value.sha))
    }

    /// A version. It never changes, so it is read once.
    pub(super) async fn version(
        &self,
        repo: RepoId,
        sha: &CommitSha,
    ) -> Result<Option<Arc<Version>>, CallError> {
        let key = version_key(repo, sha);
        if let Some(version) = self.versions.0.get(&key) {
            return Ok(Some(version));
        }
        let Some(entry) = self.ledger.versions.get(&key).await? else { return Ok(None) };
        let version = Arc::new(entry.value);
        self.versions.0.insert(key, Arc::clone(&version));
        Ok(Some(version))
    }
}
