//! Owners whose history grew.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use jobs::UserId;
use tokio::sync::Notify;

/// Owners whose history grew since they were looked at.
#[derive(Debug, Default)]
pub(crate) struct ChangedOwners {
    owners: Mutex<HashSet<UserId>>,
    pub(crate) nudge: Notify,
}

impl ChangedOwners {
    /// The history of this owner grew.
    pub(crate) fn note(&self, owner: UserId) {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner).insert(owner);
        self.nudge.notify_one();
    }

    pub(crate) fn take(&self) -> HashSet<UserId> {
        std::mem::take(&mut *self.owners.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
