//! Looks up a repository at its forge, and manages its webhook there.
//!
//! Best effort: a registration is kept whether or not the forge answers, and carries the result.

use std::time::Duration;

use hooks::{
    CloneUrl, Forge,
    app::Right,
    forge_api::{CreatedWebhook, ForgeError, ForgeRepository, FoundRepository, Webhook},
    status::Target,
};
pub(crate) use jobs::api::WebhookResult;
use jobs::{Repo, Secret};
use url::{Host, Url};

use crate::{
    crypto::sealed::webhook_secret_context,
    error::ApiError,
    repos::{Registrations, forge_kind::forge_of},
};

/// Timeout of a request to a forge: the sender of a delivery waits for ten seconds.
pub(crate) const FORGE_TIMEOUT: Duration = Duration::from_secs(3);

impl Registrations {
    /// Where the API of a registration's forge is.
    pub(crate) fn api_of(&self, repo: &Repo, forge: Forge, url: &CloneUrl) -> Option<Url> {
        let given = repo.api_url.as_deref().and_then(|api| api.parse().ok());
        if let Some(api) = given.filter(|api| url.may_have_api_at(api)) {
            return Some(api);
        }
        match forge {
            Forge::Github => Some(self.github.api_url.clone()),
            Forge::Gitea | Forge::Gitlab | Forge::Plain => forge.api_url(url),
        }
    }

    /// A repository of GitHub's by its full name; `None` when that makes no URL.
    pub(crate) fn github_url(&self, full_name: &str) -> Option<CloneUrl> {
        let github = &self.github;
        let url = format!("{}://{}/{full_name}.git", github.api_url.scheme(), github.authority());
        url.parse::<CloneUrl>().ok().filter(|url| url.authority() == github.authority())
    }

    /// A registration's repository at its forge, with the credential for it. `None` when there is none, or
    /// the forge has no API.
    async fn forge_repository(&self, repo: &Repo, right: Right) -> Option<ForgeRepository> {
        let url = repo.url.get()?;
        let forge = forge_of(repo);
        let api = self.api_of(repo, forge, url)?;
        let (owner, name) = url.owner_and_name_at(&api)?;
        let token = self.credential(repo, right, None).await.ok()??.token;
        Some(ForgeRepository { target: Target { forge, api, token }, owner, name })
    }

    /// The repository as the forge knows it; `None` when the forge cannot be asked.
    pub(crate) async fn find_at_forge(&self, repo: &Repo) -> Option<Result<FoundRepository, ForgeError>> {
        let forge_repository = self.forge_repository(repo, Right::ReadContents).await?;
        Some(self.forges.repository(&forge_repository).await)
    }

    /// The same, asked anonymously where the registration has no credential: a private repository is not
    /// found then. `None` of a server without an API, and after [`FORGE_TIMEOUT`].
    pub(crate) async fn find_at_forge_or_public(
        &self,
        repo: &Repo,
    ) -> Option<Result<FoundRepository, ForgeError>> {
        let looked_up = async {
            if self.has_credential(repo) {
                return self.find_at_forge(repo).await;
            }
            let url = repo.url.get()?;
            let forge = forge_of(repo);
            let api = self.api_of(repo, forge, url)?;
            let (owner, name) = url.owner_and_name_at(&api)?;
            Some(self.forges.public_repository(forge, &api, &owner, &name).await)
        };
        tokio::time::timeout(FORGE_TIMEOUT, looked_up).await.ok().flatten()
    }

    /// Creates the webhook of a registration at its forge, and returns its id there.
    pub(crate) async fn create_webhook(&self, repo: &Repo) -> Result<(WebhookResult, Option<u64>), ApiError> {
        let not = |why: &str| Ok((WebhookResult::Error(why.to_owned()), None));
        let Some(url) = repo.url.get() else { return not("the URL cannot be read") };
        if is_local(&self.public_url) && !is_local(url.as_url()) {
            return not(
                "GITFAAS_PUBLIC_URL is an address of this machine, which the forge cannot reach; set it to a \
                 public one",
            );
        }
        let own_token = repo.sealed_token.is_some() || repo.operator_credential;
        let forge_repository =
            if own_token { self.forge_repository(repo, Right::ReadContents).await } else { None };
        let Some(forge_repository) = forge_repository else {
            return not("there is no token that could make it");
        };
        let secret: Secret = self
            .keys
            .unseal(&webhook_secret_context(repo.id), &repo.sealed_secret)
            .map_err(|error| ApiError::Internal(error.into()))?;
        let to = self.public_url.join(&format!("webhooks/{}", repo.id)).expect("an id is a path");
        let webhook = Webhook { url: to, secret };
        let creating =
            tokio::time::timeout(FORGE_TIMEOUT, self.forges.create_webhook(&forge_repository, &webhook));
        let Ok(created) = creating.await else {
            tracing::info!(repo = %repo.id, "webhook creation timed out");
            return not(&format!("the forge did not answer within {} s", FORGE_TIMEOUT.as_secs()));
        };
        Ok(match created {
            Ok(CreatedWebhook::Created { id }) => (WebhookResult::Created, Some(id)),
            Ok(CreatedWebhook::Exists { id }) => (WebhookResult::Exists, Some(id)),
            Err(error) => {
                tracing::info!(repo = %repo.id, %error, "webhook creation failed");
                (WebhookResult::Error(error.to_string()), None)
            }
        })
    }

    /// Removes the webhook that was created for a registration; `None` when there is none.
    pub(crate) async fn remove_webhook(&self, repo: &Repo) -> Option<WebhookResult> {
        let id = repo.webhook_id?;
        let Some(forge_repository) = self.forge_repository(repo, Right::ReadContents).await else {
            return Some(WebhookResult::Error("there is no token that could remove it".to_owned()));
        };
        match self.forges.remove_webhook(&forge_repository, id).await {
            Ok(()) => Some(WebhookResult::Removed),
            Err(error) => {
                tracing::info!(repo = %repo.id, %error, "webhook removal failed");
                Some(WebhookResult::Error(error.to_string()))
            }
        }
    }
}

/// Whether a URL is reachable from this machine alone.
fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_unspecified(),
        Some(Host::Ipv6(address)) => address.is_loopback() || address.is_unspecified(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("http://localhost:3000/" => true)]
    #[test_case("http://faas.localhost/" => true ; "below localhost")]
    #[test_case("http://127.3.2.1/" => true ; "loopback")]
    #[test_case("http://[::1]:3000/" => true ; "loopback v6")]
    #[test_case("https://faas.example.com/" => false)]
    #[test_case("http://10.0.0.1/" => false ; "a forge in the same network reaches it")]
    fn leads_here_alone(url: &str) -> bool {
        is_local(&url.parse().unwrap())
    }
}
