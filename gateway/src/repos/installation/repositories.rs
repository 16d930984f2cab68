//! What an installation brings is registered, and what it takes away is not any more. Each can be
//! done again. A registration with a token of its own posts no more while an installation brings its
//! repository, and gets its place back when that one goes.

use hooks::{CloneUrl, Forge, incoming::InstalledRepository};
use jiff::Timestamp;
use jobs::{ProblemKind, Repo, UserId, bucket::Entry, usage::Resource};

use crate::{
    error::ApiError,
    repos::{Registrations, permission::undecided},
};

/// What became of a repository that an installation brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brought {
    /// It is registered, perhaps since long.
    Registered,
    /// Its name makes no URL.
    Nameless,
    /// The installation has as many as an owner may.
    TooMany,
}

/// Whether nobody but an installation registered this.
fn is_brought(repo: &Repo) -> bool {
    repo.installation.is_some() && !repo.operator_credential
}

impl Registrations {
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
        let is_apps = |repo: &Repo| repo.installation.is_some() || repo.operator_credential;
        // Registered, but another one has its place: a crash, it was suspended, or GitHub refused its checks.
        let is_its = |repo: &Repo| {
            repo.installation.is_some() && repo.forge_id == Some(item.forge_id) && !repo.is_removing()
        };
        let found = posting.filter(is_apps).or_else(|| {
            let found = self.repos.find(is_its).into_iter().min_by_key(|entry| entry.value.id);
            found.map(|entry| entry.value)
        });
        match found {
            Some(repo) => match self.bring_again(repo, installation, owner, item, &url).await {
                // It lost its place to another, and was removed in between.
                Err(ApiError::NotFound(_)) => Ok(Brought::Registered),
                done => done,
            },
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
                // Perhaps it is about the very right that GitHub refused.
                ..now.with_problem(ProblemKind::Status, None, Timestamp::now())
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
        let repo = Repo {
            installation: Some(installation),
            forge_id: Some(item.forge_id),
            unproved: Some(undecided()),
            ..blank
        };
        let key = repo.id.to_string();
        match self.budgets.try_reserve(owner, repo.id, Resource::Repos, 1).await? {
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
            now.value.installation.is_some().then(|| Repo {
                installation: None,
                posts: false,
                unproved: Some(undecided()),
                ..now.value.clone()
            })
        };
        if let Some(entry) = self.ledger.repos.change(&entry.key, without).await? {
            self.repos.note(entry.clone());
            self.prove(entry).await?;
        }
        Ok(())
    }

    /// A suspended installation posts nothing; meanwhile a registration with a token may.
    pub(super) async fn silence(&self, entry: Entry<Repo>) -> Result<(), ApiError> {
        let silent = |now: &Entry<Repo>| now.value.posts.then(|| Repo { posts: false, ..now.value.clone() });
        if let Some(entry) = self.ledger.repos.change(&entry.key, silent).await? {
            self.repos.note(entry.clone());
            if self.leave_place(&entry.value).await? {
                self.let_another_post(&entry.value).await?;
            }
        }
        Ok(())
    }
}
