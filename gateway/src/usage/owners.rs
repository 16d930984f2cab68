//! How many owners there may be: so many at their limits fit into the stores.

use jobs::{
    accounts::{OwnerKind, User},
    bucket::Entry,
};

use crate::{error::ApiError, usage::Budgets};

/// There are as many owners as fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are {owners} owners, and {limit} fit (GITFAAS_MAX_OWNERS); ask whoever runs this service")]
pub(crate) struct NoMoreOwners {
    owners: u64,
    limit: u64,
}

impl Budgets {
    /// The owner with this identity, made at the first time where one more fits. One gateway makes one after
    /// another, so that of several gateways each can be one too many at most.
    pub(crate) async fn owner(
        &self,
        provider: &str,
        subject: &str,
        email: &str,
        kind: OwnerKind,
    ) -> Result<Result<Entry<User>, NoMoreOwners>, ApiError> {
        let accounts = &self.ledger.accounts;
        if let Some(known) = accounts.find(provider, subject).await? {
            return Ok(Ok(known));
        }
        let _one_at_a_time = self.reservations.making_an_owner.lock().await;
        let (owners, limit) = (self.users.count(|_| true), self.settings.max_owners());
        if owners >= limit {
            tracing::warn!(owners, limit, "no more owners fit");
            return Ok(Err(NoMoreOwners { owners, limit }));
        }
        let made = accounts.find_or_make(provider, subject, email, kind).await?;
        self.users.note(made.clone());
        Ok(Ok(made))
    }
}
