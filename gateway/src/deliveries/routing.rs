//! Finds the registration that a delivery to the App's webhook is for.

use hooks::{Incoming, incoming};
use jobs::Repo;

use crate::{
    deliveries::{Deliveries, rejected::Hook},
    error::ApiError,
    http::client_ip,
    metrics::LabelValue,
    repos::rename::Signer,
};

impl Deliveries {
    /// Counts and remembers a delivery whose signature or webhook is not valid. Returns the error to answer: `error`,
    /// or that the client is rate limited; such deliveries are only counted, or they would displace all others.
    pub(crate) fn reject_unverified(&self, hook: Hook<'_>, reason: &str, error: ApiError) -> ApiError {
        self.metrics.unsigned(LabelValue::of(reason));
        if let Err(too_fast) = self.limits.check_unsigned_delivery(client_ip::address()) {
            return too_fast;
        }
        self.rejected.record(hook, reason);
        tracing::info!(%hook, reason, "delivery rejected");
        error
    }

    /// The registration that reports statuses for a GitHub repository, updated from the payload. An event of an
    /// installation of the App concerns only the registrations of that installation; without an App the webhook
    /// belongs to an organisation, and concerns the status owner.
    pub(crate) async fn find_github_repo(
        &self,
        incoming: &Incoming,
        named: &incoming::Repository,
    ) -> Result<Option<Repo>, ApiError> {
        let posting = self.registrations.status_owner_of(named).await?;
        let repo = match installation_of(incoming).filter(|_| self.github.app.is_some()) {
            Some(installation) => match posting.filter(|repo| repo.installation == Some(installation)) {
                Some(repo) => Some(repo),
                None => self.repo_of_installation(installation, named).await?,
            },
            None => match posting {
                Some(repo) => Some(repo),
                None => self.unconfirmed_operator_repo(named).await?,
            },
        };
        match repo {
            Some(repo) => self.registrations.sync_repository(repo, named, Signer::App).await.map(Some),
            None => Ok(None),
        }
    }

    /// The registration that an installation created, where another one is the status owner because GitHub rejects
    /// the App's checks.
    async fn repo_of_installation(
        &self,
        installation: u64,
        named: &incoming::Repository,
    ) -> Result<Option<Repo>, ApiError> {
        let is_match = |repo: &Repo| {
            repo.installation == Some(installation)
                && repo.forge_id.is_some()
                && repo.forge_id == named.forge_id
                && !repo.is_removing()
        };
        let found = self.repos.find(is_match).into_iter().min_by_key(|entry| entry.value.id);
        let Some(found) = found else { return Ok(None) };
        let entry = self.ledger.repos.get(&found.key).await?;
        Ok(entry.map(|entry| entry.value).filter(is_match))
    }

    /// The registration of an admin that GitHub had not confirmed, once it has.
    async fn unconfirmed_operator_repo(
        &self,
        named: &incoming::Repository,
    ) -> Result<Option<Repo>, ApiError> {
        let is_named = |repo: &Repo| {
            let url = repo.url.get();
            let is_open = repo.operator_credential && repo.unproved.is_some() && !repo.is_removing();
            is_open && url.is_some_and(|url| url.same_repository(&named.clone_url))
        };
        let found = self.repos.find(is_named).into_iter().min_by_key(|entry| entry.value.id);
        let Some(found) = found else { return Ok(None) };
        let repo = self.registrations.reverify_permission(found.value).await?;
        Ok(Some(repo).filter(|repo| repo.posts))
    }
}

/// The repository that an event is about.
pub(crate) fn repository_of(incoming: &Incoming) -> Option<&incoming::Repository> {
    match incoming {
        Incoming::Push(push) => Some(&push.repository),
        Incoming::PullRequest(pull) => Some(&pull.repository),
        Incoming::Rerequested(rerequested) => Some(&rerequested.repository),
        Incoming::Ping
        | Incoming::Installation(_)
        | Incoming::InstallationRepositories(_)
        | Incoming::Ignored(_) => None,
    }
}

/// The installation through which an event came.
fn installation_of(incoming: &Incoming) -> Option<u64> {
    match incoming {
        Incoming::Push(push) => push.installation,
        Incoming::PullRequest(pull) => pull.installation,
        Incoming::Rerequested(rerequested) => rerequested.installation,
        Incoming::Installation(event) => Some(event.id),
        Incoming::InstallationRepositories(event) => Some(event.id),
        Incoming::Ping | Incoming::Ignored(_) => None,
    }
}
