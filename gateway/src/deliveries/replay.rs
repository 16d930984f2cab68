//! Replays: a stored event is carried out again, as a delivery of its own.

use hooks::Incoming;
use jobs::{Delivery, DeliveryApproval, DeliveryPlan, DeliveryReason, JobId, Repo, bucket::Entry};
use serde_json::Map;

use crate::{
    deliveries::{
        Deliveries,
        ingest::{DeliveryOutcome, outcome_of},
        trigger_rules::{TriggerDecision, decide},
    },
    error::ApiError,
    repos::installation::events::is_of_installation,
};

impl Deliveries {
    /// Decides again about a stored event, without looking for duplicates, and creates new jobs.
    pub(crate) async fn replay(
        &self,
        of: &Entry<Delivery>,
        repo: &Repo,
    ) -> Result<DeliveryOutcome, ApiError> {
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
        let decision = match decide(Some(repo), &incoming, self.app_id()) {
            TriggerDecision::RefDeleted => TriggerDecision::Ignored(DeliveryReason::RefRemoved),
            other => other,
        };
        self.plan(&mut delivery, decision, Some(&incoming), Some(repo)).await?;
        // The caller gets the error; nothing is stored.
        if delivery.reason == Some(DeliveryReason::QueueFull) {
            return Err(ApiError::TooMany(DeliveryReason::QueueFull.to_string()));
        }
        let key = Delivery::key(&delivery.hook, &delivery.delivery_id);
        self.ledger.deliveries.create(&key, &delivery).await?;
        let entry = self.ledger.deliveries.get(&key).await?.ok_or(ApiError::NotFound("delivery"))?;
        Ok(outcome_of(&self.finish_delivery(entry, Some(repo)).await?))
    }

    /// Carries out an installation's event again: GitHub may have been unreachable. Returns the new key.
    pub(crate) async fn replay_installation(&self, of: &Entry<Delivery>) -> Result<String, ApiError> {
        if !of.value.event().is_some_and(|event| is_of_installation(&event)) {
            return Err(ApiError::NotFound("repository"));
        }
        let again = Delivery {
            delivery_id: format!("replay-{}", JobId::new()),
            verdict: None,
            reason: None,
            received_at: None,
            replay_of: Some(of.key.clone()),
            ..of.value.clone()
        };
        let key = Delivery::key(&again.hook, &again.delivery_id);
        self.ledger.deliveries.create(&key, &again).await?;
        let entry = self.ledger.deliveries.get(&key).await?.ok_or(ApiError::NotFound("delivery"))?;
        self.finish_delivery(entry, None).await?;
        Ok(key)
    }
}
