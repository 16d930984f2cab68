//! Verifies that forges show the statuses that were posted.
//!
//! A forge may process a request long after it failed to answer it: then an older state overwrites a newer
//! one, undetected. And it may accept tomorrow what it rejects today, when a permission is restored or a
//! commit has arrived. So the final status of every job is read back once, and once more much later when a
//! request about its commit went unanswered; what differs is reposted, and a rejected final status is
//! reposted a few times.
//!
//! Candidates come from the index, decisions from the stream leader. The reconcile leader does this; the
//! requests to forges run beside its rounds.

use hooks::{checks::CheckClient, status::StatusClient};
use jobs::Ledger;

use crate::{
    index::{Index, IndexError, statuses::StatusIssue},
    metrics::Metrics,
    page_urls::PageUrls,
    repos::Registrations,
};

mod check;
mod cooldowns;
mod schedule;

use std::{collections::HashMap, sync::Arc, time::Instant};

use check::{CheckResult, check};
use cooldowns::HostCooldowns;
use schedule::ScheduledCheck;
use tokio::task::JoinSet;

/// Concurrent checks, started every round of two seconds: fewer in an hour than GitHub's rate limit.
const MAX_CONCURRENT: usize = 4;
/// Commits tracked at once; the others follow after them.
const MAX_TRACKED: usize = 1000;

/// Reads statuses back from forges.
pub(crate) struct StatusCheck {
    pub(crate) statuses: StatusClient,
    /// Client of GitHub's check runs.
    pub(crate) checks: CheckClient,
    pub(crate) ledger: Ledger,
    pub(crate) index: Arc<Index>,
    pub(crate) registrations: Arc<Registrations>,
    pub(crate) page_urls: PageUrls,
    pub(crate) metrics: Arc<Metrics>,
}

/// Schedules the checks of the reconcile leader. Clocks are not compared: ages are counted from when this
/// process first saw a thing.
pub(crate) struct CheckScheduler {
    service: Arc<StatusCheck>,
    due: HashMap<String, ScheduledCheck>,
    running: JoinSet<(String, CheckResult)>,
    cooldowns: Arc<HostCooldowns>,
}

impl CheckScheduler {
    pub(crate) fn new(service: Arc<StatusCheck>) -> Self {
        Self { service, due: HashMap::new(), running: JoinSet::new(), cooldowns: Arc::default() }
    }

    /// Resets the schedule: another gateway may have checked meanwhile.
    pub(crate) fn forget(&mut self) {
        self.due.clear();
    }

    /// Collects results, and starts the checks that are due.
    pub(crate) async fn round(&mut self) -> Result<(), IndexError> {
        let now = Instant::now();
        while let Some(done) = self.running.try_join_next() {
            match done {
                Ok((key, check)) => {
                    if let Some(due) = self.due.get_mut(&key) {
                        due.after(check, now);
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "status check panicked");
                    self.due.retain(|_, due| !due.is_running);
                }
            }
        }
        let issues = self.service.index.run(|tables| tables.status_issues(MAX_TRACKED)).await?;
        self.due.retain(|key, _| issues.contains_key(key));
        for (key, issue) in issues {
            if self.due.get(&key).is_none_or(|due| due.issue != issue) {
                self.record_forge_answer(key.clone(), issue);
            }
            let due = self.due.entry(key).or_insert_with(|| ScheduledCheck::new(issue, now));
            if due.issue != issue {
                *due = ScheduledCheck::new(issue, now);
            }
        }
        let mut ready: Vec<_> =
            self.due.iter_mut().filter(|(_, due)| due.at <= now && !due.is_running).collect();
        ready.sort_by_key(|(_, due)| due.at);
        for (key, due) in ready.into_iter().take(MAX_CONCURRENT.saturating_sub(self.running.len())) {
            due.is_running = true;
            let (service, cooldowns) = (Arc::clone(&self.service), Arc::clone(&self.cooldowns));
            let (key, pass) = (key.clone(), due.pass);
            self.running.spawn(async move {
                let check = check(&service, &cooldowns, &key, pass).await.unwrap_or_else(|error| {
                    let error: anyhow::Error = error.into();
                    tracing::warn!(commit = key, error = format!("{error:#}"), "status check failed");
                    CheckResult::Retry(None)
                });
                (key, check)
            });
        }
        Ok(())
    }

    /// Records a rejection as a problem for the owner of the registration at once; an accepted final status
    /// clears it.
    fn record_forge_answer(&self, key: String, issue: StatusIssue) {
        let service = Arc::clone(&self.service);
        tokio::spawn(async move {
            if let Err(error) = service.registrations.record_forge_answer(&key, issue).await {
                let error: anyhow::Error = error.into();
                tracing::warn!(commit = key, error = format!("{error:#}"), "recording forge answer failed");
            }
        });
    }
}
