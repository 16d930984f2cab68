//! Which repository it is: the forge's number survives renames, its name does not.

use http::Method;
use serde::Deserialize;

use super::{ForgeApi, ForgeError, Place};
use crate::forge::Forge;
use crate::status::credential_for;

/// GitLab's level of a developer, from which on one may push.
const GITLAB_DEVELOPER: u64 = 30;

/// A repository as its forge knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The forge's number.
    pub id: u64,
    /// Owner and name now, which are others than asked for when it was renamed.
    pub full_name: String,
    /// Whether the token's owner may push there, where the forge says so.
    pub may_push: Option<bool>,
}

#[derive(Deserialize)]
struct Answered {
    id: u64,
    #[serde(alias = "path_with_namespace")]
    full_name: String,
    #[serde(default)]
    permissions: serde_json::Value,
}

impl ForgeApi {
    /// Looks the repository up with the token.
    pub async fn repository(&self, place: &Place) -> Result<Found, ForgeError> {
        let credential = credential_for(&place.target)?;
        let answer = self.api.ask(Method::GET, place.url(&[])?, &credential).await?;
        if !answer.status.is_success() {
            return Err(ForgeError::of(&answer));
        }
        let Answered { id, full_name, permissions } =
            serde_json::from_slice(&answer.body).map_err(|error| ForgeError::Unavailable {
                reason: format!("the answer with the repository is garbled: {error}"),
            })?;
        let may_push = match place.target.forge {
            Forge::Github | Forge::Gitea | Forge::Plain => permissions["push"].as_bool(),
            Forge::Gitlab => {
                let level = |of: &str| permissions[of]["access_level"].as_u64().unwrap_or(0);
                permissions
                    .is_object()
                    .then(|| level("project_access").max(level("group_access")) >= GITLAB_DEVELOPER)
            }
        };
        Ok(Found { id, full_name, may_push })
    }
}
