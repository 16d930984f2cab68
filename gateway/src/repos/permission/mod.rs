//! Verifies that a registration may report statuses: asks its forge, with the registration's own credential.
//!
//! "Not found", an error and a missing answer are not a confirmation: such a registration runs jobs and
//! reports nothing. The check is retried with exponential back-off ([`retry`]), and at the next delivery.
//! What a registrant claims or signs is never accepted as evidence. Whether a token may also write statuses
//! shows only when one is posted; see [`crate::repos::problems`].

mod retry;

use std::time::Duration;

use hooks::forge_api::ForgeError;
use jiff::Timestamp;
use jobs::{ProblemKind, Repo, UnverifiedRight, bucket::Entry};
pub(crate) use retry::{PermissionRetries, rank};

use crate::{
    backoff,
    error::ApiError,
    repos::{Registrations, forge_webhook::FORGE_TIMEOUT},
};

/// Delay before the first retry: most outages are short, and an owner who has just replaced a token at the
/// forge is waiting for it.
const FIRST_RETRY: Duration = Duration::from_secs(60);
/// The delay doubles up to this: a registration that is never confirmed costs its forge a request an hour.
const MAX_RETRY: Duration = Duration::from_secs(3600);

/// What the forge says about a registration's permission to push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Permission {
    /// This credential may push there, or is the App's that is installed there.
    Granted,
    /// The credential may not, or the forge does not know the repository; one sentence.
    Denied(String),
    /// The forge gave no answer; one sentence.
    Unknown(String),
    /// There is no credential to ask with.
    NoCredential,
}

impl Permission {
    /// The reason for a denial.
    pub(crate) fn denial(&self) -> Option<&str> {
        match self {
            Self::Denied(why) => Some(why),
            Self::Granted | Self::Unknown(_) | Self::NoCredential => None,
        }
    }
}

/// The state of a registration's record until the permission is known: after a crash in between, the next
/// retry completes it.
pub(crate) fn permission_pending() -> UnverifiedRight {
    let again_at = Timestamp::now() + FIRST_RETRY;
    UnverifiedRight { reason: "the forge is being asked whether it may".to_owned(), tries: 0, again_at }
}

/// The same after another check without a confirmation.
fn permission_retry(before: Option<&UnverifiedRight>, reason: &str, now: Timestamp) -> UnverifiedRight {
    let tries = before.map_or(0, |before| before.tries).saturating_add(1);
    let delay = backoff::delay(FIRST_RETRY, tries, MAX_RETRY);
    UnverifiedRight { reason: reason.to_owned(), tries, again_at: now + delay }
}

/// A registration with the result of a check; `checked` is the copy that was checked.
pub(crate) fn with_permission(repo: &Repo, checked: &Repo, permission: &Permission) -> Repo {
    let now = Timestamp::now();
    let learned = Repo { forge_id: checked.forge_id, installation: checked.installation, ..repo.clone() };
    match permission {
        Permission::Granted => Repo {
            unproved: Some(permission_pending()),
            ..learned.with_problem(ProblemKind::Token, None, now)
        },
        Permission::Denied(why) => Repo {
            posts: false,
            unproved: Some(permission_retry(repo.unproved.as_ref(), why, now)),
            ..learned.with_problem(ProblemKind::Token, Some(why), now)
        },
        Permission::Unknown(why) => Repo {
            posts: false,
            unproved: Some(permission_retry(repo.unproved.as_ref(), why, now)),
            ..learned
        },
        Permission::NoCredential => {
            Repo { posts: false, unproved: None, ..learned.with_problem(ProblemKind::Token, None, now) }
        }
    }
}

/// Whether a check of either would ask the forge the same.
fn is_same_permission_check(one: &Repo, other: &Repo) -> bool {
    let inputs = |repo: &Repo| {
        let Repo { url, forge, api_url, sealed_token, operator_credential, installation, .. } = repo.clone();
        (url, forge, api_url, sealed_token, operator_credential, installation)
    };
    inputs(one) == inputs(other)
}

impl Registrations {
    /// Asks the forge, within [`FORGE_TIMEOUT`] and a few times a minute at most, and records in `repo` the
    /// repository's id there.
    pub(crate) async fn check_permission(&self, repo: &mut Repo) -> Permission {
        if !self.can_check_permission(repo) {
            return Permission::NoCredential;
        }
        if !self.limits.allows_forge_query(repo.id) {
            return Permission::Unknown("the forge was asked too often within a minute".to_owned());
        }
        let id = repo.id;
        let checking = tokio::time::timeout(FORGE_TIMEOUT, self.query_permission(repo));
        let permission = checking.await.unwrap_or_else(|_| {
            Permission::Unknown(format!("the forge did not answer within {} s", FORGE_TIMEOUT.as_secs()))
        });
        match &permission {
            Permission::Granted => {}
            Permission::Denied(reason) | Permission::Unknown(reason) => {
                tracing::info!(repo = %id, reason, "permission not confirmed by the forge");
            }
            Permission::NoCredential => {}
        }
        permission
    }

    /// Whether there is anything to ask: with a credential, or for the forge id of a repository without one.
    fn can_check_permission(&self, repo: &Repo) -> bool {
        let may_get_one = repo.operator_credential && self.app.is_some();
        self.has_credential(repo) || may_get_one || repo.forge_id.is_none()
    }

    async fn query_permission(&self, repo: &mut Repo) -> Permission {
        let unknown = self.detect_installation(repo).await.err();
        if !self.has_credential(repo) {
            if let (None, Some(Ok(found))) = (repo.forge_id, self.find_at_forge_or_public(repo).await) {
                repo.forge_id = Some(found.id);
            }
            return unknown.map_or(Permission::NoCredential, Permission::Unknown);
        }
        match self.find_at_forge(repo).await {
            Some(Ok(found)) => {
                repo.forge_id = Some(found.id);
                // An installation does not push; its permission to write checks is its own.
                match found.may_push {
                    _ if repo.installation.is_some() && repo.sealed_token.is_none() => Permission::Granted,
                    Some(true) => Permission::Granted,
                    Some(false) => Permission::Denied(
                        "the token may not push there, and so posts no statuses".to_owned(),
                    ),
                    None => {
                        Permission::Denied("the forge does not say that the token may push there".to_owned())
                    }
                }
            }
            Some(Err(error)) => match error {
                ForgeError::Unavailable { .. } | ForgeError::Refused { .. } => {
                    Permission::Unknown(error.to_string())
                }
                ForgeError::Unauthorized { .. }
                | ForgeError::Forbidden { .. }
                | ForgeError::NotFound { .. }
                | ForgeError::Moved { .. } => Permission::Denied(error.to_string()),
            },
            None => {
                Permission::Unknown("the forge cannot be asked with this credential at the moment".to_owned())
            }
        }
    }

    /// Where the operator's credential may be used: the App's installation provides the tokens, if there is
    /// one.
    ///
    /// # Errors
    /// GitHub did not answer; one sentence.
    async fn detect_installation(&self, repo: &mut Repo) -> Result<(), String> {
        let Some(url) = repo.url.get() else { return Ok(()) };
        let Some(app) = self.app.as_ref().filter(|_| repo.operator_credential) else { return Ok(()) };
        let Some((owner, name)) = url.owner_and_name().filter(|_| url.authority() == self.github.authority())
        else {
            return Ok(());
        };
        match app.installed_on(&owner, &name).await {
            Ok(Some(installed)) => {
                repo.installation = Some(installed.installation);
                repo.forge_id = Some(installed.repository_id);
                Ok(())
            }
            Ok(None) => {
                repo.installation = None;
                Ok(())
            }
            Err(error) => {
                tracing::info!(repo = %repo.id, %error, "installation lookup failed");
                Err(error.to_string())
            }
        }
    }

    /// Checks a registration's permission, and decides by the result whether it reports statuses. A status
    /// owner stays so while the forge does not answer: its permission was confirmed before.
    pub(crate) async fn verify_permission(&self, entry: Entry<Repo>) -> Result<Entry<Repo>, ApiError> {
        if entry.value.is_removing() {
            return Ok(entry);
        }
        let mut checked = entry.value.clone();
        let permission = self.check_permission(&mut checked).await;
        if entry.value.posts && matches!(permission, Permission::Unknown(_)) {
            return Ok(entry);
        }
        self.apply_permission(entry, &checked, &permission).await
    }

    /// Decides by the result of a check whether a registration reports statuses, unless it was changed
    /// meanwhile.
    pub(crate) async fn apply_permission(
        &self,
        before: Entry<Repo>,
        checked: &Repo,
        permission: &Permission,
    ) -> Result<Entry<Repo>, ApiError> {
        let updated = |now: &Entry<Repo>| {
            let next = with_permission(&now.value, checked, permission);
            (is_same_permission_check(&now.value, &before.value) && next != now.value).then_some(next)
        };
        let entry = self.ledger.repos.change(&before.key, updated).await?;
        let entry = entry.ok_or(ApiError::NotFound("repository"))?;
        self.repos.note(entry.clone());
        self.apply_to_status_owner(before, entry, permission).await
    }

    /// Applies a recorded result to the status owner: this registration becomes it, or another one does.
    pub(crate) async fn apply_to_status_owner(
        &self,
        before: Entry<Repo>,
        entry: Entry<Repo>,
        permission: &Permission,
    ) -> Result<Entry<Repo>, ApiError> {
        let is_another = before.value.forge_id != entry.value.forge_id;
        let keeps = *permission == Permission::Granted && !is_another;
        if !keeps && self.release_status_owner(&before.value).await? {
            self.elect_another_status_owner(&before.value).await?;
        }
        match permission {
            Permission::Granted => self.elect_status_owner(entry).await,
            Permission::Denied(_) | Permission::Unknown(_) | Permission::NoCredential => Ok(entry),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn the_forge_is_asked_again_after_a_minute_and_then_less_and_less_often() {
        let now = Timestamp::now();
        let mut unproved = None;
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            let next = permission_retry(unproved.as_ref(), "no", now);
            assert_eq!(next.again_at, now + SignedDuration::from_mins(minutes));
            unproved = Some(next);
        }
        let many = UnverifiedRight { reason: String::new(), tries: u32::MAX, again_at: now };
        assert_eq!(permission_retry(Some(&many), "no", now).again_at, now + MAX_RETRY);
    }
}
