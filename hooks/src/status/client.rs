//! Posts one commit status through the API of its forge.

use std::path::Path;

use http::header::{AUTHORIZATION, HeaderName};
use http::{Method, StatusCode};
use jobs::{Forge, Secret};
use url::Url;

use super::error::classify;
use super::{GithubBody, GitlabBody, StatusError, StatusPost, gitlab_word, one_line};
use crate::address::{Allow, ClientError};
use crate::api::{Api, Credential, credential};
use crate::budget::Budget;

/// The API of a forge, and the token to use there.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its kind.
    pub forge: Forge,
    /// Where its API is: `https://api.github.com`, `https://git.internal/api/v1`.
    pub api: Url,
    /// A token that may write statuses. It is sent to the host of `api` and nowhere else.
    pub token: Secret,
}

/// Posts statuses. One for the whole process; it keeps connections open.
#[derive(Debug, Clone)]
pub struct StatusClient {
    pub(super) api: Api,
}

impl StatusClient {
    /// A client that reaches public addresses and what `allow` adds. Needs a running tokio.
    pub fn new(allow: &Allow, ca: Option<&Path>) -> Result<Self, ClientError> {
        Ok(Self { api: Api::new(allow, ca)? })
    }

    /// The remaining request budget that the forge last reported for this token, if it reports one.
    pub fn budget(&self, target: &Target) -> Option<Budget> {
        self.api.budget(&target.api, &credential_for(target).ok()?)
    }

    /// Posts one status, in at most ten seconds.
    pub async fn post(&self, target: &Target, post: &StatusPost) -> Result<(), StatusError> {
        let url = url(target, post)?;
        let credential = credential_for(target)?;
        let description = &one_line(&post.description);
        let StatusPost { context, state, .. } = post;
        let target_url = post.target_url.as_deref();
        let answer = match target.forge {
            Forge::Github | Forge::Gitea | Forge::Plain => {
                let body = GithubBody { state: *state, context, description, target_url };
                self.api.send(Method::POST, url, &credential, &body).await?
            }
            Forge::Gitlab => {
                let body = GitlabBody { state: gitlab_word(post), name: context, description, target_url };
                self.api.send(Method::POST, url, &credential, &body).await?
            }
        };
        if answer.status.is_success() || is_already_so(target.forge, answer.status, &answer.body) {
            return Ok(());
        }
        Err(classify(answer.status, &answer.headers, &answer.body))
    }
}

/// Where the status is posted to; owner and name are encoded, whatever they are.
fn url(target: &Target, post: &StatusPost) -> Result<Url, StatusError> {
    let mut url = target.api.clone();
    let sha = post.sha.as_str();
    let no_api = || StatusError::Refused { reason: format!("{} is not the address of an API", target.api) };
    {
        let mut path = url.path_segments_mut().map_err(|()| no_api())?;
        path.pop_if_empty();
        match target.forge {
            Forge::Github | Forge::Gitea => path.extend(["repos", &post.owner, &post.name, "statuses", sha]),
            // The project's path is one segment: its slashes are encoded.
            Forge::Gitlab => {
                path.extend(["projects", &format!("{}/{}", post.owner, post.name), "statuses", sha])
            }
            Forge::Plain => {
                return Err(StatusError::Refused { reason: "a plain git server takes no status".to_owned() });
            }
        };
    }
    Ok(url)
}

pub(crate) fn credential_for(target: &Target) -> Result<Credential, StatusError> {
    let token = target.token.expose();
    match target.forge {
        Forge::Github | Forge::Plain => credential(AUTHORIZATION, format!("Bearer {token}")),
        Forge::Gitea => credential(AUTHORIZATION, format!("token {token}")),
        Forge::Gitlab => credential(HeaderName::from_static("private-token"), token.to_owned()),
    }
}

/// GitLab answers 400 when the status is already what is posted.
fn is_already_so(forge: Forge, status: StatusCode, body: &[u8]) -> bool {
    let said = String::from_utf8_lossy(body);
    forge == Forge::Gitlab && status == StatusCode::BAD_REQUEST && said.contains("Cannot transition status")
}
