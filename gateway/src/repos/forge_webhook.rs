//! What the gateway itself asks of a repository's forge: which repository it is, and a webhook.
//!
//! Best effort: a registration stands whether or not the forge can be asked, and says how it went.

use std::time::Duration;

use hooks::{
    CloneUrl, Forge,
    app::Right,
    forge_api::{CreatedWebhook, ForgeError, ForgeRepository, FoundRepository, Webhook},
    status::Target,
};
pub(crate) use jobs::api::WebhookResult as WebhookTold;
use jobs::{Repo, Secret};
use url::{Host, Url};

use crate::{
    crypto::sealed::webhook_secret_context,
    error::ApiError,
    repos::{Registrations, forge_kind::forge_of},
};

/// A forge that does not answer in this time says nothing: a delivery's sender waits for ten seconds.
pub(crate) const ASKED_FOR: Duration = Duration::from_secs(3);

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

    /// A registration's repository at its forge, spoken of with its credential. `None` when it has none,
    /// or a forge without an API.
    async fn place(&self, repo: &Repo, right: Right) -> Option<ForgeRepository> {
        let url = repo.url.get()?;
        let forge = forge_of(repo);
        let api = self.api_of(repo, forge, url)?;
        let (owner, name) = url.owner_and_name_at(&api)?;
        let token = self.credential(repo, right, None).await.ok()??.token;
        Some(ForgeRepository { target: Target { forge, api, token }, owner, name })
    }

    /// Which repository a registration is, by the forge's word; `None` when nobody can be asked.
    pub(crate) async fn look_up(&self, repo: &Repo) -> Option<Result<FoundRepository, ForgeError>> {
        let place = self.place(repo, Right::ReadContents).await?;
        Some(self.forges.repository(&place).await)
    }

    /// The same, asked as anybody where the registration has no credential: a private repository then is
    /// none. `None` of a server without an API, and of one that does not answer in [`ASKED_FOR`].
    pub(crate) async fn look_up_anyway(&self, repo: &Repo) -> Option<Result<FoundRepository, ForgeError>> {
        let looked_up = async {
            if self.has_credential(repo) {
                return self.look_up(repo).await;
            }
            let url = repo.url.get()?;
            let forge = forge_of(repo);
            let api = self.api_of(repo, forge, url)?;
            let (owner, name) = url.owner_and_name_at(&api)?;
            Some(self.forges.public_repository(forge, &api, &owner, &name).await)
        };
        tokio::time::timeout(ASKED_FOR, looked_up).await.ok().flatten()
    }

    /// Makes the webhook of a registration at its forge, and tells its number there.
    pub(crate) async fn make_webhook(&self, repo: &Repo) -> Result<(WebhookTold, Option<u64>), ApiError> {
        let not = |why: &str| Ok((WebhookTold::Error(why.to_owned()), None));
        let Some(url) = repo.url.get() else { return not("the URL cannot be read") };
        if is_local(&self.public_url) && !is_local(url.as_url()) {
            return not(
                "GITFAAS_PUBLIC_URL is an address of this machine, which the forge cannot reach; set it to a \
                 public one",
            );
        }
        let own_token = repo.sealed_token.is_some() || repo.operator_credential;
        let place = if own_token { self.place(repo, Right::ReadContents).await } else { None };
        let Some(place) = place else { return not("there is no token that could make it") };
        let secret: Secret = self
            .keys
            .unseal(&webhook_secret_context(repo.id), &repo.sealed_secret)
            .map_err(|error| ApiError::Internal(error.into()))?;
        let to = self.public_url.join(&format!("webhooks/{}", repo.id)).expect("an id is a path");
        let webhook = Webhook { url: to, secret };
        let making = tokio::time::timeout(ASKED_FOR, self.forges.create_webhook(&place, &webhook));
        let Ok(made) = making.await else {
            tracing::info!(repo = %repo.id, "a webhook was not made in time at the forge");
            return not(&format!("the forge did not answer within {} s", ASKED_FOR.as_secs()));
        };
        Ok(match made {
            Ok(CreatedWebhook::Created { id }) => (WebhookTold::Created, Some(id)),
            Ok(CreatedWebhook::Exists { id }) => (WebhookTold::Exists, Some(id)),
            Err(error) => {
                tracing::info!(repo = %repo.id, %error, "a webhook was not made at the forge");
                (WebhookTold::Error(error.to_string()), None)
            }
        })
    }

    /// Removes the webhook that was made for a registration; `None` when there is none.
    pub(crate) async fn remove_webhook(&self, repo: &Repo) -> Option<WebhookTold> {
        let id = repo.webhook_id?;
        let Some(place) = self.place(repo, Right::ReadContents).await else {
            return Some(WebhookTold::Error("there is no token that could remove it".to_owned()));
        };
        match self.forges.remove_webhook(&place, id).await {
            Ok(()) => Some(WebhookTold::Removed),
            Err(error) => {
                tracing::info!(repo = %repo.id, %error, "a webhook was not removed at the forge");
                Some(WebhookTold::Error(error.to_string()))
            }
        }
    }
}

/// Whether a URL leads to this machine alone.
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
