//! Retries permission checks, and repairs repositories which a crash left without a status owner, or with
//!
//! several.
//!
//! The reconcile leader does this. Due times are stored in the records, so that a restart forgets nothing.
//! Checks run beside the rounds; each owner has one at a time, so that a forge which delays every request
//! does not delay the registrations of other owners.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use jobs::{ProblemKind, Repo, RepoId, UserId, bucket::Entry};
use tokio::task::{Id, JoinSet};

use crate::{
    error::ApiError,
    repos::{Registrations, permission::MAX_RETRY, status_owner::is_rejected_by_forge},
};

/// Concurrent checks: each takes 3 s at most.
const MAX_CONCURRENT: usize = 8;
/// Interval between two scans for repositories without exactly one status owner: a crash between two writes
/// is rare.
const SCAN_INTERVAL: Duration = Duration::from_secs(60);

/// The permission checks of the reconcile leader.
pub(crate) struct PermissionRetries {
    registrations: Arc<Registrations>,
    checks: JoinSet<()>,
    /// Owners with a running check, by its task.
    owners: HashMap<Id, UserId>,
    /// Found by the last scan, and not checked yet.
    conflicts: Vec<Entry<Repo>>,
    next_scan: Instant,
}

impl PermissionRetries {
    pub(crate) fn new(registrations: Arc<Registrations>) -> Self {
        let (owners, conflicts) = (HashMap::new(), Vec::new());
        Self { registrations, checks: JoinSet::new(), owners, conflicts, next_scan: Instant::now() }
    }

    /// Starts the checks that are due.
    pub(crate) fn round(&mut self) {
        while let Some(done) = self.checks.try_join_next_with_id() {
            let id = match done {
                Ok((id, ())) => id,
                Err(error) => {
                    tracing::error!(%error, "permission check panicked");
                    error.id()
                }
            };
            self.owners.remove(&id);
        }
        let now = Timestamp::now();
        let mut due = self.registrations.repos.find(|repo| is_due(repo, now));
        if self.next_scan <= Instant::now() {
            self.next_scan = Instant::now() + SCAN_INTERVAL;
            self.conflicts = self.find_status_owner_conflicts();
        }
        due.sort_by_key(|entry| entry.value.unproved.as_ref().map(|unproved| unproved.again_at));
        let found = std::mem::take(&mut self.conflicts);
        self.conflicts = found.into_iter().filter(|entry| !self.start_check(&entry.value)).collect();
        for entry in due {
            self.start_check(&entry.value);
        }
    }

    /// Starts a check, unless too many are running; returns whether it did.
    fn start_check(&mut self, repo: &Repo) -> bool {
        if self.checks.len() >= MAX_CONCURRENT || self.owners.values().any(|busy| *busy == repo.owner) {
            return false;
        }
        let (registrations, id) = (Arc::clone(&self.registrations), repo.id);
        let task = self.checks.spawn(async move {
            if let Err(error) = registrations.retry_permission(id).await {
                let error: anyhow::Error = error.into();
                tracing::warn!(repo = %id, error = format!("{error:#}"), "permission check failed");
            }
        });
        self.owners.insert(task.id(), repo.owner);
        true
    }

    /// Registrations of repositories that do not have exactly one status owner although they could: all
    /// owners, or the first candidate. Also status owners without a forge id: an older gateway accepted them
    /// although the forge had not answered.
    fn find_status_owner_conflicts(&self) -> Vec<Entry<Repo>> {
        let mut found = Vec::new();
        let mut by_id: HashMap<(String, u64), Vec<Entry<Repo>>> = HashMap::new();
        for entry in self
            .registrations
            .repos
            .find(|repo| !repo.is_removing() && self.registrations.has_credential(repo))
        {
            let scope = self.registrations.id_scope(&entry.value);
            match scope.zip(entry.value.forge_id) {
                Some(key) => by_id.entry(key).or_default().push(entry),
                None if entry.value.posts => found.push(entry),
                None => {}
            }
        }
        for registrations in by_id.into_values() {
            let (posting, others): (Vec<_>, Vec<_>) =
                registrations.into_iter().partition(|entry| entry.value.posts);
            match posting.len() {
                0 => {
                    let may = |entry: &&Entry<Repo>| {
                        entry.value.unproved.is_none() && !is_rejected_by_forge(&entry.value)
                    };
                    let first = others.iter().filter(may).min_by_key(|entry| rank(&entry.value));
                    found.extend(first.cloned());
                }
                1 => {}
                _ => found.extend(posting),
            }
        }
        found
    }
}

/// The order of candidates for status owner: an installation's registration first, then the oldest.
pub(crate) fn rank(repo: &Repo) -> (bool, RepoId) {
    (repo.installation.is_none(), repo.id)
}

/// Whether a retry is due. A due time further away than any delay was written by a wrong clock.
fn is_due(repo: &Repo, now: Timestamp) -> bool {
    let is_time = |at: Timestamp| at <= now || at > now + MAX_RETRY + MAX_RETRY;
    !repo.is_removing() && repo.unproved.as_ref().is_some_and(|unproved| is_time(unproved.again_at))
}

impl Registrations {
    /// Repeats a permission check, and creates the webhook that could not be created before.
    async fn retry_permission(&self, repo: RepoId) -> Result<(), ApiError> {
        let Some(entry) = self.ledger.repos.get(&repo.to_string()).await? else { return Ok(()) };
        let entry = match self.verify_permission(entry).await {
            Ok(entry) => entry,
            // It was removed meanwhile.
            Err(ApiError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let is_missing = entry.value.webhook_wanted && entry.value.webhook_id.is_none();
        if entry.value.unproved.is_some() || !is_missing {
            return Ok(());
        }
        let (webhook, webhook_id) = self.create_webhook(&entry.value).await?;
        let recorded = |now: &Entry<Repo>| {
            let next = Repo { webhook_id: now.value.webhook_id.or(webhook_id), ..now.value.clone() };
            let next = next.with_problem(ProblemKind::Webhook, webhook.problem(), Timestamp::now());
            (next != now.value).then_some(next)
        };
        if let Some(entry) = self.ledger.repos.change(&entry.key, recorded).await? {
            self.repos.note(entry);
        }
        Ok(())
    }
}
