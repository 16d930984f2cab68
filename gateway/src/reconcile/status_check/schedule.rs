//! Forges that asked to be left alone for a while.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use url::Url;

/// Until when which host is not asked.
#[derive(Debug, Default)]
pub(super) struct Pauses(Mutex<HashMap<String, Instant>>);

impl Pauses {
    /// How long this API is still to be left alone.
    pub(super) fn left(&self, api: &Url, now: Instant) -> Option<Duration> {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.retain(|_, until| *until > now);
        until.get(&host(api)).map(|until| *until - now)
    }

    /// It asked to be left alone for so long.
    pub(super) fn add(&self, api: &Url, wait: Duration, now: Instant) {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = until.entry(host(api)).or_insert(now);
        *at = (*at).max(now + wait);
    }
}

fn host(api: &Url) -> String {
    format!("{}:{}", api.host_str().unwrap_or_default(), api.port_or_known_default().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_left_alone_for_the_longest_that_it_asked_for() {
        let (pauses, now) = (Pauses::default(), Instant::now());
        let (api, other): (Url, Url) =
            ("https://git.example/api/v1".parse().unwrap(), "https://git.example:8443/".parse().unwrap());
        pauses.add(&api, Duration::from_secs(60), now);
        pauses.add(&api, Duration::from_secs(5), now);
        assert_eq!(pauses.left(&api, now), Some(Duration::from_secs(60)));
        assert_eq!(pauses.left(&other, now), None);
        assert_eq!(pauses.left(&api, now + Duration::from_secs(60)), None);
    }
}
