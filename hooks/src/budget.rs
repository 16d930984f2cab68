//! The remaining request budget that a forge reports in its rate limit headers.
//!
//! GitHub sends it with every response: how many of an hour's requests remain, and until when. It is kept
//! for each host and token until the forge's window ends, and consulted before a request that can wait.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::status::date;

/// The longest window accepted: GitHub's is an hour.
const MAX_WINDOW: Duration = Duration::from_secs(3600);

/// How much of a window's requests is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Requests of the whole window.
    pub limit: u64,
    /// Those that are left of them.
    pub remaining: u64,
    /// When the window ends.
    pub until: Instant,
}

impl Budget {
    /// Whether less than a fifth is left.
    pub fn is_low(&self) -> bool {
        self.remaining < self.limit / 5
    }

    /// The budget that a response reports, if it reports one.
    fn of(headers: &HeaderMap, now: Instant) -> Option<Self> {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
        let (limit, remaining) = (number("x-ratelimit-limit")?, number("x-ratelimit-remaining")?);
        // Both times are the forge's own: no clocks are compared.
        let left = number("x-ratelimit-reset")? - date(headers)?;
        let left = Duration::from_secs(u64::try_from(left).ok()?).min(MAX_WINDOW);
        Some(Self {
            limit: u64::try_from(limit).ok()?,
            remaining: u64::try_from(remaining).ok()?,
            until: now + left,
        })
    }
}

/// A host and a token that is shown there; the token only as a digest.
type Key = (String, [u8; 8]);

/// The newest budget of every forge and token.
#[derive(Debug, Clone, Default)]
pub(crate) struct Budgets(Arc<Mutex<HashMap<Key, Budget>>>);

fn key(url: &Url, token: &[u8]) -> Key {
    let mut digest = [0; 8];
    digest.copy_from_slice(&Sha256::digest(token)[..8]);
    let port = url.port_or_known_default().unwrap_or_default();
    (format!("{}:{port}", url.host_str().unwrap_or_default()), digest)
}

impl Budgets {
    /// Records the budget that a response reports.
    pub(crate) fn note(&self, url: &Url, token: &[u8], headers: &HeaderMap, now: Instant) {
        let Some(budget) = Budget::of(headers, now) else { return };
        let mut all = self.0.lock();
        all.retain(|_, budget| budget.until > now);
        all.insert(key(url, token), budget);
    }

    /// What is left, while its window lasts.
    pub(crate) fn left(&self, url: &Url, token: &[u8], now: Instant) -> Option<Budget> {
        let all = self.0.lock();
        all.get(&key(url, token)).copied().filter(|budget| budget.until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(remaining: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("date", "Tue, 24 Nov 2026 06:00:00 GMT"),
            ("x-ratelimit-limit", "5000"),
            ("x-ratelimit-remaining", remaining),
            ("x-ratelimit-reset", "1795500090"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_newest_budget_counts_while_its_window_lasts() {
        let (budgets, now) = (Budgets::default(), Instant::now());
        let url: Url = "https://api.example/repos/a/b".parse().unwrap();
        budgets.note(&url, b"t", &headers("1000"), now);
        budgets.note(&url, b"t", &headers("999"), now);
        let left = budgets.left(&url, b"t", now).unwrap();
        assert_eq!((left.limit, left.remaining, left.is_low()), (5000, 999, true));
        assert_eq!(left.until - now, Duration::from_secs(90));
        assert_eq!(budgets.left(&url, b"another", now), None);
        assert_eq!(budgets.left(&url, b"t", now + Duration::from_secs(90)), None);
        budgets.note(&url, b"t", &headers("1000"), now);
        assert!(!budgets.left(&url, b"t", now).unwrap().is_low(), "a fifth is not less than a fifth");
    }

    #[test]
    fn a_forge_that_reports_nothing_has_no_budget() {
        assert_eq!(Budget::of(&HeaderMap::new(), Instant::now()), None);
        assert_eq!(Budget::of(&headers("many"), Instant::now()), None);
    }
}
