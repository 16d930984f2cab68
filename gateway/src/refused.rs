//! Deliveries that nobody signed: they leave nothing in NATS, so that a stranger cannot fill it.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use serde::Serialize;

/// Enough for an operator to see what a wrongly configured hook sends.
const KEPT: usize = 100;

/// One that was refused before it was believed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Refused {
    /// By this machine's clock; for people.
    pub(crate) at: Timestamp,
    pub(crate) hook: String,
    pub(crate) reason: String,
}

/// The last of them, in memory.
#[derive(Debug, Default)]
pub(crate) struct LastRefused(Mutex<VecDeque<Refused>>);

impl LastRefused {
    pub(crate) fn note(&self, hook: &str, reason: &str) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(Refused { at: Timestamp::now(), hook: hook.to_owned(), reason: reason.to_owned() });
    }

    /// Newest first.
    pub(crate) fn all(&self) -> Vec<Refused> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_hundred_are_kept() {
        let refused = LastRefused::default();
        (0..KEPT + 5).for_each(|n| refused.note(&n.to_string(), "wrong signature"));
        let all = refused.all();
        assert_eq!((all.len(), all[0].hook.as_str(), all[KEPT - 1].hook.as_str()), (KEPT, "104", "5"));
    }
}
