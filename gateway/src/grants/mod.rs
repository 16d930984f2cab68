//! Grants credentials and secrets to workers: requested under their own name, for attempts that are theirs.
//!
//! Gateways answer as one queue group. A credential is only for its own forge's host: a job's clone
//! credential is granted only when the record's URL is the registered repository's, and a call's only while
//! its owner may call.

use jobs::Ledger;

use crate::{
    page_urls::PageUrls,
    records::JobRecords,
    repos::{
        Registrations,
        credentials::{Credential, NotGranted, StatusAccess, clone_user, refused, unavailable},
        forge_kind::forge_of,
        secrets::SecretStore,
    },
};

mod authorize;
mod delivery;

use std::sync::Arc;

use futures_util::StreamExt as _;
use hooks::app::Right;
use jobs::{
    Cause, CommitStatus, Job, JobId, Outcome, Repo, SecretEvent, Stored, WorkerName,
    grants::{Asked, CloneCredential, GrantReply, GrantRequest, JobGrant, StatusGrant},
};
use tokio_util::sync::CancellationToken;

/// The queue group that all gateways answer in.
const GROUP: &str = "gateways";
/// Requests answered concurrently: each is a few reads.
const MAX_CONCURRENT: usize = 32;
/// Why a call is refused everything, and ends.
const CALLER_LOST_ACCESS: &str = "whoever called this does not own or view the repository any more";

/// Answers until `stop`.
pub(crate) async fn answer(grants: Arc<Grants>, stop: CancellationToken) -> anyhow::Result<()> {
    let client = grants.ledger.client.clone();
    let requests = client.queue_subscribe("grants.*", GROUP.to_owned()).await?;
    let answering = requests.for_each_concurrent(MAX_CONCURRENT, move |message| {
        let grants = Arc::clone(&grants);
        async move { reply(&grants, message).await }
    });
    stop.run_until_cancelled(answering).await;
    Ok(())
}

async fn reply(grants: &Grants, message: async_nats::Message) {
    let Some(inbox) = message.reply else { return };
    let reply = match message.subject.rsplit('.').next().and_then(|name| name.parse().ok()) {
        Some(worker) => grants.grant(&worker, &message.payload).await,
        None => GrantReply::Refused { reason: "nobody of that name".to_owned() },
    };
    tracing::debug!(subject = %message.subject, ?reply, "grant answered");
    let bytes = serde_json::to_vec(&reply).expect("a grant is JSON");
    if let Err(error) = grants.ledger.client.publish(inbox, bytes.into()).await {
        tracing::warn!(%error, "grant reply failed");
    }
}

/// What a worker needs to post a status.
pub(crate) fn status_grant(status_access: StatusAccess, target_url: String) -> StatusGrant {
    let StatusAccess { forge, api, owner, name, credential } = status_access;
    StatusGrant {
        forge: forge.into(),
        api_url: api.into(),
        owner,
        name,
        target_url,
        token: credential.token.expose().to_owned(),
        checks: credential.from_app,
    }
}

/// Answers the grant requests of workers.
pub(crate) struct Grants {
    pub(crate) ledger: Ledger,
    pub(crate) job_records: Arc<JobRecords>,
    pub(crate) registrations: Arc<Registrations>,
    pub(crate) secret_store: Arc<SecretStore>,
    pub(crate) page_urls: PageUrls,
}

impl Grants {
    /// Answers a request of `worker`.
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
        let repo = self.registration_of(&job).await?;
        if let Some(repo) = &repo {
            self.check_owner(&job, event, repo).await?;
            grant.clone = self.clone_credential(&job, repo, stale).await?;
        }
        let event = event.filter(|_| !job.spec.untrusted);
        for name in names {
            // An untrusted commit gets no secrets: no maintainer has reviewed what it does with them.
            match repo.as_ref().zip(event) {
                Some((repo, event)) => match self.secret_store.secret(repo, name, event).await? {
                    Some(value) => grant.secrets.push((name.clone(), value.expose().to_owned())),
                    None => grant.missing_secrets.push(name.clone()),
                },
                None => grant.missing_secrets.push(name.clone()),
            }
        }
        Ok(grant)
    }

    /// The caller of a job must own or view the repository now, not only when the job was submitted. The job
    /// ends here, because another attempt would be refused too.
    async fn check_owner(
        &self,
        job: &Job,
        event: Option<SecretEvent>,
        repo: &Repo,
    ) -> Result<(), NotGranted> {
        if job.spec.owner == repo.owner || repo.viewers.contains(&job.spec.owner) {
            return Ok(());
        }
        match event {
            Some(SecretEvent::Push | SecretEvent::Tag | SecretEvent::PullRequest) => return Ok(()),
            // The original event may be unknown.
            Some(SecretEvent::Call) | None => {}
        }
        let user = self.ledger.accounts.users.get(&job.spec.owner.to_string()).await.map_err(unavailable)?;
        if user.is_some_and(|entry| entry.value.admin || repo.is_viewed_by(&entry.value)) {
            return Ok(());
        }
        let outcome = Outcome::wished(Cause::Refused, CALLER_LOST_ACCESS);
        if let Some(entry) = self.ledger.end(job.spec.id, &outcome).await.map_err(unavailable)? {
            self.job_records.note(&entry).await;
        }
        refused(CALLER_LOST_ACCESS)
    }

    async fn registration_of(&self, job: &Job) -> Result<Option<Repo>, NotGranted> {
        let Some(repo) = job.spec.repo else { return Ok(None) };
        let found = self.ledger.repos.get(&repo.to_string()).await.map_err(unavailable)?;
        Ok(found.map(|entry| entry.value))
    }

    async fn clone_credential(
        &self,
        job: &Job,
        repo: &Repo,
        stale: Option<&str>,
    ) -> Result<Option<CloneCredential>, NotGranted> {
        let (Some(asked), Some(registered)) = (job.spec.url.get(), repo.url.get()) else { return Ok(None) };
        // The repository may have been renamed while the job was queued.
        let former = repo.former_urls.iter().filter_map(Stored::get);
        let is_its = [registered].into_iter().chain(former).any(|url| asked.same_repository(url));
        if asked.authority() != registered.authority() || !is_its {
            return Ok(None);
        }
        let user = clone_user(forge_of(repo));
        let credential = self.registrations.credential(repo, Right::ReadContents, stale).await?;
        Ok(credential.map(|Credential { token, .. }| CloneCredential {
            user: user.to_owned(),
            token: token.expose().to_owned(),
        }))
    }

    async fn status_grant(
        &self,
        commit: &str,
        job: JobId,
        stale: Option<&str>,
    ) -> Result<StatusGrant, NotGranted> {
        let commit = self.claimed_commit(commit).await?;
        let found = self.job_to_post(job).await?;
        let of_commit = |job: &Job| {
            job.spec.repo == Some(commit.repo())
                && job.spec.sha.as_ref() == Some(commit.sha())
                && job.contexts().any(|context| *context == commit.context())
        };
        let Some(job) = found.filter(of_commit) else {
            return refused("the job is not of this commit");
        };
        let Some(repo) = self.registration_of(&job).await? else {
            return refused("the repository is not registered");
        };
        let status_access = self.registrations.status_access(&repo, stale).await?;
        Ok(status_grant(status_access, self.page_urls.link(job.spec.id, repo.links)))
    }

    /// The entry in `commits`, which a worker must have claimed.
    pub(crate) async fn claimed_commit(&self, key: &str) -> Result<CommitStatus, NotGranted> {
        let is_key = key.bytes().all(|b| b.is_ascii_hexdigit() || b == b'.' || b == b'-');
        let found = if is_key { self.ledger.commits.get(key).await.map_err(unavailable)? } else { None };
        let Some(commit) = found.map(|entry| entry.value) else { return refused("no such commit") };
        if !commit.is_claimed() {
            return Err(NotGranted::Unavailable("the commit's entry must be taken first".to_owned()));
        }
        Ok(commit)
    }
}
