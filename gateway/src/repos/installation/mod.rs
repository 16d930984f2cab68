//! The operator's GitHub App: its owner, the repositories of its installations, and installation tokens.
//!
//! The App's key never leaves this process. A worker receives a token for one repository and one permission;
//! see [`crate::grants`].

use std::path::Path;

use hooks::address::Allow;

use crate::repos::settings::Github;

pub(crate) mod app_key;
pub(crate) mod events;
mod repositories;
mod tokens;

use std::time::Duration;

use hooks::{
    app::{App, AppError, InstalledOn, Right},
    incoming::{Account, InstalledRepository},
    status::StatusError,
};
use jobs::Secret;
use sha2::{Digest as _, Sha256};
use tokens::{TokenCache, TokenKey};
use tokio::sync::OnceCell;

/// Timeout of a request to GitHub: a delivery is answered within 5 s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// The name of the webhook `/webhooks/github` in the ledger.
pub(crate) const GITHUB: &str = "github";

/// The App, with its cached owner and tokens.
pub(crate) struct GithubApp {
    app: App,
    owner: OnceCell<Account>,
    tokens: TokenCache,
}

impl GithubApp {
    /// The configured App.
    pub(crate) fn open(
        github: &Github,
        clone_allow: &Allow,
        ca_bundle: Option<&Path>,
    ) -> Result<Option<Self>, AppError> {
        let Some(app) = &github.app else { return Ok(None) };
        let api = github.api_url.clone();
        let reached = clone_allow.clone().unguarded();
        let app = App::new(app.id, &app.key, api, &reached, ca_bundle)?;
        Ok(Some(Self { app, owner: OnceCell::new(), tokens: TokenCache::default() }))
    }

    /// The client that authenticates as the App.
    pub(crate) fn api(&self) -> &App {
        &self.app
    }

    pub(crate) fn id(&self) -> u64 {
        self.app.id()
    }

    /// A token of an installation for one repository and permission, cached until shortly before it expires.
    /// `refused` is the SHA-256 of one that GitHub rejected, in hex: it is not used again.
    pub(crate) async fn token(
        &self,
        installation: u64,
        repository: u64,
        right: Right,
        refused: Option<&str>,
    ) -> Result<Secret, AppError> {
        let of = TokenKey { installation, repository, right };
        if let Some(refused) = refused {
            self.tokens.forget(of, |token| digest(token) == refused).await;
        }
        self.tokens.get(of, self.app.token(installation, repository, right)).await
    }

    /// Drops the cached tokens of this installation.
    pub(crate) fn forget(&self, installation: u64) {
        self.tokens.forget_installation(installation);
    }

    /// Whether the account owns the App; GitHub is asked once.
    pub(crate) async fn is_owners(&self, account: &Account) -> Result<bool, AppError> {
        let owner = with_timeout(self.owner.get_or_try_init(|| self.app.owner())).await?;
        Ok(owner.id == account.id)
    }

    /// Every repository of an installation.
    pub(crate) async fn repositories(&self, installation: u64) -> Result<Vec<InstalledRepository>, AppError> {
        with_timeout(self.app.repositories(installation)).await
    }

    /// The installation of the App on a repository.
    pub(crate) async fn installed_on(
        &self,
        owner: &str,
        name: &str,
    ) -> Result<Option<InstalledOn>, AppError> {
        with_timeout(self.app.installed_on(owner, name)).await
    }
}

async fn with_timeout<T>(asking: impl Future<Output = Result<T, AppError>>) -> Result<T, AppError> {
    tokio::time::timeout(REQUEST_TIMEOUT, asking).await.unwrap_or_else(|_| {
        let reason = format!("GitHub did not answer within {} s", REQUEST_TIMEOUT.as_secs());
        Err(StatusError::Retry { reason }.into())
    })
}

fn digest(token: &Secret) -> String {
    hex::encode(Sha256::digest(token.expose().as_bytes()))
}

/// Whether GitHub refused, as opposed to not answering: the installation is gone, or suspended.
pub(crate) fn is_refusal(error: &AppError) -> bool {
    match error {
        AppError::Forge(StatusError::Refused { .. }) => true,
        AppError::Forge(
            StatusError::Retry { .. }
            | StatusError::RetryAfter { .. }
            | StatusError::Unauthorized { .. }
            | StatusError::Moved { .. },
        )
        | AppError::Key(_)
        | AppError::Client(_) => false,
    }
}
