//! What an attempt asks of the outside on a worker: of the ledger, and of gateways.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use jobs::{
    Cause, CommitSha, Job, Ledger, Outcome, Trigger, cgi, grants::GrantRequest, head_key, input::InputError,
    log::LogHandle,
};

use crate::{
    attempt_context::{AttemptContext, ProgramInput},
    checkout::Credential,
    grants::Grants,
    output::LogSink,
    result_reuse::{ReusableResult, reusable_result},
    slot_reservation::SlotReservation,
};

/// The context of an attempt on a worker.
pub(crate) struct RemoteContext {
    pub(crate) ledger: Ledger,
    pub(crate) grants: Grants,
    pub(crate) job: Job,
    pub(crate) log: LogHandle,
    /// What the manifest says of superseding, once it was read; never there of a build.
    pub(crate) supersede: Arc<OnceLock<Option<bool>>>,
    /// For how long it may hold its slot.
    pub(crate) reservation: Arc<SlotReservation>,
}

impl AttemptContext for RemoteContext {
    fn log(&self) -> Arc<dyn LogSink> {
        Arc::new(self.log.clone())
    }

    async fn credential(&self) -> Result<Option<Credential>, Outcome> {
        // A bare URL is cloned without credentials.
        if self.job.spec.repo.is_none() {
            return Ok(None);
        }
        let grant = self.grants.for_job(&self.request(Vec::new())).await?;
        Ok(grant
            .clone
            .and_then(|clone| Some(Credential { user: clone.user, token: clone.token.parse().ok()? })))
    }

    async fn secrets(&self, names: &[String]) -> Result<Vec<(String, String)>, Outcome> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let missing = |names: &[String]| {
            let message = format!("manifest: no secret for this event is stored as {}", names.join(", "));
            Outcome::function(Cause::Manifest, message)
        };
        if self.job.spec.repo.is_none() {
            return Err(missing(names));
        }
        if self.job.spec.untrusted {
            let message =
                format!("manifest: a pull request from a fork gets no secrets ({})", names.join(", "));
            return Err(Outcome::function(Cause::Manifest, message));
        }
        let grant = self.grants.for_job(&self.request(names.to_vec())).await?;
        if grant.missing_secrets.is_empty() {
            Ok(grant.secrets)
        } else {
            Err(missing(&grant.missing_secrets))
        }
    }

    async fn input(&self) -> Result<ProgramInput, Outcome> {
        let spec = &self.job.spec;
        let Some(described) = &spec.input else { return Ok(ProgramInput::default()) };
        let fetched = self.ledger.inputs.fetch(spec.owner, spec.id, described).await;
        let input = fetched.map_err(|error| {
            let why = match &error {
                InputError::Nats { .. } => "the job's input could not be read",
                InputError::Gone { .. } => "the job's input is not stored any more",
                InputError::Damaged { .. } => "the job's stored input is not the one that was submitted",
            };
            tracing::error!(error = format!("{:#}", anyhow::Error::from(error)), "input not fetched");
            Outcome::service(Cause::Lost, format!("{why}; this is not the function's fault"))
        })?;
        let variables = match &input.head.request {
            // A gateway has stored only what can be told.
            Some(request) => cgi::variables(request, &[])
                .map_err(|error| Outcome::service(Cause::Lost, format!("the call's request: {error}")))?,
            None => Vec::new(),
        };
        Ok(ProgramInput { body: input.body, variables })
    }

    fn runs_once(&self) -> bool {
        self.job.spec.runs_once()
    }

    async fn begins(&self) -> Result<(), Outcome> {
        match self.ledger.begin(self.job.spec.id, self.job.status.attempt).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Outcome::wished(Cause::Cancelled, "another attempt took its place")),
            Err(error) => {
                tracing::warn!(error = format!("{:#}", anyhow::Error::from(error)), "begin not noted");
                let why = "the program was not begun, because that could not be noted; this is not the function's fault";
                Err(Outcome::service(Cause::Lost, why))
            }
        }
    }

    async fn learned(&self, sha: Option<&CommitSha>, language: &str) {
        let (known, sha) = (self.job.spec.sha.clone(), sha.cloned());
        // A push's commit and a known language need no write.
        if known.is_some() && self.job.status.language.is_some() {
            return;
        }
        let learn = |job: Job| job.learned(sha.clone(), Some(language));
        // Kept for later attempts; this one knows it anyway.
        if known.is_none()
            && let Err(error) =
                self.ledger.change_attempt(self.job.spec.id, self.job.status.attempt, learn).await
        {
            tracing::warn!(%error, "resolved commit not written");
        }
    }

    fn may_be_superseded(&self, manifest: Option<bool>) {
        let _ = self.supersede.set(manifest);
    }

    async fn superseded(&self, manifest: Option<bool>) -> Option<Outcome> {
        superseded(&self.ledger, &self.job, manifest).await
    }

    async fn reusable_result(&self) -> ReusableResult {
        reusable_result(&self.ledger, &self.job).await
    }

    async fn may_run_for(&self, time: Duration) -> bool {
        self.reservation.limit().admits(Some(time.as_secs() + u64::from(time.subsec_nanos() > 0)))
            || self.reservation.extend().await
    }

    async fn overdue(&self) {
        self.reservation.overdue().await;
    }

    fn runs_for(&self, time: Duration) {
        self.reservation.release_unless_long(time);
    }
}

impl RemoteContext {
    fn request(&self, secrets: Vec<String>) -> GrantRequest {
        GrantRequest::Job { job: self.job.spec.id, attempt: self.job.status.attempt, secrets }
    }
}

/// Whether a newer push took this job's place. Calls and reruns are never superseded.
pub(crate) async fn superseded(ledger: &Ledger, job: &Job, manifest: Option<bool>) -> Option<Outcome> {
    let usual = match job.spec.trigger {
        Trigger::Call | Trigger::Rerun => return None,
        Trigger::Push | Trigger::PullRequest => true,
        Trigger::Tag => false,
    };
    if !manifest.unwrap_or(usual) {
        return None;
    }
    let key = head_key(job.spec.repo?, job.spec.reference.as_ref()?.as_str());
    let head = ledger.heads.get(&key).await.ok()??;
    let newer = head.value.job.filter(|newer| *newer != job.spec.id)?;
    let after = head.value.after.short();
    tracing::debug!(job.id = %job.spec.id, %newer, "job superseded");
    Some(Outcome::wished(Cause::Superseded, format!("superseded by {after}")))
}
