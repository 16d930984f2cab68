//! Signing in: with OpenID Connect, with GitHub, and for programs with a code (RFC 8628).
//!
//! A provider vouches for a person (`oidc.rs`, `github.rs`), `person.rs` finds the user that he is,
//! and a session begins: a cookie for pages, a short-lived bearer token for programs, with a refresh
//! token where the program can keep one. Where to begin: `authorize.rs`, then `callback.rs`.

use std::{path::Path, sync::Arc};

use hooks::address::Allow;
use jobs::accounts::User;

use crate::{audit::AuditLog, crypto::keyring::Keyring, index::mirror::Mirror, usage::Budgets};

pub(crate) mod attempt;
pub(crate) mod device;
pub(crate) mod discovery;
pub(crate) mod error;
pub(crate) mod exchange;
pub(crate) mod github;
pub(crate) mod http;
pub(crate) mod id_token;
pub(crate) mod linking;
pub(crate) mod oidc;
pub(crate) mod person;
pub(crate) mod return_path;
pub(crate) mod settings;

use attempt::Attempt;
use device::Devices;
use error::LoginError;
use exchange::Proof;
use github::Github;
use jobs::{Ledger, bucket::Bucket, sessions::Sessions, streams};
use oidc::Oidc;
use serde::{Deserialize, Serialize};
use settings::Settings;
use url::Url;

use crate::auth::bearers::Bearers;

/// A kind of provider, as requests name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Which {
    /// The configured OpenID Connect provider.
    Oidc,
    /// GitHub, or a server of its kind.
    Github,
}

/// A way to sign in, as pages offer it.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    /// As in `?provider=`.
    pub(crate) name: &'static str,
    /// As people call it.
    pub(crate) label: String,
}

/// Everything that signing in needs.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) oidc: Option<Oidc>,
    pub(crate) github: Option<Github>,
    pub(crate) sessions: Sessions,
    pub(crate) bearers: Arc<Bearers>,
    pub(crate) states: Bucket<attempt::UsedState>,
    pub(crate) devices: Devices,
}

/// Finds the owner behind a sign-in.
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
    /// Prepares every configured provider; none of them is asked anything yet.
    pub(crate) async fn open(
        settings: &Settings,
        at: &crate::repos::settings::Github,
        (clone_allow, ca_bundle): (&Allow, Option<&Path>),
        public_url: &Url,
        ledger: &Ledger,
        bearers: Arc<Bearers>,
    ) -> anyhow::Result<Self> {
        // Where the providers are was said by the operator; they may be on this machine.
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
            bearers,
            states: Bucket::open(&ledger.js, streams::LOGINS).await?,
            devices: Devices::open(&ledger.js).await?,
        };
        login.announce(settings);
        Ok(login)
    }

    /// Says once who may sign in: an operator must not find out from the list of users.
    fn announce(&self, settings: &Settings) {
        let offers: Vec<String> = self.offers().into_iter().map(|offer| offer.label).collect();
        if offers.is_empty() {
            return;
        }
        let at = offers.join(" or ");
        let allow: Vec<String> = settings.allow.iter().map(ToString::to_string).collect();
        if allow.is_empty() {
            tracing::info!("anybody with an account at {at} may sign in; GITFAAS_LOGIN_ALLOW narrows that");
        } else {
            tracing::info!("with an account at {at} may sign in: {}", allow.join(", "));
        }
    }

    /// The ways to sign in, the first one first.
    pub(crate) fn offers(&self) -> Vec<Offer> {
        let oidc = self.oidc.as_ref().map(|oidc| Offer { name: "oidc", label: oidc.label() });
        let github = self.github.as_ref().map(|github| Offer { name: "github", label: github.label() });
        oidc.into_iter().chain(github).collect()
    }

    /// The same without the provider of this name, as sessions have it.
    pub(crate) fn offers_besides(&self, provider: Option<&str>) -> Vec<Offer> {
        let is_oidc = self.oidc.as_ref().is_some_and(|oidc| provider == Some(oidc.provider()));
        let is_github = self.github.as_ref().is_some_and(|github| provider == Some(github.provider()));
        let mut offers = self.offers();
        offers.retain(|offer| match offer.name {
            "oidc" => !is_oidc,
            _ => !is_github,
        });
        offers
    }

    /// Where an attempt's browser is sent.
    pub(crate) async fn address(&self, attempt: &Attempt, settings: &Settings) -> Result<Url, LoginError> {
        let mut proof = Proof { state: &attempt.state, nonce: None, verifier: &attempt.verifier };
        match (attempt.provider, &self.oidc, &self.github) {
            (Which::Oidc, Some(oidc), _) => {
                proof.nonce = Some(&attempt.nonce);
                oidc.address(&proof).await
            }
            (Which::Github, _, Some(github)) => Ok(github.address(&proof, !settings.orgs().is_empty())),
            (Which::Oidc | Which::Github, _, _) => Err(LoginError::NotConfigured),
        }
    }

    /// The provider that a request names, else the first.
    pub(crate) fn chosen(&self, named: Option<&str>) -> Result<Which, LoginError> {
        let which = |name: &str| match name {
            "oidc" if self.oidc.is_some() => Some(Which::Oidc),
            "github" if self.github.is_some() => Some(Which::Github),
            _ => None,
        };
        let offers = self.offers();
        let Some(first) = offers.first() else { return Err(LoginError::NotConfigured) };
        which(named.unwrap_or(first.name)).ok_or_else(|| {
            LoginError::NoSuchProvider(offers.iter().map(|offer| offer.name).collect::<Vec<_>>().join(", "))
        })
    }
}
