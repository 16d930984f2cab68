//! Taking what a forge tells: from a signed delivery to jobs, in steps that can each be done again.
//!
//! The order is that of the design: entry in `deliveries` (with the ids of the jobs it will make),
//! `pushes`, record, `heads`, `commits` and STATUSES, message in JOBS, verdict into the entry. A
//! crash between any two leaves an entry without a verdict, which whoever meets it finishes.
//! `heads` comes before the message in JOBS: a worker that has the job looks there. A push that is
//! filtered has its verdict from the start, so there `heads` comes before the entry.

use hooks::Incoming;
use jobs::{
    Delivery, DeliveryApproval, DeliveryPlan, DeliveryReason, JobId, Repo, Verdict,
    audit::{Action, By, Log},
    bucket::{BucketError, Entry},
};
use serde_json::Map;

pub(crate) use crate::deliveries::{
    ref_heads::Moved,
    trigger_rules::{Judgement, judge},
};
use crate::{
    audit::Actor,
    deliveries::{Deliveries, create_job::Decided},
    error::ApiError,
};

/// A signed delivery, or a push that was made up for.
pub(crate) struct Arrival {
    pub(crate) hook: String,
    pub(crate) delivery_id: String,
    /// SHA-256 of the body: its id where the forge's cannot be used.
    pub(crate) digest: String,
    pub(crate) event: String,
    /// What it says, or why it cannot be understood.
    pub(crate) incoming: Result<Incoming, String>,
    /// Of a push that was made up for: the revision of the head it was compared with, 0 for none.
    pub(crate) head_revision: Option<u64>,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) key: String,
    pub(crate) verdict: Verdict,
    pub(crate) reason: Option<DeliveryReason>,
    pub(crate) jobs: Vec<JobId>,
    pub(crate) malformed: bool,
}

impl Deliveries {
    /// Notes what became of an installation of the GitHub App.
    pub(crate) async fn audit_installation(&self, event: &Incoming, verdict: Verdict, reason: &str) {
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

impl Deliveries {
    /// Takes a signed delivery, once.
    pub(crate) async fn take(&self, arrival: Arrival, repo: Option<Repo>) -> Result<Taken, ApiError> {
        self.capacity.check_capacity()?;
        let (judgement, malformed) = match &arrival.incoming {
            Ok(incoming) => (judge(repo.as_ref(), incoming, self.app_id()), false),
            Err(why) => (Judgement::Refused(why.as_str().into()), true),
        };
        let plan = DeliveryPlan {
            head_revision: arrival.head_revision.map(|revision| (&revision).into()),
            ..DeliveryPlan::default()
        };
        let mut delivery = Delivery {
            hook: arrival.hook,
            delivery_id: arrival.delivery_id,
            event: arrival.event,
            owner: repo.as_ref().map(|repo| repo.owner),
            repo: repo.as_ref().map(|repo| repo.id),
            jobs: Vec::new(),
            verdict: None,
            reason: None,
            incoming: arrival.incoming.as_ref().ok().map(Into::into),
            received_at: None,
            replay_of: None,
            plan,
            approval: DeliveryApproval::default(),
            other: Map::new(),
        };
        self.plan(&mut delivery, judgement, arrival.incoming.as_ref().ok(), repo.as_ref()).await?;
        let planned = delivery.jobs.clone();
        let taken = self.enter_and_finish(delivery, arrival.digest, repo.as_ref()).await?;
        self.release_besides(repo.as_ref(), &planned, &taken.jobs);
        Ok(Taken { malformed, ..taken })
    }

    /// Gives back place for jobs that were planned and not made: the same push made one before.
    fn release_besides(&self, repo: Option<&Repo>, planned: &[JobId], made: &[JobId]) {
        let Some(repo) = repo else { return };
        for job in planned.iter().filter(|job| !made.contains(job)) {
            self.budgets.release(repo.owner, job);
        }
    }

    async fn enter_and_finish(
        &self,
        mut delivery: Delivery,
        digest: String,
        repo: Option<&Repo>,
    ) -> Result<Taken, ApiError> {
        let mut digest = Some(digest);
        loop {
            let key = Delivery::key(&delivery.hook, &delivery.delivery_id);
            self.move_head_of_filtered(&key, &delivery, repo).await?;
            let entry = match self.enter(&key, &delivery).await? {
                Entered::Now(entry) | Entered::Before(entry) => entry,
                // The delivery id is not signed: another's must not stand in this one's way.
                Entered::AnotherContent => match digest.take() {
                    Some(digest) => {
                        delivery.delivery_id = digest;
                        continue;
                    }
                    None => return Err(ApiError::Conflict("the delivery was taken otherwise".to_owned())),
                },
            };
            let entry = self.finish_delivery(entry, repo).await?;
            return Ok(taken(&entry));
        }
    }

    /// Judges what was kept of a delivery anew, without the content rule, and makes new jobs.
    pub(crate) async fn replay(&self, of: &Entry<Delivery>, repo: &Repo) -> Result<Taken, ApiError> {
        self.capacity.check_capacity()?;
        let kept = of
            .value
            .incoming
            .clone()
            .ok_or_else(|| ApiError::Conflict("nothing of it was kept".to_owned()))?;
        let incoming: Incoming = kept
            .get()
            .ok_or_else(|| ApiError::Internal(anyhow::anyhow!("the stored event is not understood")))?;
        let mut delivery = Delivery {
            delivery_id: format!("replay-{}", JobId::new()),
            jobs: Vec::new(),
            verdict: None,
            reason: None,
            incoming: Some(kept),
            received_at: None,
            replay_of: Some(of.key.clone()),
            owner: Some(repo.owner),
            plan: DeliveryPlan { rerun_of: of.value.jobs.first().map(Into::into), ..DeliveryPlan::default() },
            approval: DeliveryApproval::default(),
            other: Map::new(),
            ..of.value.clone()
        };
        let judgement = match judge(Some(repo), &incoming, self.app_id()) {
            Judgement::Removed => Judgement::Ignored(DeliveryReason::RefRemoved),
            other => other,
        };
        self.plan(&mut delivery, judgement, Some(&incoming), Some(repo)).await?;
        // Whoever asks for a replay is told, and nothing of it is stored.
        if delivery.reason == Some(DeliveryReason::QueueFull) {
            return Err(ApiError::TooMany(DeliveryReason::QueueFull.to_string()));
        }
        let key = Delivery::key(&delivery.hook, &delivery.delivery_id);
        self.ledger.deliveries.create(&key, &delivery).await?;
        let entry = self.ledger.deliveries.get(&key).await?.ok_or(ApiError::NotFound("delivery"))?;
        Ok(taken(&self.finish_delivery(entry, Some(repo)).await?))
    }

    /// The App whose checks are ours.
    pub(crate) fn app_id(&self) -> Option<u64> {
        self.github.app.as_ref().map(|app| app.id)
    }

    /// Writes into a new entry what will be done: a verdict, or the jobs to be made.
    async fn plan(
        &self,
        delivery: &mut Delivery,
        judgement: Judgement,
        incoming: Option<&Incoming>,
        repo: Option<&Repo>,
    ) -> Result<(), ApiError> {
        match judgement {
            Judgement::Ignored(why) => {
                delivery.verdict = Some(Verdict::Ignored);
                delivery.reason = Some(why);
            }
            Judgement::Refused(why) => {
                delivery.verdict = Some(Verdict::Refused);
                delivery.reason = Some(why);
            }
            // No job: what is to be done follows from the event alone.
            Judgement::Removed | Judgement::Hold | Judgement::Installation => {}
            Judgement::Run(_) => delivery.jobs = vec![JobId::new()],
            Judgement::Rerun => {
                if let (Some(Incoming::Rerequested(asked)), Some(repo)) = (incoming, repo) {
                    self.plan_reruns(delivery, asked, repo).await?;
                }
            }
        }
        // What is skipped never waits.
        let is_skipped = match (incoming, repo) {
            (Some(Incoming::Push(push)), Some(repo)) => crate::deliveries::push::skips(repo, push),
            (_, _) => false,
        };
        if let Some(repo) = repo
            && !is_skipped
            && !self.jobs.reserve_all(repo.owner, &delivery.jobs).await?
        {
            delivery.reason = Some(DeliveryReason::QueueFull);
        }
        Ok(())
    }

    /// Creates the entry. What was ignored or refused before is judged anew: dedupe on accepted, not on
    /// seen.
    async fn enter(&self, key: &str, delivery: &Delivery) -> Result<Entered, ApiError> {
        loop {
            match self.ledger.deliveries.create(key, delivery).await {
                Ok(revision) => return Ok(Entered::Now(Entry::fresh(key, delivery.clone(), revision))),
                Err(BucketError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            let Some(found) = self.ledger.deliveries.get(key).await? else { continue };
            let judged_anew = match found.value.verdict {
                Some(Verdict::Ignored | Verdict::Refused) => true,
                Some(Verdict::Accepted | Verdict::Duplicate | Verdict::Held) | None => false,
            };
            if !judged_anew {
                return Ok(match found.value.incoming == delivery.incoming {
                    true => Entered::Before(found),
                    false => Entered::AnotherContent,
                });
            }
            let mut other = found.value.other.clone();
            other.extend(delivery.other.clone());
            let again = Delivery {
                received_at: found.value.received_at.or(Some(found.written_at)),
                plan: delivery.plan.clone().or(&found.value.plan),
                approval: delivery.approval.clone().or(&found.value.approval),
                other,
                ..delivery.clone()
            };
            match self.ledger.deliveries.update(key, &again, found.revision).await {
                Ok(_) => {
                    if let Some(entry) = self.ledger.deliveries.get(key).await? {
                        return Ok(Entered::Before(entry));
                    }
                }
                Err(BucketError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Does what an entry without a verdict says; one with a verdict is returned as it is.
    pub(crate) async fn finish_delivery(
        &self,
        entry: Entry<Delivery>,
        repo: Option<&Repo>,
    ) -> Result<Entry<Delivery>, ApiError> {
        if entry.value.verdict.is_some() {
            return Ok(entry);
        }
        let decided = match (entry.value.event(), repo) {
            (Some(Incoming::Push(push)), Some(repo)) => self.run_push(&entry.value, &push, repo).await?,
            (Some(Incoming::PullRequest(pull)), Some(repo)) => {
                self.run_pull(&entry.value, &pull, repo).await?
            }
            (Some(event @ (Incoming::Installation(_) | Incoming::InstallationRepositories(_))), None) => {
                let (verdict, reason) =
                    self.registrations.apply_installation_event(&entry.value, &event).await?;
                self.audit_installation(&event, verdict, &reason).await;
                Decided::because(verdict, reason.into())
            }
            (Some(Incoming::Rerequested(_)), Some(_)) => self.run_reruns(&entry.value).await?,
            // The registration was removed in between, or a newer gateway wrote this.
            (Some(_) | None, _) => {
                Decided::because(Verdict::Ignored, DeliveryReason::RepositoryNotRegistered)
            }
        };
        let with_verdict = |now: &Entry<Delivery>| {
            now.value.verdict.is_none().then(|| Delivery {
                verdict: Some(decided.verdict),
                reason: decided.reason.clone(),
                jobs: decided.jobs.clone(),
                received_at: now.value.received_at.or_else(|| now.time()),
                ..now.value.clone()
            })
        };
        let written = self.ledger.deliveries.change_from(entry, with_verdict).await?;
        written.ok_or(ApiError::NotFound("delivery"))
    }
}

enum Entered {
    Now(Entry<Delivery>),
    Before(Entry<Delivery>),
    AnotherContent,
}

fn taken(entry: &Entry<Delivery>) -> Taken {
    Taken {
        key: entry.key.clone(),
        verdict: entry.value.verdict.unwrap_or(Verdict::Accepted),
        reason: entry.value.reason.clone(),
        jobs: entry.value.jobs.clone(),
        malformed: false,
    }
}
