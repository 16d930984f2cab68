//! Follows renames of repositories, which are identified by the forge's id.
//!
//! The id is read from the forge, at the registration or when a delivery names one. A delivery with that id
//! and another name changes the registration's URL, on its own host only and once the forge confirms it;
//! statuses and clones follow, because both use the registered URL. GitHub's own deliveries to the App need
//! no confirmation.

use hooks::{CloneUrl, incoming::Repository};
use jobs::{Repo, bucket::Entry};

use crate::{error::ApiError, repos::Registrations};

/// Former URLs that are kept, for jobs that are still queued.
const MAX_FORMER_URLS: usize = 10;

/// The signer of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signer {
    /// GitHub, with the secret that is shared with the operator alone.
    App,
    /// The registration's own secret, which the forge and the owner have.
    Registrant,
}

impl Registrations {
    /// Updates a registration from what a verified delivery says about its repository.
    pub(crate) async fn sync_repository(
        &self,
        repo: Repo,
        named: &Repository,
        signer: Signer,
    ) -> Result<Repo, ApiError> {
        let (Some(url), Some(forge_id)) = (repo.url.get().cloned(), named.forge_id) else {
            return Ok(repo);
        };
        if url.authority() != named.clone_url.authority() {
            return Ok(repo);
        }
        let same_path = url.same_repository(&named.clone_url);
        let same_id = repo.forge_id == Some(forge_id);
        if same_path && same_id {
            return Ok(repo);
        }
        if same_path {
            return match signer {
                Signer::App if repo.forge_id.is_none() => self.set_forge_id(repo, forge_id).await,
                Signer::App => Ok(repo),
                // The forge confirms the id and the permission.
                Signer::Registrant if self.has_credential(&repo) => self.reverify_permission(repo).await,
                // Without a credential the id was read at the registration, or is not available.
                Signer::Registrant
                    if repo.forge_id.is_some() && self.is_confirmed_at(&repo, &url, forge_id).await =>
                {
                    self.set_forge_id(repo, forge_id).await
                }
                Signer::Registrant => Ok(repo),
            };
        }
        let Some(to) = with_scheme_of(&url, &named.clone_url).filter(|_| same_id) else {
            return Ok(repo);
        };
        let is_confirmed = match signer {
            Signer::App => true,
            Signer::Registrant => self.is_confirmed_at(&repo, &to, forge_id).await,
        };
        if is_confirmed { self.rename(repo, &to).await } else { Ok(repo) }
    }

    /// Whether the forge confirms that the repository with this id is at `url`. A registrant's signature
    /// proves who registered, and not the id or the name in the payload.
    async fn is_confirmed_at(&self, repo: &Repo, url: &CloneUrl, forge_id: u64) -> bool {
        if !self.limits.allows_forge_query(repo.id) {
            return false;
        }
        let moved = Repo { url: url.clone().into(), ..repo.clone() };
        match self.find_at_forge_or_public(&moved).await {
            Some(Ok(found)) => found.id == forge_id,
            Some(Err(_)) | None => false,
        }
    }

    /// Records the repository's new URL. The status ownership by the forge's id is kept.
    pub(crate) async fn rename(&self, repo: Repo, to: &CloneUrl) -> Result<Repo, ApiError> {
        let old = repo.url.get().cloned();
        if old.as_ref().is_some_and(|old| old.same_repository(to)) {
            return Ok(repo);
        }
        let moved = |now: &Entry<Repo>| {
            (now.value.url == repo.url).then(|| {
                let mut former_urls = now.value.former_urls.clone();
                former_urls.insert(0, now.value.url.clone());
                former_urls.truncate(MAX_FORMER_URLS);
                Repo { url: to.clone().into(), former_urls, ..now.value.clone() }
            })
        };
        let entry = self.ledger.repos.change(&repo.id.to_string(), moved).await?;
        let entry = entry.ok_or(ApiError::NotFound("repository"))?;
        self.repos.note(entry.clone());
        if entry.value.posts {
            self.claim_status_owner(&entry.value).await?;
        }
        if let Some(old) = old {
            self.release_path(&old, repo.id).await?;
        }
        tracing::info!(repo = %repo.id, from = %repo.url, to = %to, "repository renamed");
        Ok(entry.value)
    }

    /// Checks the permission of a registration again, where a delivery contradicts it or it is not confirmed
    /// yet.
    pub(crate) async fn reverify_permission(&self, repo: Repo) -> Result<Repo, ApiError> {
        let entry = self.ledger.repos.get(&repo.id.to_string()).await?;
        let entry = entry.ok_or(ApiError::NotFound("repository"))?;
        Ok(self.verify_permission(entry).await?.value)
    }

    /// Records the forge's id of a registration that had none, or has no credential.
    async fn set_forge_id(&self, repo: Repo, forge_id: u64) -> Result<Repo, ApiError> {
        let learned = |now: &Entry<Repo>| {
            (now.value.forge_id == repo.forge_id)
                .then(|| Repo { forge_id: Some(forge_id), ..now.value.clone() })
        };
        let entry = self.ledger.repos.change(&repo.id.to_string(), learned).await?;
        let entry = entry.ok_or(ApiError::NotFound("repository"))?;
        self.repos.note(entry.clone());
        Ok(if entry.value.posts { self.elect_status_owner(entry).await?.value } else { entry.value })
    }
}

/// The new URL with the scheme of the registered one: a payload does not choose between http and https.
fn with_scheme_of(registered: &CloneUrl, named: &CloneUrl) -> Option<CloneUrl> {
    let rest = named.as_str().split_once("://")?.1;
    format!("{}://{rest}", registered.as_url().scheme()).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_does_not_choose_the_scheme() {
        let url = |text: &str| text.parse::<CloneUrl>().unwrap();
        let renamed = with_scheme_of(&url("https://host:1/a/b"), &url("http://host:1/a/c.git"));
        assert_eq!(renamed.unwrap().as_str(), "https://host:1/a/c.git");
    }
}
