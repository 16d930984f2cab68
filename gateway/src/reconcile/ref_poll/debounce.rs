//! Debounces differences between a forge's refs and `heads`: a delivery may still be on its way.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use hooks::GitRef;
use jobs::CommitSha;

/// How a ref differs: its commit at the forge (`None`: it was deleted), and the revision of our entry, 0 for
/// none.
pub(super) type Difference = (Option<CommitSha>, u64);

/// Differences that a delivery may still explain.
#[derive(Debug, Default)]
pub(super) struct Debouncer {
    pending: HashMap<GitRef, (Difference, Instant)>,
}

impl Debouncer {
    /// Whether this difference has been the same for as long as `debounce`.
    pub(super) fn is_stable(
        &mut self,
        reference: &GitRef,
        difference: &Difference,
        debounce: Duration,
        now: Instant,
    ) -> bool {
        let pending = self.pending.entry(reference.clone()).or_insert_with(|| (difference.clone(), now));
        if pending.0 != *difference {
            *pending = (difference.clone(), now);
        }
        now.duration_since(pending.1) >= debounce
    }

    /// Drops a difference that was explained or acted on.
    pub(super) fn clear(&mut self, reference: &GitRef) {
        self.pending.remove(reference);
    }

    pub(super) fn retain(&mut self, wanted: impl Fn(&GitRef) -> bool) {
        self.pending.retain(|reference, _| wanted(reference));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_the_same_for_long_enough_is_missed() {
        let (mut debouncer, begin, debounce) =
            (Debouncer::default(), Instant::now(), Duration::from_secs(20));
        let main: GitRef = "refs/heads/main".parse().unwrap();
        let new = |digit: &str, revision| (digit.repeat(40).parse().ok(), revision);
        let mut at = |seconds, difference: &Difference| {
            debouncer.is_stable(&main, difference, debounce, begin + Duration::from_secs(seconds))
        };
        assert!(!at(0, &new("a", 1)));
        assert!(!at(19, &new("a", 1)));
        // Its delivery came, and another push meanwhile.
        assert!(!at(21, &new("b", 2)));
        assert!(!at(40, &new("b", 2)));
        assert!(at(41, &new("b", 2)));
        debouncer.clear(&main);
        assert!(debouncer.is_empty());
        assert!(debouncer.is_stable(&main, &(None, 3), Duration::ZERO, begin));
    }
}
