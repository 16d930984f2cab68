//! The usage of an owner as this gateway observes it, and up to which positions.

use std::collections::{HashMap, HashSet};

use jobs::{
    Repo, RepoId, UserId, streams,
    usage::{Holds, Overrides, Resource},
};
use tokio::time::Instant;

use crate::{
    error::ApiError,
    index::QueueSnapshot,
    usage::{Budgets, RESERVATION_TTL, inputs::OF_INPUT, reservations::UsageView},
};

/// Field of the stored reservations: up to which sequence of each bucket used reservations were counted there
/// and dropped here. A gateway that has not seen that far would not count them at all.
const POSITIONS: &str = "covers";
/// Buckets of the resources that are reserved.
const RESERVED_BUCKETS: [&str; 4] = [streams::JOBS_BUCKET, streams::REPOS, streams::TOKENS, streams::SECRETS];

/// The usage of one owner, as this gateway observes it.
pub(super) struct ObservedUsage<'a> {
    pub(super) budgets: &'a Budgets,
    pub(super) owner: UserId,
    pub(super) overrides: &'a Overrides,
    /// What the index knows of the owner's queue.
    pub(super) queue: &'a QueueSnapshot,
    pub(super) since: &'a HashMap<String, Instant>,
    pub(super) released: &'a HashSet<String>,
    pub(super) now: Instant,
}

impl ObservedUsage<'_> {
    /// Records up to which positions this gateway has seen.
    pub(super) fn record_positions(&self, holds: &mut Holds) {
        let seen: serde_json::Map<_, _> = RESERVED_BUCKETS
            .iter()
            .map(|bucket| ((*bucket).to_owned(), position(self.budgets, self.queue.position, bucket).into()))
            .collect();
        if !holds.holds.is_empty() {
            holds.other.insert(POSITIONS.to_owned(), seen.into());
        }
    }

    /// The bucket of a reserved thing, and the newest revision of it that was observed.
    fn revision_of(&self, id: &str, of: Resource) -> Option<(&'static str, u64)> {
        let budgets = self.budgets;
        match of {
            Resource::Queued => Some((streams::JOBS_BUCKET, *self.queue.revisions.get(id)?)),
            Resource::Inputs => self.revision_of(id.strip_suffix(OF_INPUT)?, Resource::Queued),
            Resource::Repos => Some((streams::REPOS, budgets.repos.revision(id)?)),
            Resource::Tokens => Some((streams::TOKENS, budgets.tokens.revision(id)?)),
            Resource::Secrets => {
                // A replacement has arrived once a revision newer than the replaced one was observed.
                let (key, after) = id.split_once('#').unwrap_or((id, "0"));
                let revision = budgets.secret_sizes.revision(key)?;
                (revision > after.parse().ok()?).then_some((streams::SECRETS, revision))
            }
            Resource::Refs
            | Resource::Records
            | Resource::Logs
            | Resource::Results
            | Resource::Deliveries => None,
        }
    }
}

/// Up to which sequence this gateway has seen a bucket; `of_jobs` is the index's position.
fn position(budgets: &Budgets, of_jobs: u64, bucket: &str) -> u64 {
    match bucket {
        streams::REPOS => budgets.repos.position(),
        streams::TOKENS => budgets.tokens.position(),
        streams::SECRETS => budgets.secret_sizes.position(),
        _ => of_jobs,
    }
}

/// Whether this gateway has seen the positions that these reservations were written at.
pub(super) async fn has_seen_positions(budgets: &Budgets, holds: &Holds) -> Result<bool, ApiError> {
    let Some(positions) = holds.other.get(POSITIONS).and_then(serde_json::Value::as_object) else {
        return Ok(true);
    };
    let of_jobs = budgets.index.run(|tables| tables.position(streams::JOBS_BUCKET)).await?;
    let of_jobs = of_jobs.map_or(0, |position| position.sequence);
    Ok(positions
        .iter()
        .filter(|(bucket, _)| RESERVED_BUCKETS.contains(&bucket.as_str()))
        .all(|(bucket, sequence)| position(budgets, of_jobs, bucket) >= sequence.as_u64().unwrap_or(0)))
}

impl UsageView for ObservedUsage<'_> {
    fn used(&self, of: Resource) -> u64 {
        match of {
            Resource::Queued => self.queue.pending,
            Resource::Inputs => self.queue.input_bytes,
            Resource::Repos
            | Resource::Tokens
            | Resource::Secrets
            | Resource::Refs
            | Resource::Records
            | Resource::Logs
            | Resource::Results
            | Resource::Deliveries => self.budgets.mirrored(self.owner, of),
        }
    }

    fn has_arrived(&self, id: &str, of: Resource) -> bool {
        self.revision_of(id, of).is_some()
    }

    fn is_seen_everywhere(&self, id: &str, of: Resource) -> bool {
        let Some((bucket, revision)) = self.revision_of(id, of) else { return true };
        position(self.budgets, self.queue.position, bucket) >= revision
    }

    fn limit(&self, of: Resource) -> u64 {
        self.budgets.settings.limit(of, self.overrides)
    }

    fn has_expired(&self, id: &str) -> bool {
        self.released.contains(id)
            || self.since.get(id).is_some_and(|since| self.now.duration_since(*since) >= RESERVATION_TTL)
    }
}

impl Budgets {
    /// How much of a limited resource an owner uses, as observed by this gateway.
    pub(super) async fn used_by(&self, owner: UserId, of: Resource) -> Result<u64, ApiError> {
        match of {
            Resource::Queued => Ok(self.index.run(move |tables| tables.pending_jobs_of(owner)).await?),
            Resource::Inputs => {
                Ok(self.index.run(move |tables| tables.queue_snapshot(owner, &[])).await?.input_bytes)
            }
            Resource::Repos
            | Resource::Tokens
            | Resource::Secrets
            | Resource::Refs
            | Resource::Records
            | Resource::Logs
            | Resource::Results
            | Resource::Deliveries => Ok(self.mirrored(owner, of)),
        }
    }

    /// How much of a resource an owner uses that the mirrors know of; 0 of what only the index knows.
    fn mirrored(&self, owner: UserId, of: Resource) -> u64 {
        match of {
            Resource::Repos => self.repos.count(|repo| repo.owner == owner),
            Resource::Tokens => self.tokens.count(|token| token.user == owner),
            Resource::Secrets => {
                let repos = self.repo_ids_of(owner);
                self.secret_sizes.sum(|key, size| {
                    let repo = key.split_once('.').and_then(|(repo, _)| repo.parse::<RepoId>().ok());
                    if repo.is_some_and(|repo| repos.contains(&repo)) { size.bytes } else { 0 }
                })
            }
            Resource::Refs => self.refs_of(owner),
            Resource::Queued
            | Resource::Inputs
            | Resource::Records
            | Resource::Logs
            | Resource::Results
            | Resource::Deliveries => 0,
        }
    }

    /// The recorded refs of an owner's registrations.
    pub(super) fn refs_of(&self, owner: UserId) -> u64 {
        self.ref_counts.of(&self.repo_ids_of(owner))
    }

    pub(super) fn repo_ids_of(&self, owner: UserId) -> Vec<RepoId> {
        let is_its = |repo: &Repo| repo.owner == owner;
        self.repos.find(is_its).into_iter().map(|entry| entry.value.id).collect()
    }
}
