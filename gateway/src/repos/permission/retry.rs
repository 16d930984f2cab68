//! Asking again: registrations whose right the forge has not confirmed, and repositories of which a crash
//! left nobody to post, or more than one.
//!
//! Whoever reconciles does this. What is due stands in the records, so that a restart forgets nothing. The
//! questions run beside the rounds; an owner has one at a time, so that a forge which lets every request
//! wait keeps nobody else's registrations waiting.

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
    repos::{Registrations, permission::LONGEST_WAIT, status_owner::is_refused},
};

/// Questions at once: each takes 3 s at most.
const AT_ONCE: usize = 8;
/// Between two looks for repositories of which nobody posts: a crash between two writes is rare.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What one who reconciles has in hand.
pub(crate) struct Retries {
    registrations: Arc<Registrations>,
    asking: JoinSet<()>,
    asked: HashMap<Id, UserId>,
    /// Found by the last look, and not asked about yet.
    undecided: Vec<Entry<Repo>>,
    look_at: Instant,
}

impl Retries {
    pub(crate) fn new(registrations: Arc<Registrations>) -> Self {
        let (asked, undecided) = (HashMap::new(), Vec::new());
        Self { registrations, asking: JoinSet::new(), asked, undecided, look_at: Instant::now() }
    }

    /// Begins the questions whose time has come.
    pub(crate) fn round(&mut self) {
        while let Some(done) = self.asking.try_join_next_with_id() {
            let id = match done {
                Ok((id, ())) => id,
                Err(error) => {
                    tracing::error!(%error, "question to a forge broke off");
                    error.id()
                }
            };
            self.asked.remove(&id);
        }
        let now = Timestamp::now();
        let mut due = self.registrations.repos.find(|repo| is_due(repo, now));
        if self.look_at <= Instant::now() {
            self.look_at = Instant::now() + LOOK_EVERY;
            self.undecided = self.look_for_undecided();
        }
        due.sort_by_key(|entry| entry.value.unproved.as_ref().map(|unproved| unproved.again_at));
        let found = std::mem::take(&mut self.undecided);
        self.undecided = found.into_iter().filter(|entry| !self.begin(&entry.value)).collect();
        for entry in due {
            self.begin(&entry.value);
        }
    }

    /// Begins a question, unless there are too many; tells whether it did.
    fn begin(&mut self, repo: &Repo) -> bool {
        if self.asking.len() >= AT_ONCE || self.asked.values().any(|busy| *busy == repo.owner) {
            return false;
        }
        let (registrations, id) = (Arc::clone(&self.registrations), repo.id);
        let task = self.asking.spawn(async move {
            if let Err(error) = registrations.ask_again(id).await {
                let error: anyhow::Error = error.into();
                tracing::warn!(repo = %id, error = format!("{error:#}"), "question to a forge not noted");
            }
        });
        self.asked.insert(task.id(), repo.owner);
        true
    }

    /// Registrations of repositories for which not exactly one posts although more could: all that post,
    /// or the one that may first. With them those that post without a number: an older gateway let them,
    /// although the forge had not answered.
    fn look_for_undecided(&self) -> Vec<Entry<Repo>> {
        let mut found = Vec::new();
        let mut of_number: HashMap<(String, u64), Vec<Entry<Repo>>> = HashMap::new();
        for entry in self
            .registrations
            .repos
            .find(|repo| !repo.is_removing() && self.registrations.has_credential(repo))
        {
            let scope = self.registrations.number_scope(&entry.value);
            match scope.zip(entry.value.forge_id) {
                Some(key) => of_number.entry(key).or_default().push(entry),
                None if entry.value.posts => found.push(entry),
                None => {}
            }
        }
        for registrations in of_number.into_values() {
            let (posting, others): (Vec<_>, Vec<_>) =
                registrations.into_iter().partition(|entry| entry.value.posts);
            match posting.len() {
                0 => {
                    let may =
                        |entry: &&Entry<Repo>| entry.value.unproved.is_none() && !is_refused(&entry.value);
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

/// Who comes first where several could post: an installation's, then the oldest.
pub(crate) fn rank(repo: &Repo) -> (bool, RepoId) {
    (repo.installation.is_none(), repo.id)
}

/// Whether it is time. A time that is further away than any wait was written by a clock that was wrong.
fn is_due(repo: &Repo, now: Timestamp) -> bool {
    let is_time = |at: Timestamp| at <= now || at > now + LONGEST_WAIT + LONGEST_WAIT;
    !repo.is_removing() && repo.unproved.as_ref().is_some_and(|unproved| is_time(unproved.again_at))
}

impl Registrations {
    /// Asks about a registration once more, and makes the webhook that could not be made for want of an
    /// answer.
    async fn ask_again(&self, repo: RepoId) -> Result<(), ApiError> {
        let Some(entry) = self.ledger.repos.get(&repo.to_string()).await? else { return Ok(()) };
        let entry = match self.prove(entry).await {
            Ok(entry) => entry,
            // It was removed meanwhile.
            Err(ApiError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let is_missing = entry.value.webhook_wanted && entry.value.webhook_id.is_none();
        if entry.value.unproved.is_some() || !is_missing {
            return Ok(());
        }
        let (told, webhook_id) = self.make_webhook(&entry.value).await?;
        let noted = |now: &Entry<Repo>| {
            let next = Repo { webhook_id: now.value.webhook_id.or(webhook_id), ..now.value.clone() };
            let next = next.with_problem(ProblemKind::Webhook, told.problem(), Timestamp::now());
            (next != now.value).then_some(next)
        };
        if let Some(entry) = self.ledger.repos.change(&entry.key, noted).await? {
            self.repos.note(entry);
        }
        Ok(())
    }
}
