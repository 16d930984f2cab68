//! Authenticates as a GitHub App: short-lived tokens, each for one repository and one permission.
//!
//! The App's key stays in the gateway; a worker gets an installation token from here. Tokens are not cached
//! here: an installation token is valid for an hour, and its holder knows when it expires.

mod installed;
mod redeliver;

use std::path::Path;
use std::time::Duration;

pub use installed::InstalledOn;
pub use redeliver::{DeliveryAttempt, MAX_AT_ONCE, to_redeliver};

use http::Method;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use jobs::Secret;
use octocrab::jsonwebtoken::EncodingKey;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::address::{Allow, ClientError};
use crate::api::{Answer, Api, Credential, below, credential};
use crate::status::{StatusError, classify, date};

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Right {
    /// Read the repository's commits: to clone it.
    ReadContents,
    /// Post commit statuses.
    WriteStatuses,
    /// Make and change check runs.
    WriteChecks,
}

/// A token for one repository and one right.
#[derive(Debug, Clone)]
pub struct InstallationToken {
    /// The token. Its length and form are GitHub's, and change.
    pub token: Secret,
    /// When it ends, by GitHub's clock.
    pub expires_at: Timestamp,
    /// How long it lived when it was given: both ends by GitHub's clock, so that ours may be wrong.
    pub lifetime: Duration,
}

/// Why the App cannot act.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The key is not a PEM file of an RSA key.
    #[error("the App's key is not an RSA key in PEM form")]
    Key(#[source] octocrab::jsonwebtoken::errors::Error),
    /// No connection can be made at all.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// GitHub did not give a token; the inner error says what to do.
    #[error(transparent)]
    Forge(#[from] StatusError),
}

/// A GitHub App: its id, its key, and where its GitHub is.
#[derive(Clone)]
pub struct App {
    id: u64,
    key: EncodingKey,
    url: Url,
    api: Api,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("id", &self.id).field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

#[derive(Debug, Serialize)]
struct TokenRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    repository_ids: Option<[u64; 1]>,
    permissions: Permissions,
}

#[derive(Debug, Default, Serialize)]
struct Permissions {
    #[serde(skip_serializing_if = "Option::is_none")]
    contents: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    statuses: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'static str>,
}

impl From<Right> for Permissions {
    fn from(right: Right) -> Self {
        match right {
            Right::ReadContents => Self { contents: Some("read"), ..Self::default() },
            Right::WriteStatuses => Self { statuses: Some("write"), ..Self::default() },
            Right::WriteChecks => Self { checks: Some("write"), ..Self::default() },
        }
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: String,
    expires_at: Timestamp,
}

impl App {
    /// The App `id` with its PEM key, at the GitHub whose API is at `url`. Needs a running tokio.
    pub fn new(
        id: u64,
        key_pem: &Secret,
        url: Url,
        allow: &Allow,
        ca: Option<&Path>,
    ) -> Result<Self, AppError> {
        let key = EncodingKey::from_rsa_pem(key_pem.expose().as_bytes()).map_err(AppError::Key)?;
        Ok(Self { id, key, url, api: Api::new(allow, ca)? })
    }

    /// The App's id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The JWT that authenticates the App: RS256, from a minute ago, for nine minutes.
    pub fn jwt(&self) -> Result<Secret, AppError> {
        let jwt = octocrab::auth::create_jwt(self.id.into(), &self.key).map_err(AppError::Key)?;
        Ok(jwt.parse().expect("a JWT is never empty"))
    }

    /// A new token of an installation for one repository, by GitHub's numeric id, and one right.
    pub async fn token(
        &self,
        installation: u64,
        repository_id: u64,
        right: Right,
    ) -> Result<InstallationToken, AppError> {
        self.mint(installation, Some(repository_id), right.into()).await
    }

    async fn mint(
        &self,
        installation: u64,
        repository_id: Option<u64>,
        permissions: Permissions,
    ) -> Result<InstallationToken, AppError> {
        let installation = installation.to_string();
        let url = below(&self.url, ["app", "installations", &installation, "access_tokens"])?;
        let request = TokenRequest { repository_ids: repository_id.map(|id| [id]), permissions };
        let answer = self.api.send(Method::POST, url, &self.app_credential()?, &request).await?;
        let TokenAnswer { token, expires_at } = read(&answer, "with the token")?;
        let token = token.parse().map_err(|_| malformed_answer("with the token"))?;
        let given_at = date(&answer.headers).unwrap_or_else(|| Timestamp::now().as_second());
        let lifetime_s = u64::try_from(expires_at.as_second() - given_at).unwrap_or(0);
        Ok(InstallationToken { token, expires_at, lifetime: Duration::from_secs(lifetime_s) })
    }

    fn app_credential(&self) -> Result<Credential, AppError> {
        Ok(credential(AUTHORIZATION, format!("Bearer {}", self.jwt()?.expose()))?)
    }
}

/// Whether a text is an RSA key in PEM form, as [`App::new`] needs it.
pub fn check_key(key_pem: &Secret) -> Result<(), AppError> {
    EncodingKey::from_rsa_pem(key_pem.expose().as_bytes()).map(|_| ()).map_err(AppError::Key)
}

/// Parses a successful response. It may hold a token, so a parse error does not quote it.
fn read<T: serde::de::DeserializeOwned>(answer: &Answer, what: &str) -> Result<T, StatusError> {
    if !answer.status.is_success() {
        return Err(classify(answer.status, &answer.headers, &answer.body));
    }
    serde_json::from_slice(&answer.body).map_err(|_| malformed_answer(what))
}

fn malformed_answer(what: &str) -> StatusError {
    StatusError::Retry { reason: format!("the answer {what} is garbled") }
}
