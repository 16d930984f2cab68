//! Credentials of registrations.

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

/// Why nothing is given of a registration whose token was revoked.
pub(crate) const TOKEN_ENDED: &str = "the forge does not take the registration's token any more";

/// What a forge is shown.
pub(crate) struct Credential {
    pub(crate) token: Secret,
    /// Whether it is a GitHub App installation's.
    pub(crate) from_app: bool,
}

/// To which forge a registration speaks of its commits, of which repository, and as whom.
pub(crate) struct Speaks {
    pub(crate) forge: Forge,
    pub(crate) api: Url,
    pub(crate) owner: String,
    pub(crate) name: String,
    pub(crate) credential: Credential,
}

/// Why nothing is given.
pub(crate) enum NotGranted {
    /// Final.
    Refused(&'static str),
    /// Trouble of ours: another try may do better.
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
    tracing::warn!(error = format!("{error:#}"), "a grant could not be made");
    NotGranted::Unavailable(error.to_string())
}

/// Why the App has no token for a repository. That it may not is final; all else may pass.
fn not_minted(repo: &Repo, error: &AppError) -> NotGranted {
    tracing::warn!(repo = %repo.id, installation = repo.installation, %error, "no token from GitHub");
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
    /// The registration's own token, else one of the App's installation, else the operator's where it
    /// may be used. `stale` is the digest of a token that the forge did not take; only a token that we
    /// mint can be replaced.
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
                return self.token_ended(repo).await;
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
                .map_err(|error| not_minted(repo, &error));
        }
        Ok(self.github.token.clone().filter(|_| repo.operator_credential).map(plainly))
    }

    /// The forge does not take the registration's own token: there is no other, and its owner is to see it.
    async fn token_ended<T>(&self, repo: &Repo) -> Result<T, NotGranted> {
        tracing::warn!(repo = %repo.id, "token of a registration not taken by the forge");
        self.note_problem(repo.id, ProblemKind::Token, Some(TOKEN_ENDED)).await.map_err(unavailable)?;
        refused(TOKEN_ENDED)
    }

    /// How a registration speaks of its commits, if it is the one that does.
    pub(crate) async fn speaks(&self, repo: &Repo, stale: Option<&str>) -> Result<Speaks, NotGranted> {
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
        Ok(Speaks { forge, api, owner, name, credential })
    }
}
