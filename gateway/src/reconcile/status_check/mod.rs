//! Whether forges show what they were told.
//!
//! A forge may store a request long after it failed to answer it: then an older state stands after a newer
//! one, and nothing on our side says so. And it may refuse today what it takes tomorrow, when a right was
//! given back or a commit has arrived. So the end of every job is read back once, and once more much later
//! when a request about its commit went unanswered; what differs is posted again, and an end that was
//! refused is said again a few times.
//!
//! Candidates come from the index, decisions from the leader. Whoever reconciles does this; the requests
//! to forges run beside his rounds.

use hooks::{checks::CheckClient, status::StatusClient};
use jobs::Ledger;

use crate::{
    index::{
        Index,
        status_issue::{MAX_REFUSALS, StatusIssue},
    },
    metrics::Metrics,
    page_urls::PageUrls,
    repos::Registrations,
};

mod check;
mod schedule;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use check::{Look, Which, look};
use schedule::Pauses;
use tokio::task::JoinSet;

use crate::index::IndexError;

/// After this long what was posted is read back: a request that went unanswered for its ten seconds
/// before that is over at most forges.
const FIRST_LOOK: Duration = Duration::from_secs(20);
/// When a request went unanswered, it is read back once more after this long.
const SECOND_LOOK: Duration = Duration::from_secs(600);
/// After how long an end that was refused is said again, the first time, the second and so on; then never.
const AGAIN_AFTER: [Duration; MAX_REFUSALS as usize] = [
    Duration::from_secs(30),
    Duration::from_secs(300),
    Duration::from_secs(3600),
    Duration::from_secs(6 * 3600),
];
/// The longest wait for a forge that cannot be asked.
const LAST_RETRY: Duration = Duration::from_secs(3600);
/// Looks at once, begun every round of two seconds: fewer in an hour than GitHub allows requests.
const AT_ONCE: usize = 4;
/// Commits kept in mind at once; the others have their turn after them.
const IN_MIND: usize = 1000;

/// Reads back what forges show.
pub(crate) struct StatusCheck {
    pub(crate) statuses: StatusClient,
    /// What GitHub shows for its App.
    pub(crate) checks: CheckClient,
    pub(crate) ledger: Ledger,
    pub(crate) index: Arc<Index>,
    pub(crate) registrations: Arc<Registrations>,
    pub(crate) page_urls: PageUrls,
    pub(crate) metrics: Arc<Metrics>,
}

/// What one who compares has in mind. No clocks are compared: it counts from when it saw a thing itself.
pub(crate) struct StatusChecks {
    service: Arc<StatusCheck>,
    due: HashMap<String, Due>,
    looks: JoinSet<(String, Look)>,
    pauses: Arc<Pauses>,
}

/// When which commit has its turn.
#[derive(Debug, Clone, Copy)]
struct Due {
    /// Which end this is about.
    doubt: StatusIssue,
    at: Instant,
    which: Which,
    is_looked_at: bool,
    failures: u32,
}

impl Due {
    fn new(doubt: StatusIssue, now: Instant) -> Self {
        let again = doubt.refusals.checked_sub(1).and_then(|n| AGAIN_AFTER.get(n as usize));
        let at = now + again.copied().unwrap_or(FIRST_LOOK);
        Self { doubt, at, which: Which::First, is_looked_at: false, failures: 0 }
    }

    /// What comes after a look.
    fn after(&mut self, look: Look, now: Instant) {
        self.is_looked_at = false;
        self.at = now
            + match look {
                // The index drops it, or another word of the forge's makes a new doubt of it.
                Look::Over | Look::ToldAgain => FIRST_LOOK,
                Look::Shown => {
                    self.which = Which::Second;
                    SECOND_LOOK
                }
                Look::NotYet(asked) => {
                    self.failures = self.failures.saturating_add(1);
                    asked.unwrap_or_else(|| backoff(self.failures))
                }
            };
    }
}

impl StatusChecks {
    pub(crate) fn new(service: Arc<StatusCheck>) -> Self {
        Self { service, due: HashMap::new(), looks: JoinSet::new(), pauses: Arc::default() }
    }

    /// Begins anew: somebody else may have compared meanwhile.
    pub(crate) fn forget(&mut self) {
        self.due.clear();
    }

    /// Takes in what was seen, and begins the looks whose time has come.
    pub(crate) fn round(&mut self) -> Result<(), IndexError> {
        let now = Instant::now();
        while let Some(done) = self.looks.try_join_next() {
            match done {
                Ok((key, look)) => {
                    if let Some(due) = self.due.get_mut(&key) {
                        due.after(look, now);
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "a look at a forge broke off");
                    self.due.retain(|_, due| !due.is_looked_at);
                }
            }
        }
        let doubtful = self.service.index.doubtful(IN_MIND)?;
        self.due.retain(|key, _| doubtful.contains_key(key));
        for (key, doubt) in doubtful {
            if self.due.get(&key).is_none_or(|due| due.doubt != doubt) {
                self.tell_owner(key.clone(), doubt);
            }
            let due = self.due.entry(key).or_insert_with(|| Due::new(doubt, now));
            if due.doubt != doubt {
                *due = Due::new(doubt, now);
            }
        }
        let mut ready: Vec<_> =
            self.due.iter_mut().filter(|(_, due)| due.at <= now && !due.is_looked_at).collect();
        ready.sort_by_key(|(_, due)| due.at);
        for (key, due) in ready.into_iter().take(AT_ONCE.saturating_sub(self.looks.len())) {
            due.is_looked_at = true;
            let (service, pauses) = (Arc::clone(&self.service), Arc::clone(&self.pauses));
            let (key, which) = (key.clone(), due.which);
            self.looks.spawn(async move {
                let look = look(&service, &pauses, &key, which).await.unwrap_or_else(|error| {
                    let error: anyhow::Error = error.into();
                    tracing::warn!(
                        commit = key,
                        error = format!("{error:#}"),
                        "a status cannot be compared yet"
                    );
                    Look::NotYet(None)
                });
                (key, look)
            });
        }
        Ok(())
    }
}

impl StatusChecks {
    /// A refusal of the forge's is shown to the owner of the registration at once, and an end that it took
    /// says that all is well.
    fn tell_owner(&self, key: String, doubt: StatusIssue) {
        let service = Arc::clone(&self.service);
        tokio::spawn(async move {
            if let Err(error) = service.registrations.note_answer(&key, doubt).await {
                let error: anyhow::Error = error.into();
                tracing::warn!(commit = key, error = format!("{error:#}"), "status answer not noted");
            }
        });
    }
}

fn backoff(failures: u32) -> Duration {
    let doublings = failures.clamp(1, 16) - 1;
    FIRST_LOOK.saturating_mul(1 << doublings).min(LAST_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(refusals: u32) -> (Due, Instant) {
        let now = Instant::now();
        (Due::new(StatusIssue { refusals, revision: 7 }, now), now)
    }

    #[test]
    fn an_end_that_was_refused_is_said_again_after_longer_and_longer_waits() {
        for (refusals, wait) in (1..).zip(AGAIN_AFTER) {
            let (due, now) = due(refusals);
            assert_eq!(due.at - now, wait);
        }
    }

    #[test]
    fn what_is_shown_is_looked_at_once_more_and_a_silent_forge_less_and_less_often() {
        let (mut due, now) = due(0);
        assert_eq!((due.at - now, due.which), (FIRST_LOOK, Which::First));
        for wait in [20, 40, 80] {
            due.after(Look::NotYet(None), now);
            assert_eq!(due.at - now, Duration::from_secs(wait));
        }
        due.after(Look::NotYet(Some(Duration::from_secs(90))), now);
        assert_eq!(due.at - now, Duration::from_secs(90));
        due.after(Look::Shown, now);
        assert_eq!((due.at - now, due.which), (SECOND_LOOK, Which::Second));
        assert_eq!(backoff(99), LAST_RETRY);
    }
}
