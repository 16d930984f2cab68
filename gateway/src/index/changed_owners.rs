//! The set of owners whose history grew.

use std::collections::HashSet;

use jobs::UserId;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Owners whose history grew since the last retention pass.
#[derive(Debug, Default)]
pub(crate) struct ChangedOwners {
    owners: Mutex<HashSet<UserId>>,
    pub(crate) notify: Notify,
}

impl ChangedOwners {
    /// Adds an owner, and wakes the retention.
    pub(crate) fn note(&self, owner: UserId) {
        self.owners.lock().insert(owner);
        self.notify.notify_one();
    }

    pub(crate) fn take(&self) -> HashSet<UserId> {
        std::mem::take(&mut *self.owners.lock())
    }
}
