//! Classifies the error of a request to a forge by what to do about it.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

/// The wait after a secondary rate limit of GitHub without a time.
const SECONDARY_WAIT: Duration = Duration::from_secs(60);
/// The longest wait accepted: GitHub's window is an hour.
const MAX_WAIT: Duration = Duration::from_secs(3600);
/// How much of a forge's message is kept, in characters.
const MAX_REASON_CHARS: usize = 300;

/// A request that the forge did not accept. The variant says how to proceed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatusError {
    /// The forge is asked too often: nothing to this forge before the time is over.
    #[error("the forge asks to wait {} s: {reason}", wait.as_secs())]
    RetryAfter {
        /// How long.
        wait: Duration,
        /// What the forge said.
        reason: String,
    },
    /// The forge is out of reach or broken: again with back-off. Whether the status was stored is not
    /// known; posting it twice does no harm.
    #[error("{reason}")]
    Retry {
        /// What went wrong.
        reason: String,
    },
    /// The token is not or no longer good: a fresh one may be, the same one never.
    #[error("the forge does not take the token: {reason}")]
    Unauthorized {
        /// What the forge said.
        reason: String,
    },
    /// Never again: no such repository or commit, no right, too many statuses, an address not allowed.
    #[error("the forge refuses the status: {reason}")]
    Refused {
        /// What the forge said.
        reason: String,
    },
    /// The repository is elsewhere, on another host or behind too many redirects. No token was sent
    /// there; the registration must be changed.
    #[error("the repository has moved to {to}")]
    Moved {
        /// Where the forge pointed.
        to: String,
    },
}

/// Classifies a response that is neither a success nor a redirect.
pub(crate) fn classify(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> StatusError {
    let reason = reason(status, body);
    if matches!(status.as_u16(), 403 | 429)
        && let Some(wait) = wait(status, headers, &reason)
    {
        return StatusError::RetryAfter { wait: wait.clamp(Duration::from_secs(1), MAX_WAIT), reason };
    }
    match status.as_u16() {
        401 => StatusError::Unauthorized { reason },
        // 503 with a time is a forge under maintenance.
        500.. => match seconds(headers, "retry-after") {
            Some(wait) => {
                StatusError::RetryAfter { wait: wait.clamp(Duration::from_secs(1), MAX_WAIT), reason }
            }
            None => StatusError::Retry { reason },
        },
        // The request was not looked at, or met another one of ours.
        408 | 409 | 425 => StatusError::Retry { reason },
        _ => StatusError::Refused { reason },
    }
}

/// GitHub's order: `retry-after`, else the end of the window when nothing remains of it, else a
/// minute when it is a limit at all; a plain 403 is a missing right.
fn wait(status: StatusCode, headers: &HeaderMap, reason: &str) -> Option<Duration> {
    if let Some(wait) = seconds(headers, "retry-after") {
        return Some(wait);
    }
    if number(headers, "x-ratelimit-remaining") == Some(0)
        && let Some(reset) = number(headers, "x-ratelimit-reset")
    {
        // Both times are the forge's own; without its date the limit is treated as one without a time.
        let left = date(headers).map(|now| u64::try_from(reset - now).unwrap_or(0));
        return Some(left.map_or(SECONDARY_WAIT, Duration::from_secs));
    }
    let lower = reason.to_ascii_lowercase();
    let limited =
        status == StatusCode::TOO_MANY_REQUESTS || lower.contains("rate limit") || lower.contains("abuse");
    limited.then_some(SECONDARY_WAIT)
}

fn number(headers: &HeaderMap, name: &str) -> Option<i64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// `retry-after` in seconds, or as a date (RFC 9110, 10.2.3).
fn seconds(headers: &HeaderMap, name: &str) -> Option<Duration> {
    if let Some(seconds) = number(headers, name) {
        return u64::try_from(seconds).ok().map(Duration::from_secs);
    }
    let until = http_date(headers.get(name)?.to_str().ok()?)?;
    u64::try_from(until - date(headers)?).ok().map(Duration::from_secs)
}

/// When the answer was made, by the forge's clock, in Unix seconds.
pub(crate) fn date(headers: &HeaderMap) -> Option<i64> {
    http_date(headers.get(http::header::DATE)?.to_str().ok()?)
}

fn http_date(text: &str) -> Option<i64> {
    jiff::fmt::rfc2822::parse(text).ok().map(|at| at.timestamp().as_second())
}

/// The forge's message and its details, on one line; else the status alone.
fn reason(status: StatusCode, body: &[u8]) -> String {
    let said: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let mut parts = vec![status.to_string()];
    for key in ["message", "error"] {
        match &said[key] {
            serde_json::Value::Null => {}
            serde_json::Value::String(text) => parts.push(text.clone()),
            other => parts.push(other.to_string()),
        }
    }
    for detail in said["errors"].as_array().into_iter().flatten() {
        let text = detail.as_str().or_else(|| detail["message"].as_str()).or_else(|| detail["code"].as_str());
        parts.extend(text.map(str::to_owned));
    }
    let line = parts.join(": ");
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_REASON_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    const DATE: (&str, &str) = ("date", "Tue, 24 Nov 2026 06:00:00 GMT");
    const RESET: &str = "1795500090"; // a minute and a half later

    #[test_case(429, &[("retry-after", "7")], "{}" => "wait 7"; "told how long")]
    #[test_case(403, &[("retry-after", "7")], "{}" => "wait 7"; "told how long with 403")]
    #[test_case(403, &[("retry-after", "999999")], "{}" => "wait 3600"; "not for ever")]
    #[test_case(403, &[("retry-after", "0")], "{}" => "wait 1"; "not at once")]
    #[test_case(429, &[DATE, ("retry-after", "Tue, 24 Nov 2026 06:00:30 GMT")], "{}" => "wait 30"; "told until when")]
    #[test_case(403, &[DATE, ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", RESET)], "{}" => "wait 90"; "primary")]
    #[test_case(403, &[("x-ratelimit-remaining", "12")], r#"{"message":"You have exceeded a secondary rate limit"}"# => "wait 60"; "secondary")]
    #[test_case(403, &[], r#"{"message":"You have triggered an abuse detection mechanism"}"# => "wait 60"; "abuse")]
    #[test_case(429, &[], "" => "wait 60"; "no word")]
    #[test_case(403, &[("x-ratelimit-remaining", "12")], r#"{"message":"Resource not accessible by integration"}"# => "the forge refuses the status: 403 Forbidden: Resource not accessible by integration"; "no right")]
    #[test_case(401, &[], r#"{"message":"Bad credentials"}"# => "the forge does not take the token: 401 Unauthorized: Bad credentials"; "token")]
    #[test_case(404, &[], r#"{"message":"Not Found"}"# => "the forge refuses the status: 404 Not Found: Not Found"; "gone")]
    #[test_case(422, &[], r#"{"message":"Validation Failed","errors":[{"message":"This SHA and context has reached the maximum number of statuses."}]}"# => "the forge refuses the status: 422 Unprocessable Entity: Validation Failed: This SHA and context has reached the maximum number of statuses."; "full")]
    #[test_case(500, &[], "" => "500 Internal Server Error"; "broken")]
    #[test_case(502, &[], "<html>" => "502 Bad Gateway"; "html")]
    #[test_case(503, &[("retry-after", "20")], "" => "wait 20"; "maintenance")]
    fn judged(status: u16, headers: &[(&'static str, &str)], body: &str) -> String {
        let headers =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        match classify(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes()) {
            StatusError::RetryAfter { wait, .. } => format!("wait {}", wait.as_secs()),
            other => other.to_string(),
        }
    }
}
