//! Tokens that were good here a while ago.
//!
//! Where an address failed too often, its neighbours behind the same proxy or NAT must not be shut out
//! with it: whoever showed a good token lately is let through to the check itself. This is no
//! judgement about a token, which is read from the leader with every request.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use sha2::{Digest as _, Sha256};

/// As long as a bearer token of a sign-in is good.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// Tokens remembered at once, 48 bytes each. Beyond it a new one counts as unknown.
const MOST: usize = 100_000;

/// Digests of tokens, and when each was last good.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<[u8; 32], Instant>>);

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

impl Known {
    pub(super) fn note(&self, token: &str, now: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = digest(token);
        if known.len() < MOST || known.contains_key(&digest) {
            known.insert(digest, now);
        }
    }

    pub(super) fn has(&self, token: &str, now: Instant) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&digest(token)).is_some_and(|last| now.duration_since(*last) < REMEMBERED)
    }

    /// It is good no more.
    pub(super) fn forget(&self, token: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest(token));
    }

    pub(super) fn forget_idle(&self, now: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, last| now.duration_since(*last) < REMEMBERED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_token_is_remembered_for_an_hour() {
        let known = Known::default();
        let start = Instant::now();
        known.note("a", start);
        assert!(known.has("a", start + Duration::from_secs(3599)) && !known.has("b", start));
        assert!(!known.has("a", start + REMEMBERED));
        known.note("b", start);
        known.forget("b");
        assert!(!known.has("b", start));
    }
}
