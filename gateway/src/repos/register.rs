//! Registering a repository, and what that gives it.
//!
//! Credentials come in here alone: the operator's when an admin registers a repository of GitHub's,
//! else the token that is given with the registration, sealed. The forge is asked which repository it is and
//! whether the token may push there ([`crate::repos::permission`]), and told the webhook; a registration stands whether
//! or not it answers, and posts only when it said yes.

use hooks::{CloneUrl, Forge};
use jiff::Timestamp;
use jobs::{
    Filter, Forks, Label, Links, ProblemKind, PullRequests, Repo, RepoEvent, RepoId, Secret, SkipCi, UserId,
    bucket::Entry, usage::Resource,
};
use serde::Deserialize;
use serde_json::Map;

use crate::{
    auth::identity::Identity,
    crypto::sealed::{forge_token_context, webhook_secret_context},
    error::ApiError,
    jobs::{labels::check_label_granted, submit::clone_url},
    repos::{
        Registrations,
        forge_kind::{Wished, forge_of},
        forge_webhook::WebhookTold,
        permission::{undecided, with_answer},
        viewers::Viewers,
    },
};

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
    skip_ci: Option<SkipCi>,
    pull_requests: Option<PullRequests>,
    api_url: Option<String>,
    label: Option<Label>,
    token: Option<String>,
    webhook: Option<bool>,
    viewers: Option<Vec<String>>,
    /// Of a new registration: there is none if the forge takes the token neither for the webhook nor for
    /// statuses.
    #[serde(default)]
    token_must_work: bool,
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
            ("skip_ci", self.skip_ci.is_some()),
            ("pull_requests", self.pull_requests.is_some()),
            ("api_url", self.api_url.is_some()),
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

impl Registrations {
    /// Whether this registration has a credential that may be used.
    pub(crate) fn has_credential(&self, repo: &Repo) -> bool {
        let forge_takes_statuses = repo.forge.get() != Some(&Forge::Plain);
        let operators = repo.operator_credential && self.github.token.is_some();
        let is_githubs = repo.forge.get() == Some(&Forge::Github);
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
            invited: Vec::new(),
            name: None,
            url: url.clone().into(),
            forge: forge.into(),
            forge_id: None,
            events: vec![RepoEvent::Push, RepoEvent::Tag],
            branches: Filter::default(),
            paths: Filter::default(),
            label: Label::default(),
            links: Links::default(),
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
            other: Map::new(),
        };
        (repo, secret)
    }

    /// Registers a repository; the secret is told here and never again.
    pub(crate) async fn register(
        &self,
        caller: &Identity,
        wishes: Wishes,
    ) -> Result<(Entry<Repo>, Secret, Option<WebhookTold>), ApiError> {
        wishes.check()?;
        if let Some(label) = &wishes.label {
            check_label_granted(caller, label)?;
        }
        let url = wishes.url.as_deref().ok_or_else(|| ApiError::BadRequest("url is missing".to_owned()))?;
        let url = clone_url(url)?;
        let with_token = wishes.token.as_deref().is_some_and(|token| !token.trim().is_empty());
        let wished = Wished { forge: wishes.forge, api_url: wishes.api_url.as_deref(), with_token };
        let (forge, api) = self.forge_for(caller, &url, wished).await?;
        let (blank, secret) = self.blank(caller.user.id, &url, forge);
        let sealed_token = self.sealed_token(blank.id, wishes.token.as_deref());
        let webhook_wanted = wishes.webhook.unwrap_or(sealed_token.is_some() && forge != Forge::Plain);
        let Viewers { viewers, invited } =
            self.viewers_named(wishes.viewers.as_deref().unwrap_or_default()).await?;
        let mut repo = Repo {
            viewers,
            invited,
            name: wishes.name.filter(|name| !name.is_empty()),
            events: wishes.events.unwrap_or(blank.events),
            branches: wishes.branches.unwrap_or_default(),
            paths: wishes.paths.unwrap_or_default(),
            label: wishes.label.unwrap_or_default(),
            links: wishes.links.unwrap_or_default(),
            forks: wishes.forks.unwrap_or_default(),
            skip_ci: wishes.skip_ci.unwrap_or_default(),
            pull_requests: wishes.pull_requests.unwrap_or_default(),
            api_url: api.map(String::from),
            webhook_wanted,
            sealed_token,
            operator_credential: caller.is_admin() && forge == Forge::Github,
            ..blank
        };
        self.budgets.reserve(caller.user.id, repo.id, Resource::Repos, 1).await?;
        if self.has_credential(&repo) || repo.operator_credential {
            repo.unproved = Some(undecided());
        }
        let before = repo.clone();
        self.ledger.repos.create(&repo.id.to_string(), &repo).await?;
        let asking = async {
            let mut asked = repo.clone();
            let proof = self.ask_for_proof(&mut asked).await;
            (asked, proof)
        };
        let making = async {
            match webhook_wanted {
                true => self.make_webhook(&repo).await.map(Some),
                false => Ok(None),
            }
        };
        let ((asked, proof), made) = tokio::join!(asking, making);
        let (webhook, webhook_id) = made?.unzip();
        if wishes.token_must_work
            && with_token
            && let (Some(why), Some(WebhookTold::Error(_)) | None) = (proof.denial(), &webhook)
        {
            if let Some(entry) = self.ledger.repos.get(&repo.id.to_string()).await? {
                self.unregister_at_once(entry).await?;
            }
            return Err(ApiError::TokenRefused(why.to_owned()));
        }
        let problem = webhook.as_ref().and_then(WebhookTold::problem);
        let noted = |now: &Entry<Repo>| {
            let hooked =
                Repo { webhook_id: webhook_id.flatten().or(now.value.webhook_id), ..now.value.clone() };
            let hooked = hooked.with_problem(ProblemKind::Webhook, problem, Timestamp::now());
            Some(with_answer(&hooked, &asked, &proof))
        };
        let entry = self.ledger.repos.change(&repo.id.to_string(), noted).await?;
        let entry = entry.ok_or(ApiError::NotFound("repository"))?;
        self.repos.note(entry.clone());
        let before = Entry { value: before, ..entry.clone() };
        Ok((self.act_on(before, entry, &proof).await?, secret, webhook))
    }

    fn sealed_token(&self, repo: RepoId, token: Option<&str>) -> Option<String> {
        let token: Secret = token?.trim().parse().ok()?;
        Some(self.keys.seal(&forge_token_context(repo), &token))
    }

    /// Changes a registration; an empty token takes the old one away.
    pub(crate) async fn change(
        &self,
        caller: &Identity,
        entry: Entry<Repo>,
        wishes: Wishes,
    ) -> Result<(Entry<Repo>, Option<WebhookTold>), ApiError> {
        wishes.check()?;
        // What it has it keeps, also where it was not given.
        if let Some(label) = wishes.label.as_ref().filter(|label| **label != entry.value.label) {
            check_label_granted(caller, label)?;
        }
        let url = entry.value.url.get().cloned().ok_or(ApiError::NotFound("repository"))?;
        if let Some(wanted) = wishes.url.as_deref()
            && !clone_url(wanted)?.same_repository(&url)
        {
            return Err(ApiError::BadRequest("url: another repository is another registration".to_owned()));
        }
        let mut repo = entry.value.clone();
        if let Some(viewers) = &wishes.viewers {
            Viewers { viewers: repo.viewers, invited: repo.invited } = self.viewers_named(viewers).await?;
        }
        let with_token = wishes.token.as_deref().is_some_and(|token| !token.trim().is_empty());
        if wishes.forge.is_some() || wishes.api_url.is_some() || with_token {
            let known = wishes.forge.unwrap_or_else(|| forge_of(&repo));
            // Whose it is was said at the registration.
            let asked = wishes.forge.or((known != Forge::Github).then_some(known));
            let asked = asked.or((repo.operator_credential || caller.is_admin()).then_some(known));
            let wished = Wished { forge: asked, api_url: wishes.api_url.as_deref(), with_token };
            let (forge, api) = self.forge_for(caller, &url, wished).await?;
            repo.forge = forge.into();
            repo.api_url = api.map(String::from).or(repo.api_url.filter(|_| wishes.forge.is_none()));
        }
        if let Some(forge) = wishes.forge {
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
        repo.skip_ci = wishes.skip_ci.unwrap_or(repo.skip_ci);
        repo.pull_requests = wishes.pull_requests.unwrap_or(repo.pull_requests);
        repo.label = wishes.label.unwrap_or(repo.label);
        let at_another_api = repo.forge != entry.value.forge || repo.api_url != entry.value.api_url;
        let credential_changed = wishes.token.is_some()
            || at_another_api
            || repo.operator_credential != entry.value.operator_credential;
        let mut proof = None;
        if credential_changed {
            // Numbers are each API's own.
            repo.forge_id = repo.forge_id.filter(|_| !at_another_api);
            let mut asked = repo.clone();
            let answer = self.ask_for_proof(&mut asked).await;
            // What was said of the old one, and refused with it, does not hold of the new one.
            for about in [ProblemKind::Token, ProblemKind::Status] {
                repo = repo.with_problem(about, None, Timestamp::now());
            }
            repo = with_answer(&repo, &asked, &answer);
            proof = Some(answer);
        }
        repo.webhook_wanted = wishes.webhook.unwrap_or(repo.webhook_wanted);
        let is_missing = repo.webhook_wanted && repo.webhook_id.is_none();
        let told = match (wishes.webhook, repo.webhook_id) {
            (Some(true), None) => Some(self.make_webhook_of(&mut repo).await?),
            // One that could not be made before may be with another token.
            (None, None) if is_missing && with_token => Some(self.make_webhook_of(&mut repo).await?),
            (Some(false), Some(_)) => {
                let told = self.remove_webhook(&repo).await;
                repo.webhook_id = repo.webhook_id.filter(|_| told != Some(WebhookTold::Removed));
                told
            }
            (Some(true), Some(_)) => Some(WebhookTold::Exists),
            (Some(false) | None, _) => None,
        };
        if wishes.webhook == Some(false) {
            repo = repo.with_problem(ProblemKind::Webhook, None, Timestamp::now());
        }
        self.ledger.repos.update(&entry.key, &repo, entry.revision).await?;
        let before = entry;
        let entry = self.ledger.repos.get(&before.key).await?.ok_or(ApiError::NotFound("repository"))?;
        self.repos.note(entry.clone());
        let entry = match proof {
            Some(proof) => {
                let entry = self.act_on(before, entry, &proof).await?;
                self.say_refused_again(entry.value.id).await?;
                entry
            }
            None => entry,
        };
        Ok((entry, told))
    }

    async fn make_webhook_of(&self, repo: &mut Repo) -> Result<WebhookTold, ApiError> {
        let (told, webhook_id) = self.make_webhook(repo).await?;
        repo.webhook_id = webhook_id;
        *repo = repo.with_problem(ProblemKind::Webhook, told.problem(), Timestamp::now());
        Ok(told)
    }
}
