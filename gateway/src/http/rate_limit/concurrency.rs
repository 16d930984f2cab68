//! Concurrency limits for each user, address or function: live streams, waiting calls and reads by link are a task
//! and a connection each.

use std::{collections::HashMap, sync::Arc};

use jobs::{RepoId, UserId};
use parking_lot::Mutex;

use crate::http::rate_limit::Slot;

/// What a permit counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LimitKey {
    /// A user, with any token.
    User(UserId),
    /// An address, for anonymous reads by link.
    Address(Slot),
    /// A function, for calls without a token, and for those of them that wait.
    Function(RepoId),
    /// A function and an address, for calls of a public function, and for whoever waits for the answer of a call.
    FunctionAndAddress(RepoId, Slot),
}

/// Counts of permits; a key without any has no entry.
#[derive(Debug)]
pub(super) struct ConcurrencyLimit {
    most: usize,
    open: Arc<Mutex<HashMap<LimitKey, usize>>>,
}

/// One permit, released on drop.
#[derive(Debug)]
pub(crate) struct ConcurrencyPermit {
    key: LimitKey,
    open: Arc<Mutex<HashMap<LimitKey, usize>>>,
}

impl ConcurrencyLimit {
    pub(super) fn at_most(most: usize) -> Self {
        Self { most, open: Arc::default() }
    }

    /// Acquires a permit, unless there are too many.
    pub(super) fn acquire(&self, key: LimitKey) -> Option<ConcurrencyPermit> {
        let mut open = self.open.lock();
        let count = open.get(&key).copied().unwrap_or(0);
        if count >= self.most {
            return None;
        }
        open.insert(key, count + 1);
        Some(ConcurrencyPermit { key, open: Arc::clone(&self.open) })
    }
}

impl Drop for ConcurrencyPermit {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        match open.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                open.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_closes_one_may_open_another_and_nobody_is_remembered() {
        let streams = ConcurrencyLimit::at_most(2);
        let (one, other) = (LimitKey::Address(1), LimitKey::Address(2));
        let first = streams.acquire(one);
        let second = streams.acquire(one);
        assert!(first.is_some() && second.is_some() && streams.acquire(one).is_none());
        let elsewhere = streams.acquire(other);
        assert!(elsewhere.is_some());
        drop(first);
        assert!(streams.acquire(one).is_some());
        drop((second, elsewhere));
        assert!(streams.open.lock().is_empty());
    }
}
