//! What looks like a missed push, and since when.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use hooks::GitRef;
use jobs::CommitSha;

/// How a ref differs: what the forge has (nothing: it was removed), and the revision of our entry, 0 for
/// none.
pub(super) type Difference = (Option<CommitSha>, u64);

/// Differences that may still be explained by a delivery.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    seen: HashMap<GitRef, (Difference, Instant)>,
}

impl Suspects {
    /// Whether this difference has been there, unchanged, for as long as `settle`.
    pub(super) fn is_ripe(
        &mut self,
        reference: &GitRef,
        difference: &Difference,
        settle: Duration,
        now: Instant,
    ) -> bool {
        let seen = self.seen.entry(reference.clone()).or_insert_with(|| (difference.clone(), now));
        if seen.0 != *difference {
            *seen = (difference.clone(), now);
        }
        now.duration_since(seen.1) >= settle
    }

    /// It was explained, or acted on.
    pub(super) fn clear(&mut self, reference: &GitRef) {
        self.seen.remove(reference);
    }

    pub(super) fn keep(&mut self, wanted: impl Fn(&GitRef) -> bool) {
        self.seen.retain(|reference, _| wanted(reference));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_the_same_for_long_enough_is_missed() {
        let (mut suspects, begin, settle) = (Suspects::default(), Instant::now(), Duration::from_secs(20));
        let main: GitRef = "refs/heads/main".parse().unwrap();
        let new = |digit: &str, revision| (digit.repeat(40).parse().ok(), revision);
        let mut at = |seconds, difference: &Difference| {
            suspects.is_ripe(&main, difference, settle, begin + Duration::from_secs(seconds))
        };
        assert!(!at(0, &new("a", 1)));
        assert!(!at(19, &new("a", 1)));
        // Its delivery came, and another push meanwhile.
        assert!(!at(21, &new("b", 2)));
        assert!(!at(40, &new("b", 2)));
        assert!(at(41, &new("b", 2)));
        suspects.clear(&main);
        assert!(suspects.is_empty());
        assert!(suspects.is_ripe(&main, &(None, 3), Duration::ZERO, begin));
    }
}
