//! Limits the number of owners: as many as fit into the stores at their limits.

use jobs::{
    accounts::{OwnerKind, User},
    bucket::Entry,
};

use crate::{error::ApiError, usage::Budgets};

/// The limit of owners is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are {owners} owners, and {limit} fit (GITFAAS_MAX_OWNERS); ask whoever runs this service")]
pub(crate) struct NoMoreOwners {
    owners: u64,
    limit: u64,
}

impl Budgets {
    /// The owner with this identity, created at first use where one more fits. Each gateway creates owners
    /// one after another, so that each of several gateways can exceed the limit by one at most.
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
        let _one_at_a_time = self.reservations.creating_owner.lock().await;
        let (owners, limit) = (self.users.count(|_| true), self.settings.max_owners());
        if owners >= limit {
            tracing::warn!(owners, limit, "owner limit reached");
            return Ok(Err(NoMoreOwners { owners, limit }));
        }
        let made = accounts.find_or_make(provider, subject, email, kind).await?;
        self.users.note(made.clone());
        Ok(Ok(made))
    }
}
