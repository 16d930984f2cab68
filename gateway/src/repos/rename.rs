//! Repositories that are called otherwise now: known by the forge's number, which stays.
//!
//! The number is what the forge says, asked at the registration or when a delivery tells of one. A delivery
//! with that number and another name moves the registration's URL, on its own host only and once the forge
//! says so too; statuses and clones follow, because both come from the registered URL. GitHub's own deliveries
//! to the App are its word.

use hooks::{CloneUrl, incoming::Repository};
use jobs::{Repo, bucket::Entry};

use crate::{error::ApiError, repos::Registrations};

/// Old URLs that are remembered: those of jobs that still wait.
const MAX_FORMER_URLS: usize = 10;

/// Who signed a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signer {
    /// GitHub, with the secret that only it and the operator have.
    App,
    /// Whoever has the registration's own secret: the forge, and its owner.
    Registrant,
}

impl Registrations {
    /// Brings a registration up to date with what a believed delivery says about its repository.
    pub(crate) async fn follow(
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
        let same_number = repo.forge_id == Some(forge_id);
        if same_path && same_number {
            return Ok(repo);
        }
        if same_path {
            return match signer {
                Signer::App if repo.forge_id.is_none() => self.learn(repo, forge_id).await,
                Signer::App => Ok(repo),
                // Whose repository the number is of, and whether it may push there, the forge says.
                Signer::Registrant if self.has_credential(&repo) => self.prove_again(repo).await,
                // Without a credential the number was asked for at the registration, or is not to be had.
                Signer::Registrant if repo.forge_id.is_some() && self.is_at(&repo, &url, forge_id).await => {
                    self.learn(repo, forge_id).await
                }
                Signer::Registrant => Ok(repo),
            };
        }
        let Some(to) = with_scheme_of(&url, &named.clone_url).filter(|_| same_number) else {
            return Ok(repo);
        };
        let is_true = match signer {
            Signer::App => true,
            Signer::Registrant => self.is_at(&repo, &to, forge_id).await,
        };
        if is_true { self.rename(repo, &to).await } else { Ok(repo) }
    }

    /// Whether the forge says that the repository of this number is at `url`. What a registrant signs proves
    /// who registered: any number and any name could be signed.
    async fn is_at(&self, repo: &Repo, url: &CloneUrl, forge_id: u64) -> bool {
        if !self.limits.allows_forge_query(repo.id) {
            return false;
        }
        let moved = Repo { url: url.clone().into(), ..repo.clone() };
        match self.look_up_anyway(&moved).await {
            Some(Ok(found)) => found.id == forge_id,
            Some(Err(_)) | None => false,
        }
    }

    /// Gives a registration its repository's new URL. The place by the forge's number is kept.
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
            self.take_place(&entry.value).await?;
        }
        if let Some(old) = old {
            self.leave_path(&old, repo.id).await?;
        }
        tracing::info!(repo = %repo.id, from = %repo.url, to = %to, "a repository was renamed");
        Ok(entry.value)
    }

    /// Asks the forge about a registration of which a delivery tells something else, or that the forge has
    /// not confirmed.
    pub(crate) async fn prove_again(&self, repo: Repo) -> Result<Repo, ApiError> {
        let entry = self.ledger.repos.get(&repo.id.to_string()).await?;
        let entry = entry.ok_or(ApiError::NotFound("repository"))?;
        Ok(self.prove(entry).await?.value)
    }

    /// Notes a number that the forge told of a registration that had none, or has no credential.
    async fn learn(&self, repo: Repo, forge_id: u64) -> Result<Repo, ApiError> {
        let learned = |now: &Entry<Repo>| {
            (now.value.forge_id == repo.forge_id)
                .then(|| Repo { forge_id: Some(forge_id), ..now.value.clone() })
        };
        let entry = self.ledger.repos.change(&repo.id.to_string(), learned).await?;
        let entry = entry.ok_or(ApiError::NotFound("repository"))?;
        self.repos.note(entry.clone());
        Ok(if entry.value.posts { self.settle(entry).await?.value } else { entry.value })
    }
}

/// The new URL, spoken as the registered one is: a payload does not choose between http and https.
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
