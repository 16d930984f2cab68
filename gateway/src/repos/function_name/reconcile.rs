//! Names and registrations that do not agree: registrations of an older program, which have no name; what a crash
//! left between the two writes of a change; names that were kept long enough.
//!
//! What is found in the mirrors is decided by what the leader of the stream says. Each step is idempotent.

use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use jobs::{
    FunctionName, Repo, RepoId, UserId,
    bucket::Entry,
    function::{FormerName, NameEntry},
};

use super::{has_name, name_of};
use crate::{error::ApiError, repos::Registrations};

/// Interval between two rounds. Each looks at all registrations and names in memory, and nobody waits for it.
const INTERVAL: Duration = Duration::from_secs(10);
/// A claim is older than this only where its registration was never written: asking the forge takes seconds.
const UNCONFIRMED_FOR: SignedDuration = SignedDuration::from_mins(10);
/// Names of one owner that are not in use any more. Beyond it the oldest are free early: whoever renames over and
/// over shall not keep all good names from others.
const MAX_FORMER_NAMES: usize = 100;

/// The rounds of the reconcile leader that settle names.
pub(crate) struct NameRounds {
    registrations: Arc<Registrations>,
    next: Instant,
}

impl NameRounds {
    pub(crate) fn new(registrations: Arc<Registrations>) -> Self {
        Self { registrations, next: Instant::now() }
    }

    /// A round, if one is due.
    pub(crate) async fn round(&mut self) -> Result<(), ApiError> {
        if Instant::now() < self.next {
            return Ok(());
        }
        self.next = Instant::now() + INTERVAL;
        self.registrations.reconcile_names().await
    }
}

impl Registrations {
    async fn reconcile_names(&self) -> Result<(), ApiError> {
        let now = Timestamp::now();
        for entry in self.names.find(|entry| entry.is_free(now)) {
            self.forget_name(&entry).await?;
        }
        self.free_oldest_names().await?;
        for entry in self.repos.find(|repo| !repo.is_removing() && !self.is_named(repo)) {
            self.name_registration(&entry.key).await?;
        }
        for entry in self.unconfirmed_names(now) {
            self.settle_name(&entry, now).await?;
        }
        Ok(())
    }

    /// Whether the registration has a name, and the name is the registration's.
    fn is_named(&self, repo: &Repo) -> bool {
        name_of(repo).is_some_and(|name| {
            self.names.get(name.as_str()).is_some_and(|entry| entry.value.is_in_use_by(repo.id))
        })
    }

    /// Names in use for a while of which no registration says that it has them.
    fn unconfirmed_names(&self, now: Timestamp) -> Vec<Entry<NameEntry>> {
        let is_old =
            |entry: &NameEntry| entry.former.is_none() && now.duration_since(entry.since) >= UNCONFIRMED_FOR;
        let mut names = self.names.find(is_old);
        let mut said: HashMap<RepoId, String> = HashMap::new();
        for entry in self.repos.find(|repo| repo.function.is_some()) {
            said.extend(entry.value.function.map(|name| (entry.value.id, name.as_str().to_owned())));
        }
        names.retain(|entry| said.get(&entry.value.repo) != Some(&entry.key));
        names
    }

    /// Claims the name that a registration says it has, or a name for one that says none. Where somebody else has
    /// it meanwhile, which takes a registration whose claim was never answered, it gets another.
    pub(in crate::repos) async fn name_registration(&self, key: &str) -> Result<(), ApiError> {
        let Some(entry) = self.ledger.repos.get(key).await? else { return Ok(()) };
        let mut repo = entry.value.clone();
        if repo.is_removing() {
            return Ok(());
        }
        if let Some(name) = name_of(&repo)
            && self.ledger.names.claim(name, repo.id, repo.owner).await?
        {
            return Ok(());
        }
        self.name_new(&mut repo, None).await?;
        tracing::info!(repo = %repo.id, function = name_of(&repo).map(FunctionName::as_str), "function named");
        if self.ledger.repos.try_write(key, &repo, Some(entry.revision)).await?.is_none() {
            // Another gateway, or its owner, named it at the same time.
            let now = self.ledger.repos.get(key).await?;
            if now.is_none_or(|now| now.value.function != repo.function) {
                self.give_name_back(&repo).await;
            }
            return Ok(());
        }
        if let Some(entry) = self.ledger.repos.get(key).await? {
            self.repos.note(entry);
        }
        Ok(())
    }

    async fn settle_name(&self, entry: &Entry<NameEntry>, now: Timestamp) -> Result<(), ApiError> {
        let Ok(name) = entry.key.parse::<FunctionName>() else { return Ok(()) };
        let repo = self.ledger.repos.get(&entry.value.repo.to_string()).await?.map(|found| found.value);
        let Some(repo) = repo else {
            return Ok(self.ledger.names.give_back(&name, entry.value.repo).await?);
        };
        match repo.function.clone() {
            Some(to) if !has_name(&repo, &entry.key) => {
                let why = FormerName::Renamed { to, at: now };
                Ok(self.ledger.names.leave(&name, repo.id, repo.owner, why).await?)
            }
            // The one says the other, or is about to.
            Some(_) | None => Ok(()),
        }
    }

    async fn forget_name(&self, entry: &Entry<NameEntry>) -> Result<(), ApiError> {
        if self.ledger.names.bucket.try_delete(&entry.key, entry.revision).await? {
            self.names.forget(&entry.key);
        }
        Ok(())
    }

    async fn free_oldest_names(&self) -> Result<(), ApiError> {
        let mut former = self.names.find(|entry| entry.former.is_some());
        former.sort_by_key(|entry| (entry.value.owner, Reverse(entry.value.left_at())));
        let mut of_owner: (Option<UserId>, usize) = (None, 0);
        for entry in former {
            let owner = Some(entry.value.owner);
            of_owner = if of_owner.0 == owner { (owner, of_owner.1 + 1) } else { (owner, 1) };
            if of_owner.1 > MAX_FORMER_NAMES {
                self.forget_name(&entry).await?;
            }
        }
        Ok(())
    }
}
