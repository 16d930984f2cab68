//! What an installation brings is registered, and what it takes away is not any more. Each can be
//! done again.

use hooks::{CloneUrl, Forge, incoming::InstalledRepository};
use jobs::{Repo, UserId, bucket::Entry, usage::Resource};

use crate::{error::ApiError, gateway::Gateway};

/// What became of a repository that an installation brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brought {
    /// It is registered, perhaps since long.
    Registered,
    /// A registration with a token of its own posts for it, and stays.
    PostedByAnother,
    /// Its name makes no URL.
    Nameless,
    /// The installation has as many as an owner may.
    TooMany,
}

/// Whether nobody but an installation registered this.
fn is_brought(repo: &Repo) -> bool {
    repo.installation.is_some() && !repo.operator_credential
}

impl Gateway {
    /// Registers a repository for an installation, or notes the installation where it is registered with
    /// the operator's credential.
    pub(super) async fn bring(
        &self,
        installation: u64,
        owner: UserId,
        item: &InstalledRepository,
    ) -> Result<Brought, ApiError> {
        let Some(url) = self.github_url(&item.full_name) else { return Ok(Brought::Nameless) };
        let posting = self.posting_at(&url, Some(item.forge_id)).await?;
        let found = match posting {
            Some(posting) => Some(posting),
            // Registered, but its place was never taken: a crash, or it was suspended.
            None => self
                .repos
                .find(|repo| {
                    let is_its = repo.installation.is_some() && repo.forge_id == Some(item.forge_id);
                    is_its && !repo.is_removing()
                })
                .into_iter()
                .next()
                .map(|entry| entry.value),
        };
        match found {
            Some(repo) if repo.installation.is_some() || repo.operator_credential => {
                match self.bring_again(repo, installation, owner, item, &url).await {
                    // It lost its place to another, and was removed in between.
                    Err(ApiError::NotFound(_)) => Ok(Brought::Registered),
                    done => done,
                }
            }
            Some(_) => Ok(Brought::PostedByAnother),
            None => self.bring_first(installation, owner, item, &url).await,
        }
    }

    async fn bring_again(
        &self,
        repo: Repo,
        installation: u64,
        owner: UserId,
        item: &InstalledRepository,
        url: &CloneUrl,
    ) -> Result<Brought, ApiError> {
        let repo = self.rename(repo, url).await?;
        let of_installation = |now: &Entry<Repo>| {
            let now = &now.value;
            let changed = Repo {
                installation: Some(installation),
                forge_id: Some(item.forge_id),
                owner: if is_brought(now) { owner } else { now.owner },
                ..now.clone()
            };
            (changed != *now).then_some(changed)
        };
        match self.ledger.repos.change(&repo.id.to_string(), of_installation).await? {
            Some(entry) => self.settle(entry).await.map(|_| Brought::Registered),
            // Removed in between: as it is wanted.
            None => Ok(Brought::Registered),
        }
    }

    async fn bring_first(
        &self,
        installation: u64,
        owner: UserId,
        item: &InstalledRepository,
        url: &CloneUrl,
    ) -> Result<Brought, ApiError> {
        let (blank, _) = self.blank(owner, url, Forge::Github);
        let repo = Repo { installation: Some(installation), forge_id: Some(item.forge_id), ..blank };
        let key = repo.id.to_string();
        match self.try_reserve(owner, repo.id, Resource::Repos, 1).await? {
            Ok(()) => {}
            Err(_) => return Ok(Brought::TooMany),
        }
        self.ledger.repos.create(&key, &repo).await?;
        let entry = self.ledger.repos.get(&key).await?.ok_or(ApiError::NotFound("repository"))?;
        let entry = self.settle(entry).await?;
        if !entry.value.posts {
            // Another gateway was faster with the same event.
            self.unregister_at_once(entry).await?;
        }
        Ok(Brought::Registered)
    }

    /// Registrations that an installation lends its tokens to, and those among `listed` that a mirror
    /// may not have yet.
    pub(super) async fn lent_to(
        &self,
        installation: u64,
        listed: &[InstalledRepository],
    ) -> Result<Vec<Entry<Repo>>, ApiError> {
        let known = self.repos.find(|repo| repo.installation == Some(installation));
        let mut ids: Vec<_> = known.iter().map(|entry| entry.value.id).collect();
        for item in listed {
            if let Some(url) = self.github_url(&item.full_name)
                && let Some(repo) = self.posting_at(&url, Some(item.forge_id)).await?
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

    /// Takes an installation's repository away: what it brought is unregistered, what somebody else
    /// registered only loses its tokens.
    pub(super) async fn take_away(&self, entry: Entry<Repo>) -> Result<(), ApiError> {
        if is_brought(&entry.value) {
            return self.unregister_at_once(entry).await;
        }
        let without = |now: &Entry<Repo>| {
            now.value.installation.is_some().then(|| Repo { installation: None, ..now.value.clone() })
        };
        if let Some(entry) = self.ledger.repos.change(&entry.key, without).await? {
            self.settle(entry).await?;
        }
        Ok(())
    }

    /// A suspended installation posts nothing. The place is kept for the day when it may again.
    pub(super) async fn silence(&self, entry: Entry<Repo>) -> Result<(), ApiError> {
        let silent = |now: &Entry<Repo>| now.value.posts.then(|| Repo { posts: false, ..now.value.clone() });
        if let Some(entry) = self.ledger.repos.change(&entry.key, silent).await? {
            self.repos.note(entry);
        }
        Ok(())
    }
}
