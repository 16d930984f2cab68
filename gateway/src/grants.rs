//! What workers may have: asked under their own name, given for what the record says is theirs.
//!
//! Gateways answer as one queue group. A credential goes to its own forge's host and nowhere else:
//! a job's clone credential is given only when the record's URL is the registered repository's, and a
//! call's only while its owner may call.

use std::sync::Arc;

use futures_util::StreamExt as _;
use hooks::{
    CloneUrl, Forge,
    app::{AppError, Right},
    status::StatusError,
};
use jobs::{
    Cause, Commit, Job, JobId, Links, Outcome, ProblemKind, Repo, Secret, SecretEvent, WorkerName,
    grants::{Asked, CloneCredential, GrantReply, GrantRequest, JobGrant, StatusGrant},
};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    api::{secrets, webhooks::forge_of},
    error::ApiError,
    repos::register::token_place,
    state::Gateway,
};

/// The queue group that all gateways answer in.
const GROUP: &str = "gateways";
/// Requests answered at once: each is a few reads.
const AT_ONCE: usize = 32;
/// Why nothing is given of a registration whose token was revoked.
pub(crate) const TOKEN_ENDED: &str = "the forge does not take the registration's token any more";
/// Why a call gets nothing and ends.
const NOT_HIS: &str = "whoever called this does not own or view the repository any more";

/// Answers until `stop`.
pub(crate) async fn answer(gateway: Arc<Gateway>, stop: CancellationToken) -> anyhow::Result<()> {
    let client = gateway.ledger.client.clone();
    let requests = client.queue_subscribe("grants.*", GROUP.to_owned()).await?;
    let answering = requests.for_each_concurrent(AT_ONCE, move |message| {
        let gateway = Arc::clone(&gateway);
        async move { reply(&gateway, message).await }
    });
    stop.run_until_cancelled(answering).await;
    Ok(())
}

async fn reply(gateway: &Gateway, message: async_nats::Message) {
    let Some(inbox) = message.reply else { return };
    let reply = match message.subject.rsplit('.').next().and_then(|name| name.parse().ok()) {
        Some(worker) => gateway.grant(&worker, &message.payload).await,
        None => GrantReply::Refused { reason: "nobody of that name".to_owned() },
    };
    tracing::debug!(subject = %message.subject, ?reply, "a grant was answered");
    let bytes = serde_json::to_vec(&reply).expect("a grant is JSON");
    if let Err(error) = gateway.ledger.client.publish(inbox, bytes.into()).await {
        tracing::warn!(%error, "a grant was not delivered");
    }
}

/// What a forge is shown.
pub(crate) struct Credential {
    pub(crate) token: Secret,
    /// Whether it is a GitHub App installation's.
    pub(crate) from_app: bool,
}

/// What a poster gets to say it.
pub(crate) fn status_grant(speaks: Speaks, target_url: String) -> StatusGrant {
    let Speaks { forge, api, owner, name, credential } = speaks;
    StatusGrant {
        forge: forge.to_string(),
        api_url: api.into(),
        owner,
        name,
        target_url,
        token: credential.token.expose().to_owned(),
        checks: credential.from_app,
    }
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

impl Gateway {
    /// What `worker` gets.
    pub(crate) async fn grant(&self, worker: &WorkerName, request: &[u8]) -> GrantReply {
        let Ok(Asked { request, refused: stale }) = serde_json::from_slice(request) else {
            return NotGranted::Refused("not a request for a grant").into();
        };
        let granted = match request {
            GrantRequest::Job { job, attempt, secrets } => {
                self.job_grant(worker, job, attempt, &secrets, stale.as_deref()).await.map(GrantReply::Job)
            }
            GrantRequest::Status { commit, job } => {
                self.status_grant(&commit, job, stale.as_deref()).await.map(GrantReply::Status)
            }
            GrantRequest::Delivery { commit, delivery } => {
                let granted = self.delivery_grant(&commit, &delivery, stale.as_deref()).await;
                granted.map(GrantReply::Delivery)
            }
        };
        granted.unwrap_or_else(GrantReply::from)
    }

    async fn job_grant(
        &self,
        worker: &WorkerName,
        id: JobId,
        attempt: u32,
        names: &[String],
        stale: Option<&str>,
    ) -> Result<JobGrant, NotGranted> {
        let (job, event) = self.job_to_grant(worker, id, attempt).await?;
        let mut grant = JobGrant::default();
        let repo = self.repo_behind(&job).await?;
        if let Some(repo) = &repo {
            self.check_owner(&job, event, repo).await?;
            grant.clone = self.clone_credential(&job, repo, stale).await?;
        }
        let event = event.filter(|_| !job.untrusted);
        for name in names {
            // Nobody who may write to the repository has seen what a stranger's commit does with them.
            match repo.as_ref().zip(event) {
                Some((repo, event)) => match self.secret(repo, name, event).await? {
                    Some(value) => grant.secrets.push((name.clone(), value.expose().to_owned())),
                    None => grant.missing_secrets.push(name.clone()),
                },
                None => grant.missing_secrets.push(name.clone()),
            }
        }
        Ok(grant)
    }

    /// Whose call it is must own or view the repository now: he did when he called, but people leave.
    /// The job ends here, for another attempt would be refused too.
    async fn check_owner(
        &self,
        job: &Job,
        event: Option<SecretEvent>,
        repo: &Repo,
    ) -> Result<(), NotGranted> {
        if job.owner == repo.owner || repo.viewers.contains(&job.owner) {
            return Ok(());
        }
        match event {
            Some(SecretEvent::Push | SecretEvent::Tag | SecretEvent::PullRequest) => return Ok(()),
            // What began it may be forgotten.
            Some(SecretEvent::Call) | None => {}
        }
        let user = self.ledger.accounts.users.get(&job.owner.to_string()).await.map_err(unavailable)?;
        if user.is_some_and(|entry| entry.value.admin || repo.is_viewed_by(&entry.value)) {
            return Ok(());
        }
        let outcome = Outcome::wished(Cause::Refused, NOT_HIS);
        if let Some(entry) = self.ledger.end(job.id, &outcome).await.map_err(unavailable)? {
            self.note(&entry);
        }
        refused(NOT_HIS)
    }

    async fn repo_behind(&self, job: &Job) -> Result<Option<Repo>, NotGranted> {
        let Some(repo) = job.repo else { return Ok(None) };
        let found = self.ledger.repos.get(&repo.to_string()).await.map_err(unavailable)?;
        Ok(found.map(|entry| entry.value))
    }

    async fn clone_credential(
        &self,
        job: &Job,
        repo: &Repo,
        stale: Option<&str>,
    ) -> Result<Option<CloneCredential>, NotGranted> {
        let urls = (job.url.parse::<CloneUrl>(), repo.url.parse::<CloneUrl>());
        let (Ok(asked), Ok(registered)) = urls else { return Ok(None) };
        // A job may have waited while the repository was renamed.
        let former = repo.former_urls.iter().filter_map(|url| url.parse::<CloneUrl>().ok());
        let is_its = [registered.clone()].into_iter().chain(former).any(|url| asked.same_repository(&url));
        if asked.authority() != registered.authority() || !is_its {
            return Ok(None);
        }
        let user = clone_user(forge_of(repo));
        let credential = self.credential(repo, Right::ReadContents, stale).await?;
        Ok(credential.map(|Credential { token, .. }| CloneCredential {
            user: user.to_owned(),
            token: token.expose().to_owned(),
        }))
    }

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
            let opened = self.keys.open_sealed(&token_place(repo.id), sealed);
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
        Ok(self.config.github.token.clone().filter(|_| repo.operator_credential).map(plainly))
    }

    /// The forge does not take the registration's own token: there is no other, and its owner is to see it.
    async fn token_ended<T>(&self, repo: &Repo) -> Result<T, NotGranted> {
        tracing::warn!(repo = %repo.id, "token of a registration not taken by the forge");
        self.note_problem(repo.id, ProblemKind::Token, Some(TOKEN_ENDED)).await.map_err(unavailable)?;
        refused(TOKEN_ENDED)
    }

    async fn secret(
        &self,
        repo: &Repo,
        name: &str,
        event: SecretEvent,
    ) -> Result<Option<Secret>, NotGranted> {
        // A name is part of a key: only what a secret's name can be is looked up.
        if !secrets::is_name(name) {
            return Ok(None);
        }
        let key = secrets::key(repo.id, name);
        let found = self.secrets.get(&key).await.map_err(unavailable)?;
        let Some(found) = found.filter(|found| found.value.events.contains(&event)) else {
            return Ok(None);
        };
        let opened = self.keys.open_sealed(&key, &found.value.sealed);
        opened.map(Some).map_err(|error| unavailable(ApiError::Internal(error.into())))
    }

    async fn status_grant(
        &self,
        commit: &str,
        job: JobId,
        stale: Option<&str>,
    ) -> Result<StatusGrant, NotGranted> {
        let commit = self.taken_commit(commit).await?;
        let found = self.job_to_post(job).await?;
        let of_commit = |job: &Job| {
            job.repo == Some(commit.repo)
                && job.sha.as_ref() == Some(&commit.sha)
                && job.contexts().any(|context| *context == commit.context)
        };
        let Some(job) = found.filter(of_commit) else {
            return refused("the job is not of this commit");
        };
        let Some(repo) = self.repo_behind(&job).await? else {
            return refused("the repository is not registered");
        };
        let speaks = self.speaks(&repo, stale).await?;
        Ok(status_grant(speaks, self.link(job.id, repo.links)))
    }

    /// The entry in `commits` that a poster has taken.
    pub(crate) async fn taken_commit(&self, key: &str) -> Result<Commit, NotGranted> {
        let is_key = key.bytes().all(|b| b.is_ascii_hexdigit() || b == b'.' || b == b'-');
        let found = if is_key { self.ledger.commits.get(key).await.map_err(unavailable)? } else { None };
        let Some(commit) = found.map(|entry| entry.value) else { return refused("no such commit") };
        if commit.poster.is_none() {
            return Err(NotGranted::Unavailable("the commit's entry must be taken first".to_owned()));
        }
        Ok(commit)
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
        let url: CloneUrl = match repo.url.parse() {
            Ok(url) => url,
            Err(_) => return refused("the registered URL cannot be read"),
        };
        let place = self.api_of(repo, forge, &url).and_then(|api| Some((url.owner_and_name_at(&api)?, api)));
        let Some(((owner, name), api)) = place else { return refused("this forge takes no statuses") };
        Ok(Speaks { forge, api, owner, name, credential })
    }

    /// The link of a status: with its key, unless the repository wants people to sign in.
    pub(crate) fn link(&self, job: JobId, links: Links) -> String {
        let mut page = self.page(job);
        match links {
            Links::Key => {
                page.query_pairs_mut().append_pair("key", &self.keys.link(job));
            }
            Links::Login => {}
        }
        page.into()
    }
}
