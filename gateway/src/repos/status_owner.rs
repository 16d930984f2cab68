//! The status owner of a repository: the one registration that reports its statuses, whose permission to push
//! the forge has confirmed.
//!
//! Two entries name it: `at.<sha256(host, path)>`, and by the forge's own id `at.<sha256(host, "#", id)>`,
//! which survives renames. `/webhooks/github` finds its registration here. A registration is entered once its
//! permission was verified ([`crate::repos::permission`]), or when an accepted installation of the GitHub App
//! registered it. It stays the owner until it is removed, the forge rejects its statuses, or an installation
//! replaces a registration with a token.

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

/// The key for the forge's id of a repository. No path begins with `#`.
fn id_key(scope: &str, forge_id: u64) -> String {
    key(&format!("{scope}#{forge_id}"))
}

fn key(text: &str) -> String {
    format!("at.{}", hex::encode(Sha256::digest(text.as_bytes())))
}

/// Whether two forge ids, where both are known, are of different repositories.
pub(crate) fn are_different_repositories(one: Option<u64>, other: Option<u64>) -> bool {
    one.is_some() && other.is_some() && one != other
}

/// Whether the forge rejects the statuses of a registration.
pub(crate) fn is_rejected_by_forge(repo: &Repo) -> bool {
    [ProblemKind::Status, ProblemKind::Token].iter().any(|of| repo.problem(*of).is_some())
}

/// Whether a status owner stays so when another registration with permission claims it.
fn keeps_ownership(current_owner: &Repo, from: &Repo) -> bool {
    let is_outranked =
        from.installation.is_some() && !is_rejected_by_forge(from) && current_owner.installation.is_none();
    !current_owner.is_removing()
        && current_owner.forge_id == from.forge_id
        && !is_rejected_by_forge(current_owner)
        && !is_outranked
}

/// `repos/at.<sha256>`: the status owner of a repository; see [`crate::repos::status_owner`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StatusOwner {
    pub(crate) repo: jobs::RepoId,
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

impl Registrations {
    /// The scope within which a registration's forge id is unique.
    pub(crate) fn id_scope(&self, repo: &Repo) -> Option<String> {
        let url = repo.url.get()?;
        let api = self.api_of(repo, forge_of(repo), url)?;
        Some(url.number_scope(&api))
    }

    fn id_key_of(&self, repo: &Repo) -> Option<String> {
        Some(id_key(&self.id_scope(repo)?, repo.forge_id?))
    }

    /// Makes this registration the status owner, unless another one keeps that. Its permission must be
    /// verified.
    pub(crate) async fn claim_status_owner(&self, repo: &Repo) -> Result<bool, BucketError> {
        let (Some(url), Some(number)) = (repo.url.get(), self.id_key_of(repo)) else {
            return Ok(false);
        };
        if !self.claim_key(&number, repo).await? {
            self.release_key(&path_key(url), repo.id).await?;
            return Ok(false);
        }
        // An owner by id stays so, even where another registration has the path that it was renamed to.
        if self.claim_key(&path_key(url), repo).await? || repo.posts {
            return Ok(true);
        }
        self.release_key(&number, repo.id).await?;
        Ok(false)
    }

    /// Decides whether a registration with verified permission becomes the status owner, and records it. The
    /// former owner is demoted. One that is being removed stays as it is until its statuses are posted.
    pub(crate) async fn elect_status_owner(&self, entry: Entry<Repo>) -> Result<Entry<Repo>, ApiError> {
        if entry.value.is_removing() {
            return Ok(entry);
        }
        let posts = self.has_credential(&entry.value) && self.claim_status_owner(&entry.value).await?;
        if posts {
            self.demote_others(&entry.value).await?;
        }
        let entry = self.set_reports_status(&entry.key, posts).await?;
        // Between the claim and the record another one may have claimed it, and seen nothing to demote.
        if posts && !self.is_status_owner(&entry.value).await? {
            return self.set_reports_status(&entry.key, false).await;
        }
        Ok(entry)
    }

    async fn set_reports_status(&self, key: &str, posts: bool) -> Result<Entry<Repo>, ApiError> {
        let updated = |now: &Entry<Repo>| {
            let next = Repo { posts, unproved: None, ..now.value.clone() };
            (next != now.value).then_some(next)
        };
        let entry = self.ledger.repos.change(key, updated).await?;
        let entry = entry.ok_or(ApiError::NotFound("repository"))?;
        self.repos.note(entry.clone());
        Ok(entry)
    }

    async fn is_status_owner(&self, repo: &Repo) -> Result<bool, BucketError> {
        let Some(number) = self.id_key_of(repo) else { return Ok(false) };
        Ok(self.status_owners.get(&number).await?.is_some_and(|at| at.value.repo == repo.id))
    }

    /// Demotes the other registrations of this repository. Their owners see why.
    async fn demote_others(&self, repo: &Repo) -> Result<(), ApiError> {
        for other in self.registrations_of(repo) {
            if !other.value.posts || other.value.is_removing() {
                continue;
            }
            let demoted = |now: &Entry<Repo>| {
                let is_owner = now.value.posts && !now.value.is_removing();
                is_owner.then(|| Repo { posts: false, ..now.value.clone() })
            };
            let Some(entry) = self.ledger.repos.change(&other.key, demoted).await? else { continue };
            self.repos.note(entry);
            self.audit_owner_change(repo.id, other.value.id).await;
        }
        Ok(())
    }

    /// Logs and audits that the status owner changed.
    pub(crate) async fn audit_owner_change(&self, now: RepoId, before: RepoId) {
        tracing::info!(repo = %now, %before, "status owner changed");
        let forge = Actor { user: None, by: Some(By::Forge), log: Log::Users };
        self.audit.write_with(forge, Action::StatusOwnerChanged, now, Some(before.to_string())).await;
    }

    /// Releases a path that this registration has left.
    pub(crate) async fn release_path(&self, url: &CloneUrl, repo: RepoId) -> Result<(), BucketError> {
        self.release_key(&path_key(url), repo).await.map(|_| ())
    }

    /// Releases the status ownership; returns whether this registration had it.
    pub(crate) async fn release_status_owner(&self, repo: &Repo) -> Result<bool, BucketError> {
        let Some(url) = repo.url.get() else { return Ok(false) };
        let had_id = match self.id_key_of(repo) {
            Some(number) => self.release_key(&number, repo.id).await?,
            None => false,
        };
        Ok(self.release_key(&path_key(url), repo.id).await? || had_id)
    }

    /// The status owner of the repository that a GitHub delivery names.
    pub(crate) async fn status_owner_of(&self, named: &Repository) -> Result<Option<Repo>, BucketError> {
        self.status_owner_at(&named.clone_url, named.forge_id).await
    }

    /// The status owner of this GitHub repository: by the forge's id, else by its path unless another
    /// repository is there now.
    pub(crate) async fn status_owner_at(
        &self,
        url: &CloneUrl,
        forge_id: Option<u64>,
    ) -> Result<Option<Repo>, BucketError> {
        let scope = url.number_scope(&self.github.api_url);
        if let Some(forge_id) = forge_id
            && let Some(repo) = self.current_owner(&id_key(&scope, forge_id)).await?
        {
            return Ok(Some(repo));
        }
        let found = self.current_owner(&path_key(url)).await?;
        Ok(found.filter(|repo| !are_different_repositories(repo.forge_id, forge_id)))
    }

    async fn current_owner(&self, key: &str) -> Result<Option<Repo>, BucketError> {
        let Some(at) = self.status_owners.get(key).await? else { return Ok(None) };
        let found = self.ledger.repos.get(&at.value.repo.to_string()).await?;
        Ok(found.map(|entry| entry.value).filter(|repo| !repo.is_removing()))
    }

    async fn claim_key(&self, key: &str, repo: &Repo) -> Result<bool, BucketError> {
        let claim = StatusOwner { repo: repo.id, other: Map::new() };
        let mut revision = None;
        loop {
            if self.status_owners.try_write(key, &claim, revision).await?.is_some() {
                return Ok(true);
            }
            let found = self.status_owners.get(key).await?;
            revision = found.as_ref().map(|found| found.revision);
            let Some(found) = found else { continue };
            if found.value.repo == repo.id {
                return Ok(true);
            }
            let owner = self.ledger.repos.get(&found.value.repo.to_string()).await?;
            if owner.is_some_and(|owner| keeps_ownership(&owner.value, repo)) {
                return Ok(false);
            }
        }
    }

    /// Deletes an entry that names this registration; returns whether it did.
    async fn release_key(&self, key: &str, repo: RepoId) -> Result<bool, BucketError> {
        let Some(found) = self.status_owners.get(key).await? else { return Ok(false) };
        if found.value.repo != repo {
            return Ok(false);
        }
        self.status_owners.try_delete(key, found.revision).await
    }
}
