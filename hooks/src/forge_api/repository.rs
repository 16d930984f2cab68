//! Looks up a repository: its numeric id survives renames, its name does not.

use http::Method;
use serde::Deserialize;
use url::Url;

use super::{ForgeApi, ForgeError, ForgeRepository, project_url};
use crate::api::Answer;
use crate::status::credential_for;
use jobs::Forge;

/// GitLab's access level of a developer, the lowest that may push.
const GITLAB_DEVELOPER: u64 = 30;

/// A repository as its forge describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRepository {
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
    pub async fn repository(&self, repository: &ForgeRepository) -> Result<FoundRepository, ForgeError> {
        let credential = credential_for(&repository.target)?;
        let answer = self.api.ask(Method::GET, repository.url(&[])?, &credential).await?;
        found(repository.target.forge, &answer)
    }

    /// Looks a public repository up without a credential.
    pub async fn public_repository(
        &self,
        forge: Forge,
        api: &Url,
        owner: &str,
        name: &str,
    ) -> Result<FoundRepository, ForgeError> {
        let url = project_url(forge, api, owner, name, &[])?;
        found(forge, &self.api.ask_anonymously(Method::GET, url).await?)
    }
}

fn found(forge: Forge, answer: &Answer) -> Result<FoundRepository, ForgeError> {
    if !answer.status.is_success() {
        return Err(ForgeError::of(answer));
    }
    let Answered { id, full_name, permissions } = serde_json::from_slice(&answer.body).map_err(|error| {
        ForgeError::Unavailable { reason: format!("the answer with the repository is garbled: {error}") }
    })?;
    let may_push = match forge {
        Forge::Github | Forge::Gitea | Forge::Plain => permissions["push"].as_bool(),
        Forge::Gitlab => {
            let level = |of: &str| permissions[of]["access_level"].as_u64().unwrap_or(0);
            permissions
                .is_object()
                .then(|| level("project_access").max(level("group_access")) >= GITLAB_DEVELOPER)
        }
    };
    Ok(FoundRepository { id, full_name, may_push })
}
