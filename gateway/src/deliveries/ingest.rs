//! Records a delivery and the jobs that it will create, then carries it out, in steps that can each be repeated.
//!
//! The order: entry in `deliveries` (with the ids of the jobs to be created), `pushes`, record, `heads`, `commits`
//! and STATUSES, message in JOBS, verdict into the entry. A crash between any two leaves an entry without a
//! verdict, which whoever meets it finishes. `heads` comes before the message in JOBS: a worker that has the job
//! looks there. A push that is ignored has its verdict from the start, so there `heads` comes before the entry.

use hooks::{GitRef, Incoming};
use jobs::{
    Delivery, DeliveryApproval, DeliveryPlan, DeliveryReason, JobId, Repo, Verdict,
    bucket::{BucketError, Entry},
};
use serde_json::Map;

use crate::{
    deliveries::{
        Deliveries,
        routing::repository_of,
        trigger_rules::{TriggerDecision, decide},
    },
    error::ApiError,
};

/// A signed delivery, or the synthetic push of the ref poll.
pub(crate) struct ReceivedDelivery {
    pub(crate) hook: String,
    pub(crate) delivery_id: String,
    /// SHA-256 of the body: its id where the forge's cannot be used.
    pub(crate) digest: String,
    pub(crate) event: String,
    /// The event, or why the payload is malformed.
    pub(crate) incoming: Result<Incoming, String>,
    /// Of a synthetic push: the revision of the ref head that it was compared with, 0 for none.
    pub(crate) head_revision: Option<u64>,
}

/// What was decided about a delivery, and done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeliveryOutcome {
    pub(crate) key: String,
    pub(crate) verdict: Verdict,
    pub(crate) reason: Option<DeliveryReason>,
    pub(crate) jobs: Vec<JobId>,
    pub(crate) malformed: bool,
}

impl Deliveries {
    /// Records and carries out a signed delivery, once.
    pub(crate) async fn ingest(
        &self,
        received: ReceivedDelivery,
        repo: Option<Repo>,
    ) -> Result<DeliveryOutcome, ApiError> {
        self.capacity.check_capacity()?;
        if let (Ok(incoming), Some(repo)) = (&received.incoming, &repo) {
            self.learn_default_branch(incoming, repo).await?;
        }
        let (decision, malformed) = match &received.incoming {
            Ok(incoming) => (decide(repo.as_ref(), incoming, self.app_id()), false),
            Err(why) => (TriggerDecision::Rejected(why.as_str().into()), true),
        };
        let plan = DeliveryPlan {
            head_revision: received.head_revision.map(|revision| (&revision).into()),
            ..DeliveryPlan::default()
        };
        let mut delivery = Delivery {
            hook: received.hook,
            delivery_id: received.delivery_id,
            event: received.event,
            owner: repo.as_ref().map(|repo| repo.owner),
            repo: repo.as_ref().map(|repo| repo.id),
            jobs: Vec::new(),
            verdict: None,
            reason: None,
            incoming: received.incoming.as_ref().ok().map(Into::into),
            received_at: None,
            replay_of: None,
            plan,
            approval: DeliveryApproval::default(),
            other: Map::new(),
        };
        self.plan(&mut delivery, decision, received.incoming.as_ref().ok(), repo.as_ref()).await?;
        let planned = delivery.jobs.clone();
        let outcome = self.record_and_finish(delivery, received.digest, repo.as_ref()).await?;
        self.release_unused(repo.as_ref(), &planned, &outcome.jobs);
        Ok(DeliveryOutcome { malformed, ..outcome })
    }

    /// Records the default branch that a delivery names, if it is about the registered repository.
    async fn learn_default_branch(&self, incoming: &Incoming, repo: &Repo) -> Result<(), ApiError> {
        let named = repository_of(incoming)
            .filter(|named| repo.url.get().is_some_and(|url| url.same_repository(&named.clone_url)));
        let branch = named.and_then(|named| GitRef::from_branch(named.default_branch.as_deref()?).ok());
        self.registrations.set_default_branch(repo, branch.as_ref()).await
    }

    /// Releases the queue places of jobs that were planned and not created: the event has one already.
    fn release_unused(&self, repo: Option<&Repo>, planned: &[JobId], created: &[JobId]) {
        let Some(repo) = repo else { return };
        for job in planned.iter().filter(|job| !created.contains(job)) {
            self.budgets.release(repo.owner, job);
        }
    }

    async fn record_and_finish(
        &self,
        mut delivery: Delivery,
        digest: String,
        repo: Option<&Repo>,
    ) -> Result<DeliveryOutcome, ApiError> {
        let mut digest = Some(digest);
        loop {
            let key = Delivery::key(&delivery.hook, &delivery.delivery_id);
            self.update_head_of_ignored(&key, &delivery, repo).await?;
            let entry = match self.record(&key, &delivery).await? {
                Recorded::New(entry) | Recorded::Existing(entry) => entry,
                // The delivery id is not signed: an id that was used for another body must not suppress this one.
                Recorded::OtherContent => match digest.take() {
                    Some(digest) => {
                        delivery.delivery_id = digest;
                        continue;
                    }
                    None => return Err(ApiError::Conflict("the delivery was taken otherwise".to_owned())),
                },
            };
            let entry = self.finish_delivery(entry, repo).await?;
            return Ok(outcome_of(&entry));
        }
    }

    /// The configured GitHub App.
    pub(crate) fn app_id(&self) -> Option<u64> {
        self.github.app.as_ref().map(|app| app.id)
    }

    /// Plans a new entry: a verdict, or the jobs to be created.
    pub(super) async fn plan(
        &self,
        delivery: &mut Delivery,
        decision: TriggerDecision,
        incoming: Option<&Incoming>,
        repo: Option<&Repo>,
    ) -> Result<(), ApiError> {
        match decision {
            TriggerDecision::Ignored(why) => {
                delivery.verdict = Some(Verdict::Ignored);
                delivery.reason = Some(why);
            }
            TriggerDecision::Rejected(why) => {
                delivery.verdict = Some(Verdict::Refused);
                delivery.reason = Some(why);
            }
            // No job: what is to be done follows from the event alone.
            TriggerDecision::RefDeleted | TriggerDecision::Hold | TriggerDecision::Installation => {}
            TriggerDecision::Run(_) => delivery.jobs = vec![JobId::new()],
            TriggerDecision::Rerun => {
                if let (Some(Incoming::Rerequested(rerequested)), Some(repo)) = (incoming, repo) {
                    self.plan_reruns(delivery, rerequested, repo).await?;
                }
            }
        }
        // What is skipped never waits.
        let is_skipped = match (incoming, repo) {
            (Some(Incoming::Push(push)), Some(repo)) => crate::deliveries::push::is_skipped_job(repo, push),
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

    /// Creates the entry. A delivery that was ignored or refused before is decided again: deduplication is by
    /// acceptance, not by receipt.
    async fn record(&self, key: &str, delivery: &Delivery) -> Result<Recorded, ApiError> {
        loop {
            match self.ledger.deliveries.create(key, delivery).await {
                Ok(revision) => return Ok(Recorded::New(Entry::fresh(key, delivery.clone(), revision))),
                Err(BucketError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            let Some(found) = self.ledger.deliveries.get(key).await? else { continue };
            let is_decided_again = match found.value.verdict {
                Some(Verdict::Ignored | Verdict::Refused) => true,
                Some(Verdict::Accepted | Verdict::Duplicate | Verdict::Held) | None => false,
            };
            if !is_decided_again {
                return Ok(match found.value.incoming == delivery.incoming {
                    true => Recorded::Existing(found),
                    false => Recorded::OtherContent,
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
                        return Ok(Recorded::Existing(entry));
                    }
                }
                Err(BucketError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// What is in the ledger under the key of a delivery.
enum Recorded {
    /// This write created it.
    New(Entry<Delivery>),
    /// It was there, or was decided again.
    Existing(Entry<Delivery>),
    /// The id was used for another body.
    OtherContent,
}

pub(super) fn outcome_of(entry: &Entry<Delivery>) -> DeliveryOutcome {
    DeliveryOutcome {
        key: entry.key.clone(),
        verdict: entry.value.verdict.unwrap_or(Verdict::Accepted),
        reason: entry.value.reason.clone(),
        jobs: entry.value.jobs.clone(),
        malformed: false,
    }
}
