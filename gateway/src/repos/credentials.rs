//! Credentials of registrations: their own token, an installation token, or the operator's.

use hooks::{
    Forge,
    app::{AppError, Right},
    status::StatusError,
};
use jobs::{ProblemKind, Repo, Secret, grants::GrantReply};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::{
    crypto::sealed::forge_token_context,
    error::ApiError,
    repos::{Registrations, forge_kind::forge_of},
};

/// Why no credential is granted for a registration whose token was revoked.
pub(crate) const TOKEN_REVOKED: &str = "the forge does not take the registration's token any more";

/// A credential for a forge.
pub(crate) struct Credential {
    pub(crate) token: Secret,
    /// Whether it is the token of a GitHub App installation.
    pub(crate) from_app: bool,
}

/// Where and with which credential a registration reports statuses.
pub(crate) struct StatusAccess {
    pub(crate) forge: Forge,
    pub(crate) api: Url,
    pub(crate) owner: String,
    pub(crate) name: String,
    pub(crate) credential: Credential,
}

/// Why nothing is granted.
pub(crate) enum NotGranted {
    /// Final.
    Refused(&'static str),
    /// A failure of the service: a retry may succeed.
    Unavailable(String),
}

impl From<NotGranted> for GrantReply {
    fn from(not: NotGranted) -> Self {
        match not {
            NotGranted::Refused(reason) => Self::Refused { reason: reason.to_owned() },
            NotGranted::Unavailable(reason) => Self::Unavailable { reason },
        }
    }
}

pub(crate) fn refused<T>(reason: &'static str) -> Result<T, NotGranted> {
    Err(NotGranted::Refused(reason))
}

pub(crate) fn unavailable(error: impl Into<ApiError>) -> NotGranted {
    let error: anyhow::Error = error.into().into();
    tracing::warn!(error = format!("{error:#}"), "grant failed");
    NotGranted::Unavailable(error.to_string())
}

/// Why the App has no token for a repository. A missing permission is final; all else is worth a retry.
fn token_denied(repo: &Repo, error: &AppError) -> NotGranted {
    tracing::warn!(repo = %repo.id, installation = repo.installation, %error, "installation token denied");
    match error {
        AppError::Forge(StatusError::Refused { .. } | StatusError::Moved { .. }) => {
            NotGranted::Refused("the GitHub App may not do this for this repository any more")
        }
        AppError::Forge(
            StatusError::Retry { .. } | StatusError::RetryAfter { .. } | StatusError::Unauthorized { .. },
        )
        | AppError::Key(_)
        | AppError::Client(_) => NotGranted::Unavailable(error.to_string()),
    }
}

/// The user that goes with a token in HTTP basic authentication.
pub(crate) fn clone_user(forge: Forge) -> &'static str {
    match forge {
        Forge::Github => "x-access-token",
        Forge::Gitlab => "oauth2",
        Forge::Gitea | Forge::Plain => "git",
    }
}

impl Registrations {
    /// The registration's own token, else one of the App's installation, else the operator's where it may be
    /// used. `stale` is the digest of a token that the forge rejected; only an installation token can be
    /// replaced.
    pub(crate) async fn credential(
        &self,
        repo: &Repo,
        right: Right,
        stale: Option<&str>,
    ) -> Result<Option<Credential>, NotGranted> {
        let plainly = |token| Credential { token, from_app: false };
        if let Some(sealed) = &repo.sealed_token {
            let opened = self.keys.unseal(&forge_token_context(repo.id), sealed);
            let token = opened.map_err(|error| unavailable(ApiError::Internal(error.into())))?;
            if stale.is_some_and(|stale| stale == hex::encode(Sha256::digest(token.expose()))) {
                return self.reject_revoked_token(repo).await;
            }
            return Ok(Some(plainly(token)));
        }
        if forge_of(repo) != Forge::Github {
            return Ok(None);
        }
        if let (Some(app), Some(installation), Some(forge_id)) = (&self.app, repo.installation, repo.forge_id)
        {
            let token = app.token(installation, forge_id, right, stale).await;
            return token
                .map(|token| Some(Credential { token, from_app: true }))
                .map_err(|error| token_denied(repo, &error));
        }
        Ok(self.github.token.clone().filter(|_| repo.operator_credential).map(plainly))
    }

    /// The forge rejects the registration's own token: there is no other, and a problem is recorded for its
    /// owner.
    async fn reject_revoked_token<T>(&self, repo: &Repo) -> Result<T, NotGranted> {
        tracing::warn!(repo = %repo.id, "registration token rejected by the forge");
        self.record_problem(repo.id, ProblemKind::Token, Some(TOKEN_REVOKED)).await.map_err(unavailable)?;
        refused(TOKEN_REVOKED)
    }

    /// Where a registration reports statuses, if it is the status owner.
    pub(crate) async fn status_access(
        &self,
        repo: &Repo,
        stale: Option<&str>,
    ) -> Result<StatusAccess, NotGranted> {
        if !repo.posts {
            return refused("another registration of this repository posts its statuses");
        }
        let Some(credential) = self.credential(repo, Right::WriteChecks, stale).await? else {
            return refused("there is no credential for this repository");
        };
        let forge = forge_of(repo);
        let Some(url) = repo.url.get() else { return refused("the registered URL cannot be read") };
        let place = self.api_of(repo, forge, url).and_then(|api| Some((url.owner_and_name_at(&api)?, api)));
        let Some(((owner, name), api)) = place else { return refused("this forge takes no statuses") };
        Ok(StatusAccess { forge, api, owner, name, credential })
    }
}
