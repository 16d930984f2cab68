//! Registers a repository.
//!
//! Credentials enter here and in [`super::update`] alone: the operator's when an admin registers a GitHub
//! repository, else the token that comes with the registration, sealed. The forge is asked which repository
//! it is and whether the token may push there ([`crate::repos::permission`]), and for a webhook. A
//! registration is kept whether or not the forge answers, and reports statuses only after it confirmed the
//! permission.

use hooks::{CloneUrl, Forge};
use jiff::Timestamp;
use jobs::{
    CallSettings, Filter, Forks, Label, PageAccess, ProblemKind, PullRequests, Repo, RepoEvent, RepoId,
    Secret, SkipCi, UserId, api::RepoRequest, bucket::Entry, usage::Resource,
};
use serde_json::Map;

use crate::{
    auth::identity::Identity,
    crypto::sealed::{forge_token_context, webhook_secret_context},
    error::ApiError,
    jobs::{labels::check_label_granted, submit::clone_url},
    repos::{
        Registrations,
        forge_kind::ForgeHint,
        forge_webhook::WebhookResult,
        permission::{permission_pending, with_permission},
        request,
        viewers::Viewers,
    },
};

impl Registrations {
    /// Whether this registration has a usable credential.
    pub(crate) fn has_credential(&self, repo: &Repo) -> bool {
        let forge_takes_statuses = repo.forge.get() != Some(&Forge::Plain);
        let operators = repo.operator_credential && self.github.token.is_some();
        let is_githubs = repo.forge.get() == Some(&Forge::Github);
        let apps = is_githubs && repo.installation.is_some() && self.app.is_some();
        forge_takes_statuses && (apps || operators || repo.sealed_token.is_some())
    }

    /// A registration with default settings, and its webhook secret.
    pub(crate) fn new_repo(&self, owner: UserId, url: &CloneUrl, forge: Forge) -> (Repo, Secret) {
        let id = RepoId::new();
        let secret: Secret =
            hex::encode(rand::random::<[u8; 32]>()).parse().expect("hex digits are a secret");
        let repo = Repo {
            id,
            owner,
            viewers: Vec::new(),
            invited: Vec::new(),
            name: None,
            function: None,
            url: url.clone().into(),
            forge: forge.into(),
            forge_id: None,
            default_branch: None,
            events: vec![RepoEvent::Push, RepoEvent::Tag],
            branches: Filter::default(),
            paths: Filter::default(),
            label: Label::default(),
            links: PageAccess::default(),
            sealed_secret: self.keys.seal(&webhook_secret_context(id), &secret),
            sealed_token: None,
            operator_credential: false,
            installation: None,
            webhook_id: None,
            former_urls: Vec::new(),
            posts: false,
            unproved: None,
            forks: Forks::default(),
            skip_ci: SkipCi::default(),
            pull_requests: PullRequests::default(),
            api_url: None,
            webhook_wanted: false,
            problems: Vec::new(),
            removing_since: None,
            calls: CallSettings::default(),
            other: Map::new(),
        };
        (repo, secret)
    }

    /// Registers a repository; the secret is returned here and never again.
    pub(crate) async fn register(
        &self,
        caller: &Identity,
        request: RepoRequest,
    ) -> Result<(Entry<Repo>, Secret, Option<WebhookResult>), ApiError> {
        request::check(&request)?;
        if let Some(label) = &request.label {
            check_label_granted(caller, label)?;
        }
        let url = request.url.as_deref().ok_or_else(|| ApiError::BadRequest("url is missing".to_owned()))?;
        let url = clone_url(url)?;
        let with_token = request.token.as_deref().is_some_and(|token| !token.trim().is_empty());
        let hint = ForgeHint {
            forge: request.forge.map(request::forge),
            api_url: request.api_url.as_deref(),
            with_token,
        };
        let (forge, api) = self.forge_for(caller, &url, hint).await?;
        let (new_repo, secret) = self.new_repo(caller.user.id, &url, forge);
        let sealed_token = self.sealed_token(new_repo.id, request.token.as_deref());
        let webhook_wanted = request.webhook.unwrap_or(sealed_token.is_some() && forge != Forge::Plain);
        let calls = self.call_settings(new_repo.id, &new_repo.calls, &request)?;
        let Viewers { viewers, invited } =
            self.resolve_viewers(request.viewers.as_deref().unwrap_or_default()).await?;
        let mut repo = Repo {
            viewers,
            invited,
            name: request.name.filter(|name| !name.is_empty()),
            events: request.events.unwrap_or(new_repo.events),
            branches: request.branches.unwrap_or_default(),
            paths: request.paths.unwrap_or_default(),
            label: request.label.unwrap_or_default(),
            links: request.links.unwrap_or_default(),
            forks: request.forks.unwrap_or_default(),
            skip_ci: request.skip_ci.unwrap_or_default(),
            pull_requests: request.pull_requests.unwrap_or_default(),
            api_url: api.map(String::from),
            webhook_wanted,
            calls,
            sealed_token,
            operator_credential: caller.is_admin() && forge == Forge::Github,
            ..new_repo
        };
        self.budgets.reserve(caller.user.id, repo.id, Resource::Repos, 1).await?;
        if self.has_credential(&repo) || repo.operator_credential {
            repo.unproved = Some(permission_pending());
        }
        self.name_new(&mut repo, request.function.as_deref()).await?;
        let before = repo.clone();
        self.create_named(&repo).await?;
        let checking = async {
            let mut checked = repo.clone();
            let permission = self.check_permission(&mut checked).await;
            (checked, permission)
        };
        let creating = async {
            match webhook_wanted {
                true => self.create_webhook(&repo).await.map(Some),
                false => Ok(None),
            }
        };
        let ((checked, permission), created) = tokio::join!(checking, creating);
        let (webhook, webhook_id) = created?.unzip();
        if request.token_must_work
            && with_token
            && let (Some(why), Some(WebhookResult::Error(_)) | None) = (permission.denial(), &webhook)
        {
            if let Some(entry) = self.ledger.repos.get(&repo.id.to_string()).await? {
                // Nobody called it yet.
                self.give_name_back(&repo).await;
                self.unregister_now(entry).await?;
            }
            return Err(ApiError::TokenRefused(why.to_owned()));
        }
        let problem = webhook.as_ref().and_then(WebhookResult::problem);
        let recorded = |now: &Entry<Repo>| {
            let with_webhook =
                Repo { webhook_id: webhook_id.flatten().or(now.value.webhook_id), ..now.value.clone() };
            let with_webhook = with_webhook.with_problem(ProblemKind::Webhook, problem, Timestamp::now());
            Some(with_permission(&with_webhook, &checked, &permission))
        };
        let entry = self.ledger.repos.change(&repo.id.to_string(), recorded).await?;
        let entry = entry.ok_or(ApiError::NotFound("repository"))?;
        self.repos.note(entry.clone());
        let before = Entry { value: before, ..entry.clone() };
        Ok((self.apply_to_status_owner(before, entry, &permission).await?, secret, webhook))
    }

    pub(super) fn sealed_token(&self, repo: RepoId, token: Option<&str>) -> Option<String> {
        let token: Secret = token?.trim().parse().ok()?;
        Some(self.keys.seal(&forge_token_context(repo), &token))
    }
}
