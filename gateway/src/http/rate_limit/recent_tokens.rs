//! Tokens that were valid recently.
//!
//! When an address has failed too often, other users behind the same proxy or NAT must not be shut out with
//! it: a request with a recently valid token goes on to authentication. This does not authenticate the token,
//! which is read from the leader with every request.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

/// The lifetime of a session's bearer token.
const TTL: Duration = Duration::from_secs(3600);
/// Tokens remembered at once, 48 bytes each. Beyond it a new one is not remembered.
const MOST: usize = 100_000;

/// Digests of tokens, and when each was last valid.
#[derive(Debug, Default)]
pub(super) struct RecentTokens(Mutex<HashMap<[u8; 32], Instant>>);

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

impl RecentTokens {
    pub(super) fn note(&self, token: &str, now: Instant) {
        let mut known = self.0.lock();
        let digest = digest(token);
        if known.len() < MOST || known.contains_key(&digest) {
            known.insert(digest, now);
        }
    }

    pub(super) fn has(&self, token: &str, now: Instant) -> bool {
        let known = self.0.lock();
        known.get(&digest(token)).is_some_and(|last| now.duration_since(*last) < TTL)
    }

    /// Forgets a token that is not valid any more.
    pub(super) fn forget(&self, token: &str) {
        self.0.lock().remove(&digest(token));
    }

    pub(super) fn evict_idle(&self, now: Instant) {
        let mut known = self.0.lock();
        known.retain(|_, last| now.duration_since(*last) < TTL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_token_is_remembered_for_an_hour() {
        let known = RecentTokens::default();
        let start = Instant::now();
        known.note("a", start);
        assert!(known.has("a", start + Duration::from_secs(3599)) && !known.has("b", start));
        assert!(!known.has("a", start + TTL));
        known.note("b", start);
        known.forget("b");
        assert!(!known.has("b", start));
    }
}
