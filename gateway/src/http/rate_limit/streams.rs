//! Live streams that are open at once, for each user or address: each is a task and a connection that
//! stay.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use jobs::UserId;

use crate::http::rate_limit::Slot;

/// Whose stream it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Whose {
    /// A user's, through whatever tokens.
    User(UserId),
    /// That of an address, opened with a link's key.
    Address(Slot),
}

/// Counts of open streams; who has none has no entry.
#[derive(Debug)]
pub(super) struct Streams {
    most: usize,
    open: Arc<Mutex<HashMap<Whose, usize>>>,
}

/// One open stream, until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenStream {
    whose: Whose,
    open: Arc<Mutex<HashMap<Whose, usize>>>,
}

impl Streams {
    pub(super) fn at_most(most: usize) -> Self {
        Self { most, open: Arc::default() }
    }

    /// Opens one more, unless there are too many.
    pub(super) fn open(&self, whose: Whose) -> Option<OpenStream> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(&whose).copied().unwrap_or(0);
        if count >= self.most {
            return None;
        }
        open.insert(whose, count + 1);
        Some(OpenStream { whose, open: Arc::clone(&self.open) })
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.whose) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                open.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_closes_one_may_open_another_and_nobody_is_remembered() {
        let streams = Streams::at_most(2);
        let (one, other) = (Whose::Address(1), Whose::Address(2));
        let first = streams.open(one);
        let second = streams.open(one);
        assert!(first.is_some() && second.is_some() && streams.open(one).is_none());
        let elsewhere = streams.open(other);
        assert!(elsewhere.is_some());
        drop(first);
        assert!(streams.open(one).is_some());
        drop((second, elsewhere));
        assert!(streams.open.lock().unwrap().is_empty());
    }
}
