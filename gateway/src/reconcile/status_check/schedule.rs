//! When the posted status of a commit is checked, and after which results again.

use std::time::{Duration, Instant};

use crate::{
    backoff,
    index::statuses::{MAX_REJECTIONS, StatusIssue},
    reconcile::status_check::check::{CheckPass, CheckResult},
};

/// Delay of the first check after a status was posted: most forges have processed an unanswered request by
///
/// then.
const FIRST_CHECK: Duration = Duration::from_secs(20);
/// Delay of the second check, when a request went unanswered.
const SECOND_CHECK: Duration = Duration::from_secs(600);
/// Delays before each repost of a rejected final status; then it is not retried.
const REPOST_AFTER: [Duration; MAX_REJECTIONS as usize] = [
    Duration::from_secs(30),
    Duration::from_secs(300),
    Duration::from_secs(3600),
    Duration::from_secs(6 * 3600),
];
/// The longest delay between two tries of an unreachable forge.
const MAX_BACKOFF: Duration = Duration::from_secs(3600);
/// When a commit is checked next.
#[derive(Debug, Clone, Copy)]
pub(super) struct ScheduledCheck {
    /// The final status that is checked.
    pub(super) issue: StatusIssue,
    pub(super) at: Instant,
    pub(super) pass: CheckPass,
    pub(super) is_running: bool,
    failures: u32,
}

impl ScheduledCheck {
    pub(super) fn new(issue: StatusIssue, now: Instant) -> Self {
        let again = issue.rejections.checked_sub(1).and_then(|n| REPOST_AFTER.get(n as usize));
        let at = now + again.copied().unwrap_or(FIRST_CHECK);
        Self { issue, at, pass: CheckPass::First, is_running: false, failures: 0 }
    }

    /// Schedules what follows a result.
    pub(super) fn after(&mut self, check: CheckResult, now: Instant) {
        self.is_running = false;
        self.at = now
            + match check {
                // The index drops it, or another answer of the forge makes a new issue of it.
                CheckResult::Done | CheckResult::Reposted => FIRST_CHECK,
                CheckResult::Verified => {
                    self.pass = CheckPass::Second;
                    SECOND_CHECK
                }
                CheckResult::Retry(asked) => {
                    self.failures = self.failures.saturating_add(1);
                    asked.unwrap_or_else(|| backoff::delay(FIRST_CHECK, self.failures, MAX_BACKOFF))
                }
            };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(rejections: u32) -> (ScheduledCheck, Instant) {
        let now = Instant::now();
        (ScheduledCheck::new(StatusIssue { rejections, revision: 7 }, now), now)
    }

    #[test]
    fn an_end_that_was_refused_is_said_again_after_longer_and_longer_waits() {
        for (rejections, wait) in (1..).zip(REPOST_AFTER) {
            let (due, now) = due(rejections);
            assert_eq!(due.at - now, wait);
        }
    }

    #[test]
    fn what_is_shown_is_looked_at_once_more_and_a_silent_forge_less_and_less_often() {
        let (mut due, now) = due(0);
        assert_eq!((due.at - now, due.pass), (FIRST_CHECK, CheckPass::First));
        for wait in [20, 40, 80] {
            due.after(CheckResult::Retry(None), now);
            assert_eq!(due.at - now, Duration::from_secs(wait));
        }
        due.after(CheckResult::Retry(Some(Duration::from_secs(90))), now);
        assert_eq!(due.at - now, Duration::from_secs(90));
        due.after(CheckResult::Verified, now);
        assert_eq!((due.at - now, due.pass), (SECOND_CHECK, CheckPass::Second));
        assert_eq!(backoff::delay(FIRST_CHECK, 99, MAX_BACKOFF), MAX_BACKOFF);
    }
}
