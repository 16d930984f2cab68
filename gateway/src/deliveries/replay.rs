//! Replays.

use jobs::{Delivery, JobId, bucket::Entry};

use crate::{deliveries::Deliveries, error::ApiError, repos::installation::events::is_of_installation};

impl Deliveries {
    /// Does what an installation's event says once more, as a delivery of its own: GitHub may have been
    /// out of reach. Returns its key.
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
