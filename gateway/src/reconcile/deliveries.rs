//! Finishes deliveries without a verdict: the gateway that was processing one may have died.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::index::Tables;
use crate::{error::ApiError, reconcile::leader::Services};

/// A delivery without a verdict for this long is finished by the leader: twice the time that a forge waits
///
/// for an answer.
const FINISH_AFTER: Duration = Duration::from_secs(10);

/// When each unfinished delivery was first seen.
#[derive(Debug, Default)]
pub(super) struct UnfinishedDeliveries(HashMap<String, Instant>);

impl UnfinishedDeliveries {
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// Finishes the overdue ones.
    pub(super) async fn round(&mut self, services: &Services) -> Result<(), ApiError> {
        let keys = services.index.run(Tables::unfinished).await?;
        self.0.retain(|key, _| keys.contains(key));
        for key in keys {
            let since = *self.0.entry(key.clone()).or_insert_with(Instant::now);
            if since.elapsed() < FINISH_AFTER {
                continue;
            }
            let Some(entry) = services.ledger.deliveries.get(&key).await? else { continue };
            let repo = match entry.value.repo {
                Some(id) => services.ledger.repos.get(&id.to_string()).await?.map(|entry| entry.value),
                None => None,
            };
            tracing::info!(delivery = key, "finishing delivery without verdict");
            services.deliveries.finish_delivery(entry, repo.as_ref()).await?;
            self.0.remove(&key);
        }
        Ok(())
    }
}
