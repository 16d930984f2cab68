//! Signing in: with OpenID Connect, with GitHub, and for programs with a device code (RFC 8628).
//!
//! A provider vouches for an account (`oidc.rs`, `github.rs`), `external_identity.rs` finds its user, and a
//! session begins: a cookie for pages, a short-lived bearer token for programs, with a refresh token where
//! the program can keep one. Where to begin: `authorize.rs` and `callback.rs` in `api/sign_in`.

use std::{path::Path, sync::Arc};

use hooks::address::Allow;
use jobs::accounts::User;

use crate::{audit::AuditLog, crypto::keyring::Keyring, index::mirror::Mirror, usage::Budgets};

pub(crate) mod attempt;
pub(crate) mod device;
pub(crate) mod discovery;
pub(crate) mod error;
pub(crate) mod exchange;
pub(crate) mod external_identity;
pub(crate) mod github;
pub(crate) mod http;
pub(crate) mod id_token;
pub(crate) mod linking;
pub(crate) mod oidc;
pub(crate) mod return_path;
pub(crate) mod settings;

use attempt::Attempt;
use device::Devices;
use error::LoginError;
use exchange::AuthorizationSecrets;
use github::Github;
use jobs::{Ledger, bucket::Bucket, sessions::Sessions, streams};
use oidc::Oidc;
use serde::{Deserialize, Serialize};
use settings::Settings;
use url::Url;

use crate::auth::bearer_tokens::BearerTokens;

/// A kind of provider, as requests name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProviderKind {
    /// The configured OpenID Connect provider.
    Oidc,
    /// GitHub, or a server of its kind.
    Github,
}

/// A provider to sign in with, as pages offer it.
#[derive(Debug, Clone)]
pub(crate) struct LoginOption {
    /// The value of `?provider=`.
    pub(crate) name: &'static str,
    /// The display name.
    pub(crate) label: String,
}

/// Providers, sessions and device codes.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) oidc: Option<Oidc>,
    pub(crate) github: Option<Github>,
    pub(crate) sessions: Sessions,
    pub(crate) bearer_tokens: Arc<BearerTokens>,
    pub(crate) states: Bucket<attempt::UsedState>,
    pub(crate) devices: Devices,
}

/// Decides which accounts may sign in, and finds the user of each.
pub(crate) struct SignIns {
    pub(crate) settings: Arc<Settings>,
    pub(crate) login: Arc<Login>,
    pub(crate) keys: Arc<Keyring>,
    pub(crate) public_url: Url,
    pub(crate) ledger: Ledger,
    pub(crate) users: Arc<Mirror<User>>,
    pub(crate) audit: AuditLog,
    pub(crate) budgets: Arc<Budgets>,
}

impl Login {
    /// Prepares every configured provider; no request is sent yet.
    pub(crate) async fn open(
        settings: &Settings,
        at: &crate::repos::settings::Github,
        (clone_allow, ca_bundle): (&Allow, Option<&Path>),
        public_url: &Url,
        ledger: &Ledger,
        bearer_tokens: Arc<BearerTokens>,
    ) -> anyhow::Result<Self> {
        // The operator configured the providers' addresses; they may be on this machine.
        let reached = clone_allow.clone().unguarded();
        let http = http::Http::new(&reached, ca_bundle)?;
        let redirect = public_url.join("oauth/callback")?;
        let oidc = settings.oidc.clone().map(|registration| {
            Oidc::new(settings.issuer.clone(), registration, redirect.clone(), http.clone())
        });
        let github = settings
            .github
            .clone()
            .map(|registration| Github::new(&at.api_url, at.authority(), registration, redirect, http));
        let login = Self {
            oidc,
            github,
            sessions: Sessions::open(&ledger.js).await?,
            bearer_tokens,
            states: Bucket::open(&ledger.js, streams::LOGINS).await?,
            devices: Devices::open(&ledger.js).await?,
        };
        login.announce(settings);
        Ok(login)
    }

    /// Logs once which accounts may sign in: an open sign-in must not be a surprise to the operator.
    fn announce(&self, settings: &Settings) {
        let labels: Vec<String> = self.options().into_iter().map(|option| option.label).collect();
        if labels.is_empty() {
            return;
        }
        let providers = labels.join(", ");
        let allow: Vec<String> = settings.allow.iter().map(ToString::to_string).collect();
        if allow.is_empty() {
            tracing::info!(providers, "sign-in open to every account, restrict it with GITFAAS_LOGIN_ALLOW");
        } else {
            tracing::info!(providers, allow = allow.join(", "), "sign-in restricted");
        }
    }

    /// The configured providers, the default first.
    pub(crate) fn options(&self) -> Vec<LoginOption> {
        let oidc = self.oidc.as_ref().map(|oidc| LoginOption { name: "oidc", label: oidc.label() });
        let github = self.github.as_ref().map(|github| LoginOption { name: "github", label: github.label() });
        oidc.into_iter().chain(github).collect()
    }

    /// The same without the provider of this name, as sessions have it.
    pub(crate) fn options_except(&self, provider: Option<&str>) -> Vec<LoginOption> {
        let is_oidc = self.oidc.as_ref().is_some_and(|oidc| provider == Some(oidc.provider()));
        let is_github = self.github.as_ref().is_some_and(|github| provider == Some(github.provider()));
        let mut options = self.options();
        options.retain(|option| match option.name {
            "oidc" => !is_oidc,
            _ => !is_github,
        });
        options
    }

    /// The URL that an attempt's browser is redirected to.
    pub(crate) async fn authorization_url(
        &self,
        attempt: &Attempt,
        settings: &Settings,
    ) -> Result<Url, LoginError> {
        let mut secrets =
            AuthorizationSecrets { state: &attempt.state, nonce: None, verifier: &attempt.verifier };
        match (attempt.provider, &self.oidc, &self.github) {
            (ProviderKind::Oidc, Some(oidc), _) => {
                secrets.nonce = Some(&attempt.nonce);
                oidc.authorization_url(&secrets).await
            }
            (ProviderKind::Github, _, Some(github)) => {
                Ok(github.authorization_url(&secrets, !settings.orgs().is_empty()))
            }
            (ProviderKind::Oidc | ProviderKind::Github, _, _) => Err(LoginError::NotConfigured),
        }
    }

    /// The provider that a request names, else the default.
    pub(crate) fn choose_provider(&self, named: Option<&str>) -> Result<ProviderKind, LoginError> {
        let which = |name: &str| match name {
            "oidc" if self.oidc.is_some() => Some(ProviderKind::Oidc),
            "github" if self.github.is_some() => Some(ProviderKind::Github),
            _ => None,
        };
        let options = self.options();
        let Some(first) = options.first() else { return Err(LoginError::NotConfigured) };
        which(named.unwrap_or(first.name)).ok_or_else(|| {
            LoginError::NoSuchProvider(
                options.iter().map(|option| option.name).collect::<Vec<_>>().join(", "),
            )
        })
    }
}
