//! Which registration a delivery to the App's hook is for.

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
    /// Counts and remembers a delivery that is not believed, and says what is answered: `error`, unless
    /// too many came from there. Those leave nothing but a count, or they would push all others out.
    pub(crate) fn refuse(&self, hook: Hook<'_>, reason: &str, error: ApiError) -> ApiError {
        self.metrics.unsigned(LabelValue::of(reason));
        if let Err(too_fast) = self.limits.check_unsigned_delivery(client_ip::address()) {
            return too_fast;
        }
        self.rejected.note(hook, reason);
        tracing::info!(%hook, reason, "a delivery was not believed");
        error
    }

    /// The registration that posts for a repository of GitHub's, up to date with what is said of it. What
    /// comes through an installation of the App concerns the registrations of that installation alone;
    /// without an App the hook is an organisation's, and concerns whoever posts there.
    pub(crate) async fn of_github(
        &self,
        incoming: &Incoming,
        named: &incoming::Repository,
    ) -> Result<Option<Repo>, ApiError> {
        let posting = self.registrations.status_owner_of(named).await?;
        let repo = match through(incoming).filter(|_| self.github.app.is_some()) {
            Some(installation) => match posting.filter(|repo| repo.installation == Some(installation)) {
                Some(repo) => Some(repo),
                None => self.of_installation(installation, named).await?,
            },
            None => match posting {
                Some(repo) => Some(repo),
                None => self.unproved_of_operator(named).await?,
            },
        };
        match repo {
            Some(repo) => self.registrations.sync_repository(repo, named, Signer::App).await.map(Some),
            None => Ok(None),
        }
    }

    /// The registration that an installation brought, where another one posts in its place because GitHub
    /// refuses the App's checks.
    async fn of_installation(
        &self,
        installation: u64,
        named: &incoming::Repository,
    ) -> Result<Option<Repo>, ApiError> {
        let is_its = |repo: &Repo| {
            repo.installation == Some(installation)
                && repo.forge_id.is_some()
                && repo.forge_id == named.forge_id
                && !repo.is_removing()
        };
        let found = self.repos.find(is_its).into_iter().min_by_key(|entry| entry.value.id);
        let Some(found) = found else { return Ok(None) };
        let entry = self.ledger.repos.get(&found.key).await?;
        Ok(entry.map(|entry| entry.value).filter(is_its))
    }

    /// A registration of an admin's that GitHub has not confirmed yet, once it has.
    async fn unproved_of_operator(&self, named: &incoming::Repository) -> Result<Option<Repo>, ApiError> {
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
pub(crate) fn named(incoming: &Incoming) -> Option<&incoming::Repository> {
    match incoming {
        Incoming::Push(push) => Some(&push.repository),
        Incoming::PullRequest(pull) => Some(&pull.repository),
        Incoming::Rerequested(asked) => Some(&asked.repository),
        Incoming::Ping
        | Incoming::Installation(_)
        | Incoming::InstallationRepositories(_)
        | Incoming::Ignored(_) => None,
    }
}

/// The installation through which an event came.
fn through(incoming: &Incoming) -> Option<u64> {
    match incoming {
        Incoming::Push(push) => push.installation,
        Incoming::PullRequest(pull) => pull.installation,
        Incoming::Rerequested(asked) => asked.installation,
        Incoming::Installation(event) => Some(event.id),
        Incoming::InstallationRepositories(event) => Some(event.id),
        Incoming::Ping | Incoming::Ignored(_) => None,
    }
}
