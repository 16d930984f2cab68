//! Moves aliases, only to what is built, and resolves them.
//!
//! Whoever moves an alias must own its repository; that is decided before anything here is called.

use jiff::Timestamp;
use jobs::{
    CommitSha, GitRef, RepoId, UserId,
    bucket::{Bucket, Entry, purge_key},
    function::{Alias, AliasMoveKind, AliasName, AliasTarget},
    streams,
};

use crate::{error::ApiError, functions::built::BuiltVersions};

/// Aliases of one repository: far more than there are environments to deploy to, and as many as one page shows.
const MAX_ALIASES: usize = 50;

/// What an alias is to stand for, as a request says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// What this commit, tag or branch is now.
    Version(String),
    /// The newest green commit of this branch.
    Follow(String),
}

/// The aliases of repositories.
pub(crate) struct Aliases {
    pub(crate) js: async_nats::jetstream::Context,
    pub(crate) aliases: Bucket<Alias>,
    pub(crate) built: BuiltVersions,
}

/// An alias after a request.
pub(crate) struct Moved {
    pub(crate) entry: Entry<Alias>,
    /// What it stood for before, if the request moved it.
    pub(crate) from: Option<AliasTarget>,
    pub(crate) change: Change,
}

/// What a request changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Created,
    Moved,
    /// It stood for that already.
    Unchanged,
}

impl Aliases {
    /// The aliases of a repository, by name.
    pub(crate) async fn list(&self, repo: RepoId) -> Result<Vec<(String, Entry<Alias>)>, ApiError> {
        let mut found = Vec::new();
        for key in self.aliases.subjects_under(&format!("{repo}.")).await? {
            if let Some((_, name)) = key.split_once('.')
                && let Some(entry) = self.aliases.get(&key).await?
            {
                found.push((name.to_owned(), entry));
            }
        }
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(found)
    }

    /// An alias.
    pub(crate) async fn get(&self, repo: RepoId, name: &AliasName) -> Result<Entry<Alias>, ApiError> {
        self.aliases.get(&name.key(repo)).await?.ok_or(ApiError::NotFound("alias"))
    }

    /// The commit that a target is now; `None`: nothing of the branch is green.
    pub(crate) async fn commit_of(
        &self,
        repo: RepoId,
        target: &AliasTarget,
    ) -> Result<Option<CommitSha>, ApiError> {
        match target {
            AliasTarget::To(sha) => Ok(Some(sha.clone())),
            AliasTarget::Follow(branch) => Ok(self.built.newest_green(repo, branch).await?),
        }
    }

    /// Makes an alias, or moves it.
    pub(crate) async fn set(
        &self,
        repo: RepoId,
        name: &AliasName,
        wanted: &Wanted,
        by: UserId,
    ) -> Result<Moved, ApiError> {
        let to = self.target(repo, wanted).await?;
        let key = name.key(repo);
        loop {
            let Some(entry) = self.aliases.get(&key).await? else {
                // Of several requests at once each may make one, which is a few more at most.
                if self.aliases.subjects_under(&format!("{repo}.")).await?.len() >= MAX_ALIASES {
                    let sentence = format!("{MAX_ALIASES} aliases are the limit; remove one");
                    return Err(ApiError::TooMany(sentence));
                }
                let alias = Alias::new(to.clone(), by, Timestamp::now());
                if let Some(revision) = self.aliases.try_write(&key, &alias, None).await? {
                    let entry = Entry::fresh(&key, alias, revision);
                    return Ok(Moved { entry, from: None, change: Change::Created });
                }
                continue;
            };
            if let Some(moved) = self.try_move(entry, to.clone(), by, AliasMoveKind::Set).await? {
                return Ok(moved);
            }
        }
    }

    /// Moves an alias back to what it stood for before.
    pub(crate) async fn roll_back(
        &self,
        repo: RepoId,
        name: &AliasName,
        by: UserId,
    ) -> Result<Moved, ApiError> {
        loop {
            let entry = self.get(repo, name).await?;
            let Some(to) = entry.value.before() else {
                let sentence = format!("{name}: no earlier version is known to go back to");
                return Err(ApiError::Conflict(sentence));
            };
            self.check_built(repo, &to).await?;
            if let Some(moved) = self.try_move(entry, to, by, AliasMoveKind::Rollback).await? {
                return Ok(moved);
            }
        }
    }

    /// Moves an alias that is still as it was read; `None`: it is not.
    async fn try_move(
        &self,
        entry: Entry<Alias>,
        to: AliasTarget,
        by: UserId,
        kind: AliasMoveKind,
    ) -> Result<Option<Moved>, ApiError> {
        let Some(alias) = entry.value.moved(to, by, Timestamp::now(), kind) else {
            return Ok(Some(Moved { entry, from: None, change: Change::Unchanged }));
        };
        let written = self.aliases.try_write(&entry.key, &alias, Some(entry.revision)).await?;
        Ok(written.map(|revision| Moved {
            from: Some(entry.value.target),
            entry: Entry::fresh(&entry.key, alias, revision),
            change: Change::Moved,
        }))
    }

    /// Removes an alias. Nobody follows this bucket, so that it needs no tombstone.
    pub(crate) async fn remove(&self, repo: RepoId, name: &AliasName) -> Result<AliasTarget, ApiError> {
        let entry = self.get(repo, name).await?;
        purge_key(&self.js, streams::ALIASES, &entry.key).await?;
        Ok(entry.value.target)
    }

    /// What a request wants, which must be built.
    async fn target(&self, repo: RepoId, wanted: &Wanted) -> Result<AliasTarget, ApiError> {
        match wanted {
            Wanted::Follow(branch) => {
                let branch = match branch.starts_with("refs/") {
                    true => branch.parse(),
                    false => GitRef::from_branch(branch),
                };
                let branch = branch.ok().filter(|branch| branch.branch().is_some());
                let branch = branch.ok_or_else(|| ApiError::BadRequest("follow: not a branch".to_owned()))?;
                let target = AliasTarget::Follow(branch);
                self.check_built(repo, &target).await?;
                Ok(target)
            }
            Wanted::Version(text) => Ok(AliasTarget::To(self.version(repo, text).await?)),
        }
    }

    /// The built commit that a text names: a full commit id, else a tag, else a branch.
    async fn version(&self, repo: RepoId, text: &str) -> Result<CommitSha, ApiError> {
        if let Ok(sha) = text.parse::<CommitSha>() {
            return match self.built.is_built(repo, &sha).await? {
                true => Ok(sha),
                false => Err(not_built(text)),
            };
        }
        let refs: Vec<GitRef> = match text.starts_with("refs/") {
            true => text.parse().into_iter().collect(),
            false => [GitRef::from_tag(text), GitRef::from_branch(text)].into_iter().flatten().collect(),
        };
        if refs.is_empty() {
            let sentence = "version: neither a full commit id nor the name of a tag or branch".to_owned();
            return Err(ApiError::BadRequest(sentence));
        }
        for git_ref in refs {
            if let Some(sha) = self.built.newest_green(repo, &git_ref).await? {
                return Ok(sha);
            }
        }
        Err(not_built(text))
    }

    async fn check_built(&self, repo: RepoId, target: &AliasTarget) -> Result<(), ApiError> {
        let (is_built, text) = match target {
            AliasTarget::To(sha) => (self.built.is_built(repo, sha).await?, sha.as_str()),
            AliasTarget::Follow(branch) => {
                (self.built.newest_green(repo, branch).await?.is_some(), branch.short())
            }
        };
        if is_built { Ok(()) } else { Err(not_built(text)) }
    }
}

fn not_built(version: &str) -> ApiError {
    ApiError::NotBuilt(format!(
        "{version}: no job of a push of it has ended well yet; push it, or run its job again, and then set the alias"
    ))
}
