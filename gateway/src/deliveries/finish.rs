//! Carries out a recorded delivery and writes its verdict.

use hooks::Incoming;
use jobs::{
    Delivery, DeliveryReason, Repo, Verdict,
    audit::{Action, By, Log},
    bucket::Entry,
};

use crate::{
    audit::Actor,
    deliveries::{Deliveries, create_job::Resolution},
    error::ApiError,
};

impl Deliveries {
    /// Carries out an entry without a verdict; one with a verdict is returned as it is.
    pub(crate) async fn finish_delivery(
        &self,
        entry: Entry<Delivery>,
        repo: Option<&Repo>,
    ) -> Result<Entry<Delivery>, ApiError> {
        if entry.value.verdict.is_some() {
            return Ok(entry);
        }
        let resolution = match (entry.value.event(), repo) {
            (Some(Incoming::Push(push)), Some(repo)) => self.run_push(&entry.value, &push, repo).await?,
            (Some(Incoming::PullRequest(pull)), Some(repo)) => {
                self.run_pull_request(&entry.value, &pull, repo).await?
            }
            (Some(event @ (Incoming::Installation(_) | Incoming::InstallationRepositories(_))), None) => {
                let (verdict, reason) =
                    self.registrations.apply_installation_event(&entry.value, &event).await?;
                self.audit_installation(&event, verdict, &reason).await;
                Resolution::new(verdict, reason.into())
            }
            (Some(Incoming::Rerequested(_)), Some(_)) => self.run_reruns(&entry.value).await?,
            // The registration was removed in between, or a newer gateway wrote this.
            (Some(_) | None, _) => Resolution::new(Verdict::Ignored, DeliveryReason::RepositoryNotRegistered),
        };
        let with_verdict = |now: &Entry<Delivery>| {
            now.value.verdict.is_none().then(|| Delivery {
                verdict: Some(resolution.verdict),
                reason: resolution.reason.clone(),
                jobs: resolution.jobs.clone(),
                received_at: now.value.received_at.or_else(|| now.time()),
                ..now.value.clone()
            })
        };
        let written = self.ledger.deliveries.change_from(entry, with_verdict).await?;
        written.ok_or(ApiError::NotFound("delivery"))
    }

    /// Writes the audit event of an installation of the GitHub App.
    async fn audit_installation(&self, event: &Incoming, verdict: Verdict, reason: &str) {
        let id = match event {
            Incoming::Installation(event) => event.id,
            Incoming::InstallationRepositories(event) => event.id,
            Incoming::Push(_)
            | Incoming::PullRequest(_)
            | Incoming::Rerequested(_)
            | Incoming::Ping
            | Incoming::Ignored(_) => return,
        };
        // Nothing was changed otherwise.
        if verdict == Verdict::Accepted {
            let forge = Actor { user: None, by: Some(By::Forge), log: Log::Users };
            self.audit.write_with(forge, Action::InstallationChanged, id, Some(reason.to_owned())).await;
        }
    }
}
