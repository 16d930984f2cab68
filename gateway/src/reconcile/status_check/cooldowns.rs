//! Forge hosts that asked for a pause (`Retry-After`).

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use url::Url;

/// Until when each host is not asked.
#[derive(Debug, Default)]
pub(super) struct HostCooldowns(Mutex<HashMap<String, Instant>>);

impl HostCooldowns {
    /// The remaining cool-down of this API's host.
    pub(super) fn remaining(&self, api: &Url, now: Instant) -> Option<Duration> {
        let mut until = self.0.lock();
        until.retain(|_, until| *until > now);
        until.get(&host(api)).map(|until| *until - now)
    }

    /// Starts or extends the cool-down of this API's host.
    pub(super) fn add(&self, api: &Url, wait: Duration, now: Instant) {
        let mut until = self.0.lock();
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
        let (cooldowns, now) = (HostCooldowns::default(), Instant::now());
        let (api, other): (Url, Url) =
            ("https://git.example/api/v1".parse().unwrap(), "https://git.example:8443/".parse().unwrap());
        cooldowns.add(&api, Duration::from_secs(60), now);
        cooldowns.add(&api, Duration::from_secs(5), now);
        assert_eq!(cooldowns.remaining(&api, now), Some(Duration::from_secs(60)));
        assert_eq!(cooldowns.remaining(&other, now), None);
        assert_eq!(cooldowns.remaining(&api, now + Duration::from_secs(60)), None);
    }
}
