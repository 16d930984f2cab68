//! GitHub's rate limits: how much content may be created in a minute and in an hour, and how many of the
//! hour's requests remain.
//!
//! Neither is enforced until a test says so. What an App makes counts for the owner of the
//! repositories, whichever token it has at the moment. What was refused is not counted, so that
//! `retry-after` is true.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, Method, StatusCode};
use jiff::{Timestamp, fmt::rfc2822::DateTimePrinter};
use serde_json::json;

use super::{FakeForge, Requester, ServerState, token_rights::token};

/// The requests of an hour that GitHub gives to everybody.
const HOURLY: u64 = 5000;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Limits {
    content: Option<Content>,
    budget: Option<Budget>,
    /// Requests that were refused for a limit.
    hits: usize,
}

/// The content that was made, by whose limit it counts against.
#[derive(Debug)]
struct Content {
    /// So many within so long.
    windows: [(usize, Duration); 2],
    made: HashMap<String, Vec<Instant>>,
}

/// The requests that remain of an hour's, whoever asks.
#[derive(Debug, Clone, Copy)]
struct Budget {
    limit: u64,
    remaining: u64,
    resets: Timestamp,
}

impl Content {
    fn new(minute: Duration, per_minute: usize, per_hour: usize) -> Self {
        Self { windows: [(per_minute, minute), (per_hour, minute * 60)], made: HashMap::new() }
    }

    /// Counts one more, or tells how long there is no room for it.
    fn count(&mut self, account: String, now: Instant) -> Result<(), Duration> {
        let made = self.made.entry(account).or_default();
        let waits = self.windows.iter().filter_map(|(most, window)| {
            let inside: Vec<Instant> =
                made.iter().copied().filter(|at| now.duration_since(*at) < *window).collect();
            let over = inside.len().checked_sub(*most)?;
            // There is room again once this one has left the window.
            Some(inside.get(over).map_or(*window, |at| *window - now.duration_since(*at)))
        });
        if let Some(wait) = waits.max() {
            return Err(wait);
        }
        made.push(now);
        Ok(())
    }
}

impl FakeForge {
    /// From now on GitHub's API takes so many statuses and check runs of a token, and no more.
    pub fn limits_content(&self, per_minute: usize, per_hour: usize) {
        self.limits_content_in(MINUTE, per_minute, per_hour);
    }

    /// The same with another minute, and an hour of sixty of them.
    pub fn limits_content_in(&self, minute: Duration, per_minute: usize, per_hour: usize) {
        self.state.limits.lock().content = Some(Content::new(minute, per_minute, per_hour));
    }

    /// How many requests met a limit so far.
    pub fn limit_hits(&self) -> usize {
        self.state.limits.lock().hits
    }

    /// So many requests remain of the hour, which ends in an hour. Each takes one; when none remains,
    /// they are refused.
    pub fn remaining_budget(&self, requests: u64) {
        self.remaining_budget_for(HOUR, requests);
    }

    /// The same for an hour that ends so soon.
    pub fn remaining_budget_for(&self, time: Duration, requests: u64) {
        let resets = Timestamp::now() + time;
        let budget = Budget { limit: requests.max(HOURLY), remaining: requests, resets };
        self.state.limits.lock().budget = Some(budget);
    }
}

impl ServerState {
    /// Takes a request from the hour's; the answer when none remains.
    pub(super) fn spent(&self) -> Option<Response> {
        let mut limits = self.limits.lock();
        if limits.budget.is_some_and(|budget| budget.resets <= Timestamp::now()) {
            limits.budget = None;
        }
        let budget = limits.budget.as_mut()?;
        if budget.remaining > 0 {
            budget.remaining -= 1;
            return None;
        }
        limits.hits += 1;
        Some(refused("API rate limit exceeded for user ID 1.", ""))
    }

    /// The answer to who makes too much content.
    pub(super) fn limited(
        &self,
        who: &Requester,
        method: &Method,
        path: &[&str],
        headers: &HeaderMap,
    ) -> Option<Response> {
        let ["repos", owner, _, "statuses" | "check-runs", ..] = path else { return None };
        if *method != Method::POST && *method != Method::PATCH {
            return None;
        }
        let account = match who {
            Requester::Installation(_) => format!("owner {owner}"),
            Requester::Anonymous | Requester::InvalidToken | Requester::User(_) | Requester::App => {
                token(headers).unwrap_or_default()
            }
        };
        let mut limits = self.limits.lock();
        let wait = limits.content.as_mut()?.count(account, Instant::now()).err()?;
        limits.hits += 1;
        drop(limits);
        let message = "You have exceeded a secondary rate limit and have been temporarily blocked from content \
                       creation. Please retry your request again later.";
        let mut answer = refused(message, "#about-secondary-rate-limits");
        // Whole seconds, and never too early.
        let wait_s = wait.as_secs() + 1;
        answer.headers_mut().insert("retry-after", wait_s.into());
        Some(answer)
    }

    /// What each answer of GitHub's API says of the time and the hour's requests, unless it says
    /// something else.
    pub(super) fn stamp(&self, headers: &mut HeaderMap) {
        let now = Timestamp::now();
        let full = Budget { limit: HOURLY, remaining: HOURLY, resets: now + HOUR };
        let budget = self.limits.lock().budget.unwrap_or(full);
        let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&now).expect("these years have dates");
        for (name, value) in [
            ("date", date),
            ("x-ratelimit-limit", budget.limit.to_string()),
            ("x-ratelimit-remaining", budget.remaining.to_string()),
            ("x-ratelimit-used", (budget.limit - budget.remaining).to_string()),
            ("x-ratelimit-reset", budget.resets.as_second().to_string()),
            ("x-ratelimit-resource", "core".to_owned()),
        ] {
            headers.entry(name).or_insert(value.parse().expect("a header's value"));
        }
    }
}

/// How GitHub refuses for a limit.
fn refused(message: &str, about: &str) -> Response {
    let documentation = format!("https://docs.github.com/rest/overview/rate-limits-for-the-rest-api{about}");
    let body = json!({ "message": message, "documentation_url": documentation, "status": "403" });
    (StatusCode::FORBIDDEN, Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_counted_in_a_minute_and_in_an_hour_for_each_account() {
        let mut content = Content::new(MINUTE, 2, 3);
        let begun = Instant::now();
        let mut count = |account: &str, second| {
            content
                .count(account.to_owned(), begun + Duration::from_secs(second))
                .map_err(|wait| wait.as_secs())
        };
        let all = [
            count("a", 0),
            count("a", 10),
            count("a", 20),
            count("b", 20),
            count("a", 60),
            count("a", 120),
            count("a", 3600),
        ];
        assert_eq!(all, [Ok(()), Ok(()), Err(40), Ok(()), Ok(()), Err(3480), Ok(())]);
    }

    #[test]
    fn no_content_at_all_may_be_allowed() {
        let mut content = Content::new(MINUTE, 0, 10);
        assert_eq!(content.count("a".to_owned(), Instant::now()), Err(MINUTE));
    }

    #[tokio::test]
    async fn a_limit_is_told_with_what_remains() {
        let forge = FakeForge::start().await;
        let repository = forge.repository("name").await;
        let commit = repository.push(crate::Function::python("print(1)")).await;
        let client = reqwest::Client::builder().no_proxy().user_agent("tests").build().unwrap();
        let address = format!("{}/repos/acme/name/statuses/{}", forge.url(), commit.sha);
        let post = async || {
            let request = client.post(&address).bearer_auth(crate::fake_forge::TOKEN);
            let answer = request.json(&json!({ "state": "pending" })).send().await.unwrap();
            let header =
                |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            let (remaining, after) = (header("x-ratelimit-remaining"), header("retry-after"));
            (answer.status().as_u16(), remaining.unwrap().parse::<u64>().unwrap(), after.is_some())
        };
        assert_eq!(post().await, (201, 5000, false));
        forge.limits_content(1, 500);
        forge.remaining_budget(2);
        assert_eq!(post().await, (201, 1, false));
        assert_eq!(post().await, (403, 0, true));
        assert_eq!(post().await, (403, 0, false));
        assert_eq!((forge.limit_hits(), forge.statuses(&commit).len()), (2, 2));
    }
}
