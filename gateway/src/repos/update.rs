//! Changes a registration.

use hooks::Forge;
use jiff::Timestamp;
use jobs::{ProblemKind, Repo, api::RepoRequest, bucket::Entry};

use crate::{
    auth::identity::Identity,
    error::ApiError,
    jobs::{labels::check_label_granted, submit::clone_url},
    repos::{
        Registrations,
        forge_kind::{ForgeHint, forge_of},
        forge_webhook::WebhookResult,
        permission::with_permission,
        request,
        viewers::Viewers,
    },
};

impl Registrations {
    /// Changes a registration; an empty token removes the stored one.
    pub(crate) async fn change(
        &self,
        caller: &Identity,
        entry: Entry<Repo>,
        request: RepoRequest,
    ) -> Result<(Entry<Repo>, Option<WebhookResult>), ApiError> {
        request::check(&request)?;
        let given_forge = request.forge.map(request::forge);
        // An unchanged label is accepted, even where the caller could not choose it.
        if let Some(label) = request.label.as_ref().filter(|label| **label != entry.value.label) {
            check_label_granted(caller, label)?;
        }
        let url = entry.value.url.get().cloned().ok_or(ApiError::NotFound("repository"))?;
        if let Some(wanted) = request.url.as_deref()
            && !clone_url(wanted)?.same_repository(&url)
        {
            return Err(ApiError::BadRequest("url: another repository is another registration".to_owned()));
        }
        let mut repo = entry.value.clone();
        repo.calls = self.call_settings(repo.id, &repo.calls, &request)?;
        if let Some(viewers) = &request.viewers {
            Viewers { viewers: repo.viewers, invited: repo.invited } = self.resolve_viewers(viewers).await?;
        }
        let with_token = request.token.as_deref().is_some_and(|token| !token.trim().is_empty());
        if given_forge.is_some() || request.api_url.is_some() || with_token {
            let known = given_forge.unwrap_or_else(|| forge_of(&repo));
            // The kind of forge was decided at the registration.
            let forge_hint = given_forge.or((known != Forge::Github).then_some(known));
            let forge_hint = forge_hint.or((repo.operator_credential || caller.is_admin()).then_some(known));
            let hint = ForgeHint { forge: forge_hint, api_url: request.api_url.as_deref(), with_token };
            let (forge, api) = self.forge_for(caller, &url, hint).await?;
            repo.forge = forge.into();
            repo.api_url = api.map(String::from).or(repo.api_url.filter(|_| given_forge.is_none()));
        }
        if let Some(forge) = given_forge {
            repo.operator_credential = caller.is_admin() && forge == Forge::Github;
        }
        if let Some(token) = request.token.as_deref() {
            repo.sealed_token = self.sealed_token(repo.id, Some(token));
        }
        repo.name = request.name.or(repo.name).filter(|name| !name.is_empty());
        repo.branches = request.branches.unwrap_or(repo.branches);
        repo.paths = request.paths.unwrap_or(repo.paths);
        repo.events = request.events.unwrap_or(repo.events);
        repo.links = request.links.unwrap_or(repo.links);
        repo.forks = request.forks.unwrap_or(repo.forks);
        repo.skip_ci = request.skip_ci.unwrap_or(repo.skip_ci);
        repo.pull_requests = request.pull_requests.unwrap_or(repo.pull_requests);
        repo.label = request.label.unwrap_or(repo.label);
        let at_another_api = repo.forge != entry.value.forge || repo.api_url != entry.value.api_url;
        let credential_changed = request.token.is_some()
            || at_another_api
            || repo.operator_credential != entry.value.operator_credential;
        let mut permission = None;
        if credential_changed {
            // Forge ids are scoped to an API.
            repo.forge_id = repo.forge_id.filter(|_| !at_another_api);
            let mut checked = repo.clone();
            let result = self.check_permission(&mut checked).await;
            // Problems of the old credential do not apply to the new one.
            for about in [ProblemKind::Token, ProblemKind::Status] {
                repo = repo.with_problem(about, None, Timestamp::now());
            }
            repo = with_permission(&repo, &checked, &result);
            permission = Some(result);
        }
        repo.webhook_wanted = request.webhook.unwrap_or(repo.webhook_wanted);
        let is_missing = repo.webhook_wanted && repo.webhook_id.is_none();
        let webhook = match (request.webhook, repo.webhook_id) {
            (Some(true), None) => Some(self.create_missing_webhook(&mut repo).await?),
            // A webhook that could not be created before may be with another token.
            (None, None) if is_missing && with_token => Some(self.create_missing_webhook(&mut repo).await?),
            (Some(false), Some(_)) => {
                let webhook = self.remove_webhook(&repo).await;
                repo.webhook_id = repo.webhook_id.filter(|_| webhook != Some(WebhookResult::Removed));
                webhook
            }
            (Some(true), Some(_)) => Some(WebhookResult::Exists),
            (Some(false) | None, _) => None,
        };
        if request.webhook == Some(false) {
            repo = repo.with_problem(ProblemKind::Webhook, None, Timestamp::now());
        }
        let former = self.rename_function(&mut repo, request.function.as_deref()).await?;
        self.update_named(&repo, entry.revision, former.as_ref()).await?;
        let before = entry;
        let entry = self.ledger.repos.get(&before.key).await?.ok_or(ApiError::NotFound("repository"))?;
        self.repos.note(entry.clone());
        let entry = match permission {
            Some(permission) => {
                let entry = self.apply_to_status_owner(before, entry, &permission).await?;
                self.repost_rejected(entry.value.id).await?;
                entry
            }
            None => entry,
        };
        Ok((entry, webhook))
    }

    async fn create_missing_webhook(&self, repo: &mut Repo) -> Result<WebhookResult, ApiError> {
        let (webhook, webhook_id) = self.create_webhook(repo).await?;
        repo.webhook_id = webhook_id;
        *repo = repo.with_problem(ProblemKind::Webhook, webhook.problem(), Timestamp::now());
        Ok(webhook)
    }
}
