//! Redelivers failed deliveries to the App's webhook. GitHub does not retry any by itself.

use std::collections::HashMap;

use http::Method;
use http::header::LINK;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use url::Url;

use super::{App, AppError, read};
use crate::api::below;
use crate::status::{StatusError, classify};

/// GitHub's largest page.
const PER_PAGE: &str = "100";
/// Pages read at most: a thousand attempts are hours of a busy App.
const MAX_PAGES: usize = 10;
/// GitHub repeats what is no older.
const OLDEST: SignedDuration = SignedDuration::from_hours(3 * 24);
/// Tries of one delivery, the first included. What fails so often fails for a reason of its own.
const MAX_TRIES: usize = 4;
/// Deliveries to be repeated at once; a later round takes the rest.
pub const MAX_AT_ONCE: usize = 50;

/// One attempt to deliver an event to the App's webhook.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DeliveryAttempt {
    /// Of this try.
    pub id: u64,
    /// Of the delivery: `X-GitHub-Delivery`, the same for all its tries.
    pub guid: String,
    /// When, by GitHub's clock.
    pub delivered_at: Timestamp,
    /// Our answer; 0 or absent when there was none.
    #[serde(default)]
    pub status_code: u16,
}

impl App {
    /// The newest tries to deliver something, newest first.
    pub async fn attempts(&self) -> Result<Vec<DeliveryAttempt>, AppError> {
        let mut all: Vec<DeliveryAttempt> = Vec::new();
        let mut cursor = None;
        for _ in 0..MAX_PAGES {
            let answer =
                self.api.ask(Method::GET, self.page_at(cursor.as_deref())?, &self.app_credential()?).await?;
            all.extend(read::<Vec<DeliveryAttempt>>(&answer, "with the deliveries")?);
            cursor = answer.headers.get(LINK).and_then(|link| next_cursor(link.to_str().ok()?));
            let reached = all.last().zip(all.first());
            if cursor.is_none() || reached.is_none_or(|(last, first)| is_too_old(last, first)) {
                break;
            }
        }
        Ok(all)
    }

    /// Requests a redelivery, under the same guid.
    pub async fn redeliver(&self, attempt: u64) -> Result<(), AppError> {
        let attempt = attempt.to_string();
        let url = below(&self.url, ["app", "hook", "deliveries", &attempt, "attempts"])?;
        let answer = self.api.ask(Method::POST, url, &self.app_credential()?).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        let error = match classify(answer.status, &answer.headers, &answer.body) {
            // A conflict is this attempt's own: the next one need not wait.
            StatusError::Retry { reason } if answer.status.is_client_error() => {
                StatusError::Refused { reason }
            }
            error => error,
        };
        Err(error.into())
    }

    fn page_at(&self, cursor: Option<&str>) -> Result<Url, StatusError> {
        let mut url = below(&self.url, ["app", "hook", "deliveries"])?;
        url.query_pairs_mut().append_pair("per_page", PER_PAGE);
        if let Some(cursor) = cursor {
            url.query_pairs_mut().append_pair("cursor", cursor);
        }
        Ok(url)
    }
}

/// The cursor of the next page. Only that is taken from the header, never its address.
fn next_cursor(link: &str) -> Option<String> {
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    let url = next.split_once('<')?.1.split_once('>')?.0;
    let url: Url = url.parse().ok()?;
    url.query_pairs().find(|(name, _)| name == "cursor").map(|(_, cursor)| cursor.into_owned())
}

/// Compared with the newest, so that only GitHub's clock matters.
fn is_too_old(attempt: &DeliveryAttempt, newest: &DeliveryAttempt) -> bool {
    newest.delivered_at.duration_since(attempt.delivered_at) > OLDEST
}

/// Whether an answer of ours is final: another attempt would be answered the same.
fn is_final_answer(status_code: u16) -> bool {
    matches!(status_code, 200..=299 | 400 | 403 | 413)
}

/// Of these tries (newest first), those to be repeated: the newest of each delivery that never arrived.
/// The oldest delivery first.
pub fn to_redeliver(attempts: &[DeliveryAttempt]) -> Vec<u64> {
    let Some(newest) = attempts.first() else { return Vec::new() };
    let mut tries: HashMap<&str, Vec<&DeliveryAttempt>> = HashMap::new();
    for attempt in attempts {
        tries.entry(&attempt.guid).or_default().push(attempt);
    }
    let failed = |tries: &&Vec<&DeliveryAttempt>| {
        tries.len() < MAX_TRIES && !tries.iter().any(|attempt| is_final_answer(attempt.status_code))
    };
    let mut failed: Vec<&DeliveryAttempt> = tries.values().filter(failed).map(|tries| tries[0]).collect();
    failed.retain(|attempt| !is_too_old(attempt, newest));
    failed.sort_by_key(|attempt| (attempt.delivered_at, attempt.id));
    failed.iter().map(|attempt| attempt.id).collect()
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    fn attempt(id: u64, guid: &str, status_code: u16) -> DeliveryAttempt {
        let delivered_at = Timestamp::from_second(1_700_000_000 + i64::try_from(id).unwrap()).unwrap();
        DeliveryAttempt { id, guid: guid.to_owned(), delivered_at, status_code }
    }

    #[test]
    fn the_newest_try_of_what_never_arrived_is_repeated() {
        let attempts = [
            attempt(9, "never", 0),
            attempt(8, "arrived later", 202),
            attempt(7, "never", 503),
            attempt(6, "another", 502),
            attempt(5, "arrived later", 503),
            attempt(4, "refused", 403),
        ];
        assert_eq!(to_redeliver(&attempts), [6, 9]);
        let often: Vec<DeliveryAttempt> = (0..4).rev().map(|id| attempt(id, "never", 500)).collect();
        assert!(to_redeliver(&often).is_empty());
        let old = [attempt(400_000, "now", 200), attempt(1, "then", 500)];
        assert!(to_redeliver(&old).is_empty());
    }

    #[test_case("<https://api.example/app/hook/deliveries?per_page=100&cursor=v1_17>; rel=\"next\"" => Some("v1_17".to_owned()))]
    #[test_case("<https://api.example/a?cursor=p>; rel=\"prev\", <https://api.example/a?cursor=n>; rel=\"next\"" => Some("n".to_owned()) ; "behind another")]
    #[test_case("<https://api.example/a?cursor=p>; rel=\"prev\"" => None ; "the last page")]
    #[test_case("nonsense" => None)]
    fn cursors(link: &str) -> Option<String> {
        next_cursor(link)
    }
}
