//! Acting as the operator's GitHub App: whose it is, what its installations bring, and the tokens
//! that are lent for them.
//!
//! The App's key stays in this process. What a worker gets is a token for one repository and one
//! right; see [`crate::grants`].

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
use tokens::{For, Tokens};
use tokio::sync::OnceCell;

/// A delivery is answered within 5 s, so what is asked of GitHub meanwhile has less.
const PATIENCE: Duration = Duration::from_secs(3);

/// The hook's name in the ledger of what comes to `/webhooks/github`.
pub(crate) const GITHUB: &str = "github";

/// The App, and what is known of it.
pub(crate) struct GithubApp {
    app: App,
    owner: OnceCell<Account>,
    tokens: Tokens,
}

impl GithubApp {
    /// The App that is configured.
    pub(crate) fn open(
        github: &Github,
        clone_allow: &Allow,
        ca_bundle: Option<&Path>,
    ) -> Result<Option<Self>, AppError> {
        let Some(app) = &github.app else { return Ok(None) };
        let api = github.api_url.clone();
        let reached = clone_allow.clone().unguarded();
        let app = App::new(app.id, &app.key, api, &reached, ca_bundle)?;
        Ok(Some(Self { app, owner: OnceCell::new(), tokens: Tokens::default() }))
    }

    /// What GitHub is asked as the App.
    pub(crate) fn api(&self) -> &App {
        &self.app
    }

    pub(crate) fn id(&self) -> u64 {
        self.app.id()
    }

    /// A token of an installation for one repository and right, kept until shortly before it ends.
    /// `refused` is the SHA-256 of one that GitHub did not take, in hex: it is not lent again.
    pub(crate) async fn token(
        &self,
        installation: u64,
        repository: u64,
        right: Right,
        refused: Option<&str>,
    ) -> Result<Secret, AppError> {
        let of = For { installation, repository, right };
        if let Some(refused) = refused {
            self.tokens.forget(of, |token| digest(token) == refused).await;
        }
        self.tokens.get(of, self.app.token(installation, repository, right)).await
    }

    /// Tokens of this installation are not lent any more.
    pub(crate) fn forget(&self, installation: u64) {
        self.tokens.forget_installation(installation);
    }

    /// Whether the account is the one that made the App; asked of GitHub once.
    pub(crate) async fn is_owners(&self, account: &Account) -> Result<bool, AppError> {
        let owner = in_time(self.owner.get_or_try_init(|| self.app.owner())).await?;
        Ok(owner.id == account.id)
    }

    /// Every repository of an installation.
    pub(crate) async fn repositories(&self, installation: u64) -> Result<Vec<InstalledRepository>, AppError> {
        in_time(self.app.repositories(installation)).await
    }

    /// Where the App is installed on a repository.
    pub(crate) async fn installed_on(
        &self,
        owner: &str,
        name: &str,
    ) -> Result<Option<InstalledOn>, AppError> {
        in_time(self.app.installed_on(owner, name)).await
    }
}

async fn in_time<T>(asking: impl Future<Output = Result<T, AppError>>) -> Result<T, AppError> {
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| {
        let reason = format!("GitHub did not answer within {} s", PATIENCE.as_secs());
        Err(StatusError::Retry { reason }.into())
    })
}

fn digest(token: &Secret) -> String {
    hex::encode(Sha256::digest(token.expose().as_bytes()))
}

/// Whether GitHub said no, as opposed to nothing: the installation is gone, or suspended.
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
