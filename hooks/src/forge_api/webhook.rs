//! Creates and removes the webhook of a repository at its forge.

use http::{Method, StatusCode};
use jobs::{Forge, Secret};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{ForgeApi, ForgeError, ForgeRepository};
use crate::api::Answer;
use crate::status::credential_for;

/// Events of GitHub: a push also reports deletions, `merge_group` a group that left the merge queue.
const GITHUB_EVENTS: &[&str] = &["push", "pull_request", "check_run", "merge_group"];
/// Events of a GitHub without merge queues, such as an older GitHub Enterprise.
const GITHUB_EVENTS_WITHOUT_QUEUES: &[&str] = &["push", "pull_request", "check_run"];
/// Events of Gitea; `pull_request` covers all of its actions.
const GITEA_EVENTS: &[&str] = &["push", "delete", "pull_request"];

/// Where the forge sends events, and the secret that it signs with.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// The address, `https://…/webhooks/<repository>`.
    pub url: Url,
    /// The secret; GitLab sends it along, the others sign with it.
    pub secret: Secret,
}

/// A webhook that is there now. The number is the forge's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreatedWebhook {
    /// It was made.
    Created {
        /// Its number.
        id: u64,
    },
    /// It was there before, and has the secret now.
    Exists {
        /// Its number.
        id: u64,
    },
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    active: bool,
    events: &'a [&'a str],
    config: Config<'a>,
}

#[derive(Serialize)]
struct Config<'a> {
    url: &'a str,
    content_type: &'a str,
    secret: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    insecure_ssl: Option<&'a str>,
}

#[derive(Serialize)]
struct GitlabBody<'a> {
    url: &'a str,
    token: &'a str,
    push_events: bool,
    tag_push_events: bool,
    merge_requests_events: bool,
    enable_ssl_verification: bool,
}

#[derive(Deserialize)]
struct Listed {
    id: u64,
    #[serde(default)]
    config: serde_json::Value,
}

impl ForgeApi {
    /// Creates the webhook. An existing one with the same address gets the new secret instead.
    pub async fn create_webhook(
        &self,
        repository: &ForgeRepository,
        webhook: &Webhook,
    ) -> Result<CreatedWebhook, ForgeError> {
        let answer = self.subscribe(Method::POST, repository, &["hooks"], webhook).await?;
        if answer.status.is_success() {
            return match serde_json::from_slice::<Listed>(&answer.body) {
                Ok(made) => Ok(CreatedWebhook::Created { id: made.id }),
                Err(error) => {
                    let reason = format!("the answer with the webhook is garbled: {error}");
                    Err(ForgeError::Unavailable { reason })
                }
            };
        }
        // GitHub's words; the others take a second webhook to the same address.
        let said = String::from_utf8_lossy(&answer.body);
        if answer.status != StatusCode::UNPROCESSABLE_ENTITY || !said.contains("already exists") {
            return Err(ForgeError::of(&answer));
        }
        let Some(id) = self.find_webhook(repository, &webhook.url).await? else {
            return Err(ForgeError::of(&answer));
        };
        let answer = self.subscribe(Method::PATCH, repository, &["hooks", &id.to_string()], webhook).await?;
        if answer.status.is_success() {
            Ok(CreatedWebhook::Exists { id })
        } else {
            Err(ForgeError::of(&answer))
        }
    }

    /// Removes the webhook; one that is gone is no error.
    pub async fn remove_webhook(&self, repository: &ForgeRepository, id: u64) -> Result<(), ForgeError> {
        let credential = credential_for(&repository.target)?;
        let url = repository.url(&["hooks", &id.to_string()])?;
        let answer = self.api.ask(Method::DELETE, url, &credential).await?;
        let gone = matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE);
        if answer.status.is_success() || gone { Ok(()) } else { Err(ForgeError::of(&answer)) }
    }

    /// The number of the webhook whose address is `to`, among the first hundred.
    async fn find_webhook(&self, repository: &ForgeRepository, to: &Url) -> Result<Option<u64>, ForgeError> {
        let credential = credential_for(&repository.target)?;
        let mut url = repository.url(&["hooks"])?;
        url.query_pairs_mut().append_pair("per_page", "100");
        let answer = self.api.ask(Method::GET, url, &credential).await?;
        if !answer.status.is_success() {
            return Err(ForgeError::of(&answer));
        }
        let listed: Vec<Listed> = serde_json::from_slice(&answer.body).unwrap_or_default();
        let leads_there = |hook: &&Listed| hook.config["url"].as_str() == Some(to.as_str());
        Ok(listed.iter().find(leads_there).map(|hook| hook.id))
    }

    /// Sends the webhook with all events that we take; where the repository does not know the newest of
    /// them, without it.
    async fn subscribe(
        &self,
        method: Method,
        repository: &ForgeRepository,
        path: &[&str],
        webhook: &Webhook,
    ) -> Result<Answer, ForgeError> {
        let answer = self.send(method.clone(), repository, path, webhook, GITHUB_EVENTS).await?;
        if repository.target.forge == Forge::Github && is_about_events(&answer) {
            return self.send(method, repository, path, webhook, GITHUB_EVENTS_WITHOUT_QUEUES).await;
        }
        Ok(answer)
    }

    async fn send(
        &self,
        method: Method,
        repository: &ForgeRepository,
        path: &[&str],
        webhook: &Webhook,
        github_events: &[&str],
    ) -> Result<Answer, ForgeError> {
        let credential = credential_for(&repository.target)?;
        let url = repository.url(path)?;
        let (to, secret) = (webhook.url.as_str(), webhook.secret.expose());
        let config = Config { url: to, content_type: "json", secret, insecure_ssl: None };
        let body = match repository.target.forge {
            Forge::Gitlab => {
                let body = GitlabBody {
                    url: to,
                    token: secret,
                    push_events: true,
                    tag_push_events: true,
                    merge_requests_events: true,
                    enable_ssl_verification: true,
                };
                return Ok(self.api.send(method, url, &credential, &body).await?);
            }
            Forge::Gitea => {
                Body { name: None, kind: Some("gitea"), active: true, events: GITEA_EVENTS, config }
            }
            Forge::Github | Forge::Plain => Body {
                name: Some("web").filter(|_| method == Method::POST),
                kind: None,
                active: true,
                events: github_events,
                config: Config { insecure_ssl: Some("0"), ..config },
            },
        };
        Ok(self.api.send(method, url, &credential, &body).await?)
    }
}

/// Whether GitHub refused the webhook for an event that it does not know.
fn is_about_events(answer: &Answer) -> bool {
    let said = String::from_utf8_lossy(&answer.body);
    answer.status == StatusCode::UNPROCESSABLE_ENTITY
        && !said.contains("already exists")
        && said.contains("event")
}
