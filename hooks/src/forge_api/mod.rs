//! The API of a forge: identifies a repository and manages its webhook.
//!
//! Used when a repository is registered, changed or removed; every request is sent once and has a time limit.
//! The token is that of the registration and is sent to the host of its API alone.

mod detect;
mod repository;
mod webhook;

use std::path::Path;

use url::Url;

pub use detect::Detected;
pub use repository::FoundRepository;
pub use webhook::{CreatedWebhook, Webhook};

use crate::address::{Allow, ClientError};
use crate::api::{Answer, Api, below};
use crate::status::{StatusError, Target, classify};
use jobs::Forge;

/// A repository at its forge, and the token to access it with.
#[derive(Debug, Clone)]
pub struct ForgeRepository {
    /// The forge, its API and the token.
    pub target: Target,
    /// The repository's owner, from the registered URL; of GitLab with all its groups.
    pub owner: String,
    /// The repository's name, from the registered URL.
    pub name: String,
}

/// Why the forge did not do it. The text is shown to the caller who registers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForgeError {
    /// The token is invalid or expired.
    #[error("the forge does not take the token: {reason}")]
    Unauthorized {
        /// What the forge said.
        reason: String,
    },
    /// The token is good, but not for this.
    #[error("the token may not do this: {reason}")]
    Forbidden {
        /// What the forge said.
        reason: String,
    },
    /// No such repository, or one that the token may not see: forges do not tell which.
    #[error("the forge knows no such repository, or the token may not see it: {reason}")]
    NotFound {
        /// What the forge said.
        reason: String,
    },
    /// Not there any more, and not on the same host. No token was sent there.
    #[error("the repository has moved to {to}")]
    Moved {
        /// Where the forge pointed.
        to: String,
    },
    /// Anything else that another try will not change.
    #[error("the forge refuses: {reason}")]
    Refused {
        /// What the forge said.
        reason: String,
    },
    /// Another try may do better.
    #[error("the forge cannot be asked at the moment: {reason}")]
    Unavailable {
        /// What went wrong.
        reason: String,
    },
}

impl From<StatusError> for ForgeError {
    fn from(error: StatusError) -> Self {
        match error {
            StatusError::Unauthorized { reason } => Self::Unauthorized { reason },
            StatusError::Moved { to } => Self::Moved { to },
            StatusError::Refused { reason } => Self::Refused { reason },
            StatusError::Retry { reason } | StatusError::RetryAfter { reason, .. } => {
                Self::Unavailable { reason }
            }
        }
    }
}

impl ForgeError {
    /// The error of an unsuccessful response.
    fn of(answer: &Answer) -> Self {
        match (answer.status.as_u16(), classify(answer.status, &answer.headers, &answer.body)) {
            (403, StatusError::Refused { reason }) => Self::Forbidden { reason },
            (404 | 410, StatusError::Refused { reason }) => Self::NotFound { reason },
            (_, other) => other.into(),
        }
    }
}

/// A client of the APIs of forges. One for the whole process.
#[derive(Debug, Clone)]
pub struct ForgeApi {
    api: Api,
}

impl ForgeApi {
    /// A client that reaches public addresses and what `allow` adds. Needs a running tokio.
    pub fn new(allow: &Allow, ca: Option<&Path>) -> Result<Self, ClientError> {
        Ok(Self { api: Api::new(allow, ca)? })
    }
}

impl ForgeRepository {
    /// Something of the repository in the API.
    fn url(&self, rest: &[&str]) -> Result<Url, StatusError> {
        project_url(self.target.forge, &self.target.api, &self.owner, &self.name, rest)
    }
}

/// Something of a repository in the API; owner and name are encoded, whatever they are.
fn project_url(forge: Forge, api: &Url, owner: &str, name: &str, rest: &[&str]) -> Result<Url, StatusError> {
    match forge {
        Forge::Github | Forge::Gitea => {
            below(api, ["repos", owner, name].into_iter().chain(rest.iter().copied()))
        }
        // The project's path is one segment: its slashes are encoded.
        Forge::Gitlab => {
            let project = format!("{owner}/{name}");
            below(api, ["projects", &project].into_iter().chain(rest.iter().copied()))
        }
        Forge::Plain => Err(StatusError::Refused { reason: "a plain git server has no API".to_owned() }),
    }
}
