//! Which registration of a repository posts its statuses: one whose right to push the forge has confirmed.
//!
//! Two entries tell: `at.<sha256(host, path)>`, and by the forge's own number
//! `at.<sha256(host, "#", number)>`, which survives renames. `/webhooks/github` finds its registration
//! here. A registration comes here once its forge was asked ([`crate::repos::permission`]), or an installation of the
//! GitHub App that was accepted brought it. An entry leads to its registration until that one goes, is
//! refused by the forge, or is a token's while an installation brings the repository.

use hooks::{CloneUrl, incoming::Repository};
use jobs::{
    ProblemKind, Repo, RepoId,
    audit::{Action, By, Log},
    bucket::{BucketError, Entry},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::{
    audit::Actor,
    error::ApiError,
    repos::{Registrations, forge_kind::forge_of},
};

/// The key for a repository's path.
fn path_key(url: &CloneUrl) -> String {
    key(&url.identity())
}

/// The key for the forge's number of a repository. No path begins with `#`.
fn number_key(scope: &str, forge_id: u64) -> String {
    key(&format!("{scope}#{forge_id}"))
}

fn key(text: &str) -> String {
    format!("at.{}", hex::encode(Sha256::digest(text.as_bytes())))
}

/// Whether two numbers, where both are known, are those of different repositories.
pub(crate) fn are_others(one: Option<u64>, other: Option<u64>) -> bool {
    one.is_some() && other.is_some() && one != other
}

/// Whether the forge refuses what a registration posts.
pub(crate) fn is_refused(repo: &Repo) -> bool {
    [ProblemKind::Status, ProblemKind::Token].iter().any(|of| repo.problem(*of).is_some())
}

/// Whether a registration keeps its place from another one whose right is proved.
fn keeps_place(holder: &Repo, from: &Repo) -> bool {
    let is_outranked = from.installation.is_some() && !is_refused(from) && holder.installation.is_none();
    !holder.is_removing() && holder.forge_id == from.forge_id && !is_refused(holder) && !is_outranked
}

/// `repos/at.<sha256>`: the registration that posts a repository's statuses; see [`crate::repos::status_owner`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct At {
    pub(crate) repo: jobs::RepoId,
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

impl Registrations {
    /// What the forge's numbers of a registration are numbers of.
    pub(crate) fn number_scope(&self, repo: &Repo) -> Option<String> {
        let url = repo.url.get()?;
        let api = self.api_of(repo, forge_of(repo), url)?;
        Some(url.number_scope(&api))
    }

    fn number_key_of(&self, repo: &Repo) -> Option<String> {
        Some(number_key(&self.number_scope(repo)?, repo.forge_id?))
    }

    /// Makes this registration the one that posts, unless another is that keeps its place. Its right must
    /// be proved.
    pub(crate) async fn take_place(&self, repo: &Repo) -> Result<bool, BucketError> {
        let (Some(url), Some(number)) = (repo.url.get(), self.number_key_of(repo)) else {
            return Ok(false);
        };
        if !self.claim(&number, repo).await? {
            self.give_up(&path_key(url), repo.id).await?;
            return Ok(false);
        }
        // Who posts already was here first, whoever came to the path that it was renamed to.
        if self.claim(&path_key(url), repo).await? || repo.posts {
            return Ok(true);
        }
        self.give_up(&number, repo.id).await?;
        Ok(false)
    }

    /// Decides whether a registration posts whose right is proved, and writes it down. Whoever posted
    /// before it does not any more. One that is being removed keeps what it has until the forge was told.
    pub(crate) async fn settle(&self, entry: Entry<Repo>) -> Result<Entry<Repo>, ApiError> {
        if entry.value.is_removing() {
            return Ok(entry);
        }
        let posts = self.has_credential(&entry.value) && self.take_place(&entry.value).await?;
        if posts {
            self.silence_others(&entry.value).await?;
        }
        let entry = self.note_posts(&entry.key, posts).await?;
        // Between the claim and that note another one may have taken the place, and seen nothing to silence.
        if posts && !self.has_place(&entry.value).await? {
            return self.note_posts(&entry.key, false).await;
        }
        Ok(entry)
    }

    async fn note_posts(&self, key: &str, posts: bool) -> Result<Entry<Repo>, ApiError> {
        let settled = |now: &Entry<Repo>| {
            let next = Repo { posts, unproved: None, ..now.value.clone() };
            (next != now.value).then_some(next)
        };
        let entry = self.ledger.repos.change(key, settled).await?;
        let entry = entry.ok_or(ApiError::NotFound("repository"))?;
        self.repos.note(entry.clone());
        Ok(entry)
    }

    async fn has_place(&self, repo: &Repo) -> Result<bool, BucketError> {
        let Some(number) = self.number_key_of(repo) else { return Ok(false) };
        Ok(self.posting.get(&number).await?.is_some_and(|at| at.value.repo == repo.id))
    }

    /// Registrations that posted for this repository until this one took the place post no more. Their
    /// owners see why.
    async fn silence_others(&self, repo: &Repo) -> Result<(), ApiError> {
        for other in self.registrations_of(repo) {
            if !other.value.posts || other.value.is_removing() {
                continue;
            }
            let silent = |now: &Entry<Repo>| {
                let yields = now.value.posts && !now.value.is_removing();
                yields.then(|| Repo { posts: false, ..now.value.clone() })
            };
            let Some(entry) = self.ledger.repos.change(&other.key, silent).await? else { continue };
            self.repos.note(entry);
            self.owner_changed(repo.id, other.value.id).await;
        }
        Ok(())
    }

    /// Notes that a registration posts in place of another.
    pub(crate) async fn owner_changed(&self, now: RepoId, before: RepoId) {
        tracing::info!(repo = %now, %before, "status owner changed");
        let forge = Actor { user: None, by: Some(By::Forge), log: Log::Users };
        self.audit.write_with(forge, Action::StatusOwnerChanged, now, Some(before.to_string())).await;
    }

    /// Lets another registration have a path that this one is not at any more.
    pub(crate) async fn leave_path(&self, url: &CloneUrl, repo: RepoId) -> Result<(), BucketError> {
        self.give_up(&path_key(url), repo).await.map(|_| ())
    }

    /// Lets another registration post; tells whether this one had the place.
    pub(crate) async fn leave_place(&self, repo: &Repo) -> Result<bool, BucketError> {
        let Some(url) = repo.url.get() else { return Ok(false) };
        let had_number = match self.number_key_of(repo) {
            Some(number) => self.give_up(&number, repo.id).await?,
            None => false,
        };
        Ok(self.give_up(&path_key(url), repo.id).await? || had_number)
    }

    /// The registration that posts for the repository that a delivery of GitHub's names.
    pub(crate) async fn posting_repo(&self, named: &Repository) -> Result<Option<Repo>, BucketError> {
        self.posting_at(&named.clone_url, named.forge_id).await
    }

    /// The registration that posts for this repository of GitHub's: by the forge's number, else by its path
    /// unless another repository is there now.
    pub(crate) async fn posting_at(
        &self,
        url: &CloneUrl,
        forge_id: Option<u64>,
    ) -> Result<Option<Repo>, BucketError> {
        let scope = url.number_scope(&self.github.api_url);
        if let Some(forge_id) = forge_id
            && let Some(repo) = self.holder(&number_key(&scope, forge_id)).await?
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
            if holder.is_some_and(|holder| keeps_place(&holder.value, repo)) {
                return Ok(false);
            }
            match self.posting.update(key, &at, found.revision).await {
                Ok(_) => return Ok(true),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes out an entry that leads to this registration; tells whether it did.
    async fn give_up(&self, key: &str, repo: RepoId) -> Result<bool, BucketError> {
        let Some(found) = self.posting.get(key).await? else { return Ok(false) };
        if found.value.repo != repo {
            return Ok(false);
        }
        match self.posting.delete(key, found.revision).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
