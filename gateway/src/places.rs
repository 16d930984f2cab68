//! Which registration of a repository posts: the first whose credential may push.
//!
//! Two entries tell, each create-only: `at.<sha256(host, path)>`, and by the forge's own number
//! `at.<sha256(host, "#", number)>`, which survives renames. `/webhooks/github` finds its registration
//! here alone. An entry that leads to a registration that is gone is taken over.

use hooks::{CloneUrl, incoming::Repository};
use jobs::{
    Repo, RepoId,
    bucket::{BucketError, Entry},
};
use serde_json::Map;
use sha2::{Digest as _, Sha256};

use crate::{
    error::ApiError,
    gateway::{At, Gateway},
};

/// The key for a repository's path.
fn path_key(url: &CloneUrl) -> String {
    key(&url.identity())
}

/// The key for the forge's number of a repository. No path begins with `#`.
fn number_key(url: &CloneUrl, forge_id: u64) -> String {
    key(&format!("{}#{forge_id}", url.authority().to_lowercase()))
}

fn key(text: &str) -> String {
    format!("at.{}", hex::encode(Sha256::digest(text.as_bytes())))
}

/// Whether two numbers, where both are known, are those of different repositories.
pub(crate) fn are_others(one: Option<u64>, other: Option<u64>) -> bool {
    one.is_some() && other.is_some() && one != other
}

impl Gateway {
    /// Makes this registration the one that posts, unless another is.
    pub(crate) async fn take_place(&self, repo: &Repo) -> Result<bool, BucketError> {
        let Ok(url) = repo.url.parse::<CloneUrl>() else { return Ok(false) };
        if let Some(forge_id) = repo.forge_id
            && !self.claim(&number_key(&url, forge_id), repo).await?
        {
            self.give_up(&path_key(&url), repo.id).await?;
            return Ok(false);
        }
        // Who posts already was here first, whoever came to the path that it was renamed to.
        if self.claim(&path_key(&url), repo).await? || (repo.posts && repo.forge_id.is_some()) {
            return Ok(true);
        }
        if let Some(forge_id) = repo.forge_id {
            self.give_up(&number_key(&url, forge_id), repo.id).await?;
        }
        Ok(false)
    }

    /// Decides whether a registration posts, and writes it down. One that is being removed keeps what it
    /// has until the forge was told.
    pub(crate) async fn settle(&self, entry: Entry<Repo>) -> Result<Entry<Repo>, ApiError> {
        if entry.value.is_removing() {
            return Ok(entry);
        }
        let posts = self.has_credential(&entry.value) && self.take_place(&entry.value).await?;
        let settled =
            |now: &Entry<Repo>| (now.value.posts != posts).then(|| Repo { posts, ..now.value.clone() });
        let entry = self.ledger.repos.change(&entry.key, settled).await?;
        let entry = entry.ok_or(ApiError::NotFound("repository"))?;
        self.repos.note(entry.clone());
        Ok(entry)
    }

    /// Lets another registration have a path that this one is not at any more.
    pub(crate) async fn leave_path(&self, url: &CloneUrl, repo: RepoId) -> Result<(), BucketError> {
        self.give_up(&path_key(url), repo).await
    }

    /// Lets another registration post.
    pub(crate) async fn leave_place(&self, repo: &Repo) -> Result<(), BucketError> {
        let Ok(url) = repo.url.parse::<CloneUrl>() else { return Ok(()) };
        if let Some(forge_id) = repo.forge_id {
            self.give_up(&number_key(&url, forge_id), repo.id).await?;
        }
        self.give_up(&path_key(&url), repo.id).await
    }

    /// The registration that posts for the repository that a delivery names.
    pub(crate) async fn posting_repo(&self, named: &Repository) -> Result<Option<Repo>, BucketError> {
        self.posting_at(&named.clone_url, named.forge_id).await
    }

    /// The registration that posts for this repository: by the forge's number, else by its path unless
    /// another repository is there now.
    pub(crate) async fn posting_at(
        &self,
        url: &CloneUrl,
        forge_id: Option<u64>,
    ) -> Result<Option<Repo>, BucketError> {
        if let Some(forge_id) = forge_id
            && let Some(repo) = self.holder(&number_key(url, forge_id)).await?
        {
            return Ok(Some(repo));
        }
        let found = self.holder(&path_key(url)).await?;
        Ok(found.filter(|repo| !are_others(repo.forge_id, forge_id)))
    }

    async fn holder(&self, key: &str) -> Result<Option<Repo>, BucketError> {
        let Some(at) = self.posting.get(key).await? else { return Ok(None) };
        let found = self.ledger.repos.get(&at.value.repo.to_string()).await?;
        Ok(found.map(|entry| entry.value).filter(|repo| !repo.is_removing()))
    }

    async fn claim(&self, key: &str, repo: &Repo) -> Result<bool, BucketError> {
        let at = At { repo: repo.id, other: Map::new() };
        loop {
            match self.posting.create(key, &at).await {
                Ok(_) => return Ok(true),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
            }
            let Some(found) = self.posting.get(key).await? else { continue };
            if found.value.repo == repo.id {
                return Ok(true);
            }
            let holder = self.ledger.repos.get(&found.value.repo.to_string()).await?;
            let holds = |holder: &Repo| !holder.is_removing() && !are_others(holder.forge_id, repo.forge_id);
            if holder.is_some_and(|holder| holds(&holder.value)) {
                return Ok(false);
            }
            match self.posting.update(key, &at, found.revision).await {
                Ok(_) => return Ok(true),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn give_up(&self, key: &str, repo: RepoId) -> Result<(), BucketError> {
        let Some(found) = self.posting.get(key).await? else { return Ok(()) };
        if found.value.repo != repo {
            return Ok(());
        }
        match self.posting.delete(key, found.revision).await {
            Err(error) if error.is_conflict() => Ok(()),
            done => done,
        }
    }
}
