//! How a caller prefers to be answered: the `Prefer` header (RFC 7240), `respond-async` and `wait=<seconds>`.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::http::layers::MAX_WAIT_S;

/// The header (RFC 7240, section 2).
const PREFER: HeaderName = HeaderName::from_static("prefer");
/// The header of an answer that names what was followed (RFC 7240, section 3).
pub(super) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// For how long a caller waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) time: Duration,
    /// What of the caller's preferences was followed.
    pub(super) applied: Option<HeaderValue>,
}

impl Wait {
    /// What the caller prefers, else `usual`. Unknown preferences, and numbers that are none, are ignored, as the RFC
    /// says; of one that is repeated the first counts.
    pub(super) fn of(headers: &HeaderMap, usual: Duration) -> Self {
        let (mut is_async, mut seconds) = (false, None);
        let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        for preference in values.flat_map(|value| value.split(',')) {
            // What stands behind a semicolon are parameters, and neither has one.
            let preference = preference.split(';').next().unwrap_or_default();
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "respond-async" => is_async = true,
                "wait" if seconds.is_none() => seconds = value.parse::<u64>().ok(),
                _ => {}
            }
        }
        match (is_async, seconds) {
            (false, None) => Self { time: usual, applied: None },
            // Both together: asynchronous if it takes longer (RFC 7240, section 4.3).
            (_, Some(seconds)) => {
                let seconds = seconds.min(MAX_WAIT_S);
                let applied = HeaderValue::try_from(format!("wait={seconds}")).ok();
                Self { time: Duration::from_secs(seconds), applied }
            }
            (true, None) => {
                Self { time: Duration::ZERO, applied: Some(HeaderValue::from_static("respond-async")) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case(&[] => (30, None) ; "nothing")]
    #[test_case(&["respond-async"] => (0, Some("respond-async".into())))]
    #[test_case(&["wait=5"] => (5, Some("wait=5".into())))]
    #[test_case(&["Wait = \"5\""] => (5, Some("wait=5".into())) ; "quoted")]
    #[test_case(&["respond-async, wait=10"] => (10, Some("wait=10".into())) ; "async if it takes longer")]
    #[test_case(&["wait=3", "wait=4"] => (3, Some("wait=3".into())) ; "the first counts")]
    #[test_case(&["wait=9999999"] => (300, Some("wait=300".into())) ; "the longest")]
    #[test_case(&["wait=-1, handling=lenient"] => (30, None) ; "ignored")]
    #[test_case(&["return=minimal; foo=\"wait=1\""] => (30, None) ; "a parameter")]
    fn preferences(values: &[&str]) -> (u64, Option<String>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(PREFER, value.parse().unwrap());
        }
        let wait = Wait::of(&headers, Duration::from_secs(30));
        (wait.time.as_secs(), wait.applied.map(|applied| applied.to_str().unwrap().to_owned()))
    }
}
