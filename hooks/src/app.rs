//! Acting as a GitHub App: short-lived tokens, each for one repository and one right.
//!
//! The App's key stays in the gateway; what is lent to a worker is a token of this file. Tokens are
//! not kept here: an installation token lives an hour, and whoever keeps it knows when it ends.

use std::path::Path;

use http::Method;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use jobs::Secret;
use octocrab::jsonwebtoken::EncodingKey;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::address::{Allow, ClientError};
use crate::api::{Api, credential};
use crate::status::{StatusError, judge};

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
    /// The token. Its length and form are GitHub's business and change.
    pub token: Secret,
    /// When it ends, by GitHub's clock.
    pub expires_at: Timestamp,
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
    repository_ids: [u64; 1],
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

    /// Proves to GitHub that we are the App: RS256, from a minute ago, for nine minutes.
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
        let mut url = self.url.clone();
        let path = ["app", "installations", &installation.to_string(), "access_tokens"];
        match url.path_segments_mut() {
            Ok(mut segments) => drop(segments.pop_if_empty().extend(path)),
            Err(()) => {
                let reason = format!("{} is not the address of an API", self.url);
                return Err(StatusError::Refused { reason }.into());
            }
        }
        let jwt = credential(AUTHORIZATION, format!("Bearer {}", self.jwt()?.expose()))?;
        let request = TokenRequest { repository_ids: [repository_id], permissions: right.into() };
        let answer = self.api.send(Method::POST, url, &jwt, &request).await?;
        if !answer.status.is_success() {
            return Err(judge(answer.status, &answer.headers, &answer.body).into());
        }
        // The body holds a token: what is wrong with it is not told.
        let garbled = || StatusError::Retry { reason: "the answer with the token is garbled".to_owned() };
        let TokenAnswer { token, expires_at } =
            serde_json::from_slice(&answer.body).map_err(|_| garbled())?;
        Ok(InstallationToken { token: token.parse().map_err(|_| garbled())?, expires_at })
    }
}
