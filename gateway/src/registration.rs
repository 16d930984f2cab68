//! Registering a repository, and what that gives it.
//!
//! Credentials come in here alone: the operator's when an admin registers a repository of GitHub's,
//! else the token that is given with the registration, sealed. The forge is asked which repository it is,
//! and told the webhook; a registration stands whether or not it answers.

use hooks::{CloneUrl, Forge, forge_api::ForgeError};
use jobs::{Filter, Forks, Label, Links, Repo, RepoEvent, RepoId, Secret, UserId, bucket::Entry};
use serde::Deserialize;
use serde_json::Map;

use crate::{at_forge::WebhookTold, auth::Caller, error::ApiError, gateway::Gateway, submit::clone_url};

/// Globs of one list: a registration stays small enough to be read with every delivery.
const MAX_GLOBS: usize = 100;
/// Globs of one list together, in bytes as JSON: each job of a push keeps a copy of `paths`, and its
/// record stays under 32 KiB.
const MAX_GLOBS_BYTES: usize = 4096;
/// The longest name of a registration, in bytes.
const MAX_NAME_BYTES: usize = 200;
/// The longest token taken, in bytes; those of the forges are far shorter.
const MAX_TOKEN_BYTES: usize = 4096;

/// What a registration says; in a change, what is absent stays.
#[derive(Deserialize)]
pub(crate) struct Wishes {
    url: Option<String>,
    forge: Option<Forge>,
    name: Option<String>,
    branches: Option<Filter>,
    paths: Option<Filter>,
    events: Option<Vec<RepoEvent>>,
    links: Option<Links>,
    forks: Option<Forks>,
    label: Option<Label>,
    token: Option<String>,
    webhook: Option<bool>,
    viewers: Option<Vec<String>>,
}

impl Wishes {
    /// The names of the fields that are there, for the audit log: never what they hold.
    pub(crate) fn fields(&self) -> String {
        let fields = [
            ("url", self.url.is_some()),
            ("forge", self.forge.is_some()),
            ("name", self.name.is_some()),
            ("branches", self.branches.is_some()),
            ("paths", self.paths.is_some()),
            ("events", self.events.is_some()),
            ("links", self.links.is_some()),
            ("forks", self.forks.is_some()),
            ("label", self.label.is_some()),
            ("token", self.token.is_some()),
            ("webhook", self.webhook.is_some()),
            ("viewers", self.viewers.is_some()),
        ];
        fields.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
    }

    fn check(&self) -> Result<(), ApiError> {
        let wrong = |what: String| Err(ApiError::BadRequest(what));
        if self.name.as_ref().is_some_and(|name| name.len() > MAX_NAME_BYTES) {
            return wrong(format!("name: longer than {MAX_NAME_BYTES} bytes"));
        }
        for (field, filter) in [("branches", &self.branches), ("paths", &self.paths)] {
            let count = filter.as_ref().map_or(0, |filter| {
                serde_json::to_value(filter).map_or(0, |value| value.as_array().map_or(0, Vec::len))
            });
            if count > MAX_GLOBS {
                return wrong(format!("{field}: more than {MAX_GLOBS} globs"));
            }
            let bytes = filter
                .as_ref()
                .map_or(0, |filter| serde_json::to_string(filter).map_or(0, |text| text.len()));
            if bytes > MAX_GLOBS_BYTES {
                return wrong(format!("{field}: more than {MAX_GLOBS_BYTES} bytes"));
            }
        }
        if self.token.as_ref().is_some_and(|token| token.len() > MAX_TOKEN_BYTES) {
            return wrong(format!("token: longer than {MAX_TOKEN_BYTES} bytes"));
        }
        Ok(())
    }
}

/// What a repository's webhook secret is sealed for.
pub(crate) fn secret_place(repo: RepoId) -> String {
    format!("{repo}.secret")
}

/// What a repository's token is sealed for.
pub(crate) fn token_place(repo: RepoId) -> String {
    format!("{repo}.token")
}

impl Gateway {
    /// Which forge a repository is on. That a foreign host is GitHub's is an admin's word, because
    /// the operator's credential goes there then.
    fn forge(&self, caller: &Caller, url: &CloneUrl, wish: Option<Forge>) -> Result<Forge, ApiError> {
        let is_githubs = url.authority() == self.config.github.authority();
        match wish {
            Some(Forge::Github) if !is_githubs && !caller.is_admin() => {
                Err(ApiError::Forbidden("only an admin may say that another host is GitHub's".to_owned()))
            }
            Some(forge) => Ok(forge),
            None if is_githubs => Ok(Forge::Github),
            None => Ok(match url.host() {
                "gitlab.com" => Forge::Gitlab,
                "codeberg.org" | "gitea.com" => Forge::Gitea,
                _ => Forge::Plain,
            }),
        }
    }

    /// Whether this registration has a credential that may be used.
    pub(crate) fn has_credential(&self, repo: &Repo) -> bool {
        let forge_takes_statuses = repo.forge != Forge::Plain.to_string();
        let operators = repo.operator_credential && self.config.github.token.is_some();
        let is_githubs = repo.forge == Forge::Github.to_string();
        let apps = is_githubs && repo.installation.is_some() && self.app.is_some();
        forge_takes_statuses && (apps || operators || repo.sealed_token.is_some())
    }

    /// A registration with nothing special, and its secret.
    pub(crate) fn blank(&self, owner: UserId, url: &CloneUrl, forge: Forge) -> (Repo, Secret) {
        let id = RepoId::new();
        let secret: Secret =
            hex::encode(rand::random::<[u8; 32]>()).parse().expect("hex digits are a secret");
        let repo = Repo {
            id,
            owner,
            viewers: Vec::new(),
            name: None,
            url: url.to_string(),
            forge: forge.to_string(),
            forge_id: None,
            events: vec![RepoEvent::Push, RepoEvent::Tag],
            branches: Filter::default(),
            paths: Filter::default(),
            label: Label::default(),
            links: Links::default(),
            sealed_secret: self.keys.seal(&secret_place(id), &secret),
            sealed_token: None,
            operator_credential: false,
            installation: None,
            webhook_id: None,
            former_urls: Vec::new(),
            posts: false,
            forks: Forks::default(),
            other: Map::new(),
        };
        (repo, secret)
    }

    /// Registers a repository; the secret is told here and never again.
    pub(crate) async fn register(
        &self,
        caller: &Caller,
        wishes: Wishes,
    ) -> Result<(Entry<Repo>, Secret, Option<WebhookTold>), ApiError> {
        wishes.check()?;
        let url = wishes.url.as_deref().ok_or_else(|| ApiError::BadRequest("url is missing".to_owned()))?;
        let url = clone_url(url)?;
        let forge = self.forge(caller, &url, wishes.forge)?;
        let (blank, secret) = self.blank(caller.user.id, &url, forge);
        let sealed_token = self.sealed_token(blank.id, wishes.token.as_deref());
        let wants_webhook = wishes.webhook.unwrap_or(sealed_token.is_some() && forge != Forge::Plain);
        let viewers = self.viewers_named(wishes.viewers.as_deref().unwrap_or_default()).await?;
        let mut repo = Repo {
            viewers,
            name: wishes.name.filter(|name| !name.is_empty()),
            events: wishes.events.unwrap_or(blank.events),
            branches: wishes.branches.unwrap_or_default(),
            paths: wishes.paths.unwrap_or_default(),
            label: wishes.label.unwrap_or_default(),
            links: wishes.links.unwrap_or_default(),
            forks: wishes.forks.unwrap_or_default(),
            sealed_token,
            operator_credential: caller.is_admin() && forge == Forge::Github,
            ..blank
        };
        let may_post = self.learn_at_forge(&mut repo).await;
        self.ledger.repos.create(&repo.id.to_string(), &repo).await?;
        let mut told = None;
        if wants_webhook {
            let (how, webhook_id) = self.make_webhook(&repo).await?;
            told = Some(how);
            repo.webhook_id = webhook_id;
        }
        repo.posts = may_post && self.take_place(&repo).await?;
        let noted = |now: &Entry<Repo>| {
            Some(Repo { webhook_id: repo.webhook_id, posts: repo.posts, ..now.value.clone() })
        };
        let entry = self.ledger.repos.change(&repo.id.to_string(), noted).await?;
        let entry = entry.ok_or(ApiError::NotFound("repository"))?;
        self.repos.note(entry.clone());
        Ok((entry, secret, told))
    }

    /// Notes what the forge says about a new registration's repository, and tells whether it may post:
    /// not with a token that the forge does not take, or whose owner may not push. A forge that cannot
    /// be asked stands in nobody's way.
    async fn learn_at_forge(&self, repo: &mut Repo) -> bool {
        if repo.operator_credential
            && let Some(app) = &self.app
            && let Ok(url) = repo.url.parse::<CloneUrl>()
            && url.authority() == self.config.github.authority()
            && let Some((owner, name)) = url.owner_and_name()
        {
            match app.installed_on(&owner, &name).await {
                Ok(Some(installed)) => {
                    repo.installation = Some(installed.installation);
                    repo.forge_id = Some(installed.repository_id);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::info!(repo = %repo.id, %error, "GitHub does not tell about the installation");
                }
            }
        }
        if !self.has_credential(repo) {
            return false;
        }
        match self.look_up(repo).await {
            Some(Ok(found)) => {
                repo.forge_id = Some(found.id);
                // An installation pushes nothing; its right to post is its own.
                repo.installation.is_some() || found.may_push != Some(false)
            }
            Some(Err(error)) => {
                tracing::info!(repo = %repo.id, %error, "the forge does not tell about a repository");
                !matches!(error, ForgeError::Unauthorized { .. })
            }
            None => true,
        }
    }

    fn sealed_token(&self, repo: RepoId, token: Option<&str>) -> Option<String> {
        let token: Secret = token?.trim().parse().ok()?;
        Some(self.keys.seal(&token_place(repo), &token))
    }

    /// Changes a registration; an empty token takes the old one away.
    pub(crate) async fn change(
        &self,
        caller: &Caller,
        id: &str,
        wishes: Wishes,
    ) -> Result<(Entry<Repo>, Option<WebhookTold>), ApiError> {
        wishes.check()?;
        let entry = self.own_repo(caller, id).await?;
        let url: CloneUrl = entry.value.url.parse().map_err(|_| ApiError::NotFound("repository"))?;
        if let Some(wanted) = wishes.url.as_deref()
            && !clone_url(wanted)?.same_repository(&url)
        {
            return Err(ApiError::BadRequest("url: another repository is another registration".to_owned()));
        }
        let mut repo = entry.value.clone();
        if let Some(viewers) = &wishes.viewers {
            repo.viewers = self.viewers_named(viewers).await?;
        }
        if let Some(forge) = wishes.forge {
            repo.forge = self.forge(caller, &url, Some(forge))?.to_string();
            repo.operator_credential = caller.is_admin() && forge == Forge::Github;
        }
        if let Some(token) = wishes.token.as_deref() {
            repo.sealed_token = self.sealed_token(repo.id, Some(token));
        }
        repo.name = wishes.name.or(repo.name).filter(|name| !name.is_empty());
        repo.branches = wishes.branches.unwrap_or(repo.branches);
        repo.paths = wishes.paths.unwrap_or(repo.paths);
        repo.events = wishes.events.unwrap_or(repo.events);
        repo.links = wishes.links.unwrap_or(repo.links);
        repo.forks = wishes.forks.unwrap_or(repo.forks);
        repo.label = wishes.label.unwrap_or(repo.label);
        let credential_changed = wishes.token.is_some() || wishes.forge.is_some();
        if credential_changed || !repo.posts {
            repo.posts = self.learn_at_forge(&mut repo).await && self.take_place(&repo).await?;
        }
        if entry.value.posts && !repo.posts {
            self.leave_place(&repo).await?;
        }
        let told = match (wishes.webhook, repo.webhook_id) {
            (Some(true), None) => {
                let (told, webhook_id) = self.make_webhook(&repo).await?;
                repo.webhook_id = webhook_id;
                Some(told)
            }
            (Some(false), Some(_)) => {
                let told = self.remove_webhook(&repo).await;
                repo.webhook_id = repo.webhook_id.filter(|_| told != Some(WebhookTold::Removed));
                told
            }
            (Some(true), Some(_)) => Some(WebhookTold::Exists),
            (Some(false) | None, _) => None,
        };
        self.ledger.repos.update(&entry.key, &repo, entry.revision).await?;
        let entry = self.ledger.repos.get(&entry.key).await?.ok_or(ApiError::NotFound("repository"))?;
        self.repos.note(entry.clone());
        Ok((entry, told))
    }
}
