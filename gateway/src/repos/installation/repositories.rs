//! Registers the repositories of an installation, and unregisters those that it loses. Each is idempotent. A
//! registration with its own token is not the status owner while an installation covers its repository, and
//! becomes it again afterwards.

use hooks::{CloneUrl, Forge, incoming::InstalledRepository};
use jiff::Timestamp;
use jobs::{ProblemKind, Repo, UserId, bucket::Entry, usage::Resource};

use crate::{
    error::ApiError,
    repos::{Registrations, permission::permission_pending},
};

/// The result of registering a repository for an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RegisterOutcome {
    /// It is registered, possibly since earlier.
    Registered,
    /// Its name is not valid in a URL.
    InvalidName,
    /// The installation has as many repositories as its limit allows.
    LimitReached,
}

/// Whether an installation registered this, and no user did.
fn is_from_installation(repo: &Repo) -> bool {
    repo.installation.is_some() && !repo.operator_credential
}

impl Registrations {
    /// Registers a repository for an installation, or records the installation where it is registered with
    /// the operator's credential.
    pub(super) async fn register_installed(
        &self,
        installation: u64,
        owner: UserId,
        item: &InstalledRepository,
    ) -> Result<RegisterOutcome, ApiError> {
        let Some(url) = self.github_url(&item.full_name) else { return Ok(RegisterOutcome::InvalidName) };
        let posting = self.status_owner_at(&url, Some(item.forge_id)).await?;
        let is_of_app = |repo: &Repo| repo.installation.is_some() || repo.operator_credential;
        // Registered, but not the status owner: after a crash, a suspension, or when GitHub rejected its
        // checks.
        let is_installed = |repo: &Repo| {
            repo.installation.is_some() && repo.forge_id == Some(item.forge_id) && !repo.is_removing()
        };
        let found = posting.filter(is_of_app).or_else(|| {
            let found = self.repos.find(is_installed).into_iter().min_by_key(|entry| entry.value.id);
            found.map(|entry| entry.value)
        });
        match found {
            Some(repo) => match self.update_installed(repo, installation, owner, item, &url).await {
                // Another one became the status owner, and this one was removed in between.
                Err(ApiError::NotFound(_)) => Ok(RegisterOutcome::Registered),
                done => done,
            },
            None => self.register_new(installation, owner, item, &url).await,
        }
    }

    async fn update_installed(
        &self,
        repo: Repo,
        installation: u64,
        owner: UserId,
        item: &InstalledRepository,
        url: &CloneUrl,
    ) -> Result<RegisterOutcome, ApiError> {
        let repo = self.rename(repo, url).await?;
        let of_installation = |now: &Entry<Repo>| {
            let now = &now.value;
            let changed = Repo {
                installation: Some(installation),
                forge_id: Some(item.forge_id),
                owner: if is_from_installation(now) { owner } else { now.owner },
                // The event may be about the very permission that GitHub refused.
                ..now.with_problem(ProblemKind::Status, None, Timestamp::now())
            };
            (changed != *now).then_some(changed)
        };
        match self.ledger.repos.change(&repo.id.to_string(), of_installation).await? {
            Some(entry) => self.elect_status_owner(entry).await.map(|_| RegisterOutcome::Registered),
            // Removed in between: nothing is left to do.
            None => Ok(RegisterOutcome::Registered),
        }
    }

    async fn register_new(
        &self,
        installation: u64,
        owner: UserId,
        item: &InstalledRepository,
        url: &CloneUrl,
    ) -> Result<RegisterOutcome, ApiError> {
        let (new_repo, _) = self.new_repo(owner, url, Forge::Github);
        let repo = Repo {
            installation: Some(installation),
            forge_id: Some(item.forge_id),
            unproved: Some(permission_pending()),
            ..new_repo
        };
        let key = repo.id.to_string();
        match self.budgets.try_reserve(owner, repo.id, Resource::Repos, 1).await? {
            Ok(()) => {}
            Err(_) => return Ok(RegisterOutcome::LimitReached),
        }
        self.ledger.repos.create(&key, &repo).await?;
        let entry = self.ledger.repos.get(&key).await?.ok_or(ApiError::NotFound("repository"))?;
        let entry = self.elect_status_owner(entry).await?;
        match entry.value.posts {
            true => self.name_registration(&key).await?,
            // Another gateway was faster with the same event.
            false => self.unregister_now(entry).await?,
        }
        Ok(RegisterOutcome::Registered)
    }

    /// Registrations that use an installation's tokens, and those among `listed` that the mirror may not have
    /// yet.
    pub(super) async fn registrations_of_installation(
        &self,
        installation: u64,
        listed: &[InstalledRepository],
    ) -> Result<Vec<Entry<Repo>>, ApiError> {
        let known = self.repos.find(|repo| repo.installation == Some(installation));
        let mut ids: Vec<_> = known.iter().map(|entry| entry.value.id).collect();
        for item in listed {
            if let Some(url) = self.github_url(&item.full_name)
                && let Some(repo) = self.status_owner_at(&url, Some(item.forge_id)).await?
            {
                ids.push(repo.id);
            }
        }
        ids.sort_unstable();
        ids.dedup();
        let mut found = Vec::new();
        for id in ids {
            let entry = self.ledger.repos.get(&id.to_string()).await?;
            found.extend(entry.filter(|entry| entry.value.installation == Some(installation)));
        }
        Ok(found)
    }

    /// Removes a repository from an installation: what the installation registered is unregistered, what a
    /// user registered only loses the installation's tokens.
    pub(super) async fn remove_installed(&self, entry: Entry<Repo>) -> Result<(), ApiError> {
        if is_from_installation(&entry.value) {
            return self.unregister_now(entry).await;
        }
        let detached = |now: &Entry<Repo>| {
            now.value.installation.is_some().then(|| Repo {
                installation: None,
                posts: false,
                unproved: Some(permission_pending()),
                ..now.value.clone()
            })
        };
        if let Some(entry) = self.ledger.repos.change(&entry.key, detached).await? {
            self.repos.note(entry.clone());
            self.verify_permission(entry).await?;
        }
        Ok(())
    }

    /// Demotes a registration of a suspended installation; meanwhile one with a token may be the status
    /// owner.
    pub(super) async fn stop_reporting(&self, entry: Entry<Repo>) -> Result<(), ApiError> {
        let demoted = |now: &Entry<Repo>| now.value.posts.then(|| Repo { posts: false, ..now.value.clone() });
        if let Some(entry) = self.ledger.repos.change(&entry.key, demoted).await? {
            self.repos.note(entry.clone());
            if self.release_status_owner(&entry.value).await? {
                self.elect_another_status_owner(&entry.value).await?;
            }
        }
        Ok(())
    }
}
