//! The usage of an owner as this gateway observes it, and up to which positions.

use std::collections::{HashMap, HashSet};

use jobs::{
    Repo, RepoId, UserId, streams,
    usage::{Holds, Overrides, Resource},
};
use tokio::time::Instant;

use crate::{
    error::ApiError,
    usage::{Budgets, RESERVATION_TTL, reservations::UsageView},
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
    pub(super) since: &'a HashMap<String, Instant>,
    pub(super) released: &'a HashSet<String>,
    pub(super) now: Instant,
}

impl ObservedUsage<'_> {
    /// Records up to which positions this gateway has seen.
    pub(super) fn record_positions(&self, holds: &mut Holds) {
        let seen: serde_json::Map<_, _> = RESERVED_BUCKETS
            .iter()
            .filter_map(|bucket| Some(((*bucket).to_owned(), position(self.budgets, bucket).ok()?.into())))
            .collect();
        if !holds.holds.is_empty() {
            holds.other.insert(POSITIONS.to_owned(), seen.into());
        }
    }
}

/// Up to which sequence this gateway has seen a bucket.
fn position(budgets: &Budgets, bucket: &str) -> Result<u64, ApiError> {
    Ok(match bucket {
        streams::REPOS => budgets.repos.position(),
        streams::TOKENS => budgets.tokens.position(),
        streams::SECRETS => budgets.secret_sizes.position(),
        _ => budgets.index.position(bucket)?.map_or(0, |position| position.sequence),
    })
}

/// Whether this gateway has seen the positions that these reservations were written at.
pub(super) fn has_seen_positions(budgets: &Budgets, holds: &Holds) -> Result<bool, ApiError> {
    let Some(positions) = holds.other.get(POSITIONS).and_then(serde_json::Value::as_object) else {
        return Ok(true);
    };
    for (bucket, sequence) in positions {
        if RESERVED_BUCKETS.contains(&bucket.as_str())
            && position(budgets, bucket)? < sequence.as_u64().unwrap_or(0)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

impl UsageView for ObservedUsage<'_> {
    fn used(&self, of: Resource) -> u64 {
        self.budgets.used_by(self.owner, of)
    }

    fn has_arrived(&self, id: &str, of: Resource) -> bool {
        self.budgets.revision_of(id, of).is_some()
    }

    fn is_seen_everywhere(&self, id: &str, of: Resource) -> bool {
        let Some((bucket, revision)) = self.budgets.revision_of(id, of) else { return true };
        position(self.budgets, bucket).is_ok_and(|seen| seen >= revision)
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
    /// The bucket of a reserved thing, and the newest revision of it that was observed.
    fn revision_of(&self, id: &str, of: Resource) -> Option<(&'static str, u64)> {
        match of {
            Resource::Queued => {
                let revision = self.index.revision_of_job(id.parse().ok()?).ok()??;
                Some((streams::JOBS_BUCKET, revision))
            }
            Resource::Repos => Some((streams::REPOS, self.repos.revision(id)?)),
            Resource::Tokens => Some((streams::TOKENS, self.tokens.revision(id)?)),
            Resource::Secrets => {
                // A replacement has arrived once a revision newer than the replaced one was observed.
                let (key, after) = id.split_once('#').unwrap_or((id, "0"));
                let revision = self.secret_sizes.revision(key)?;
                (revision > after.parse().ok()?).then_some((streams::SECRETS, revision))
            }
            Resource::Refs
            | Resource::Records
            | Resource::Logs
            | Resource::Results
            | Resource::Deliveries => None,
        }
    }

    /// How much of a limited resource an owner uses, as observed by this gateway.
    pub(super) fn used_by(&self, owner: UserId, of: Resource) -> u64 {
        match of {
            Resource::Queued => self.index.pending_jobs_of(owner).unwrap_or(u64::MAX),
            Resource::Repos => self.repos.count(|repo| repo.owner == owner),
            Resource::Tokens => self.tokens.count(|token| token.user == owner),
            Resource::Secrets => {
                let repos = self.repo_ids_of(owner);
                self.secret_sizes.sum(|key, size| {
                    let repo = key.split_once('.').and_then(|(repo, _)| repo.parse::<RepoId>().ok());
                    if repo.is_some_and(|repo| repos.contains(&repo)) { size.bytes } else { 0 }
                })
            }
            Resource::Refs => self.ref_counts.of(&self.repo_ids_of(owner)),
            Resource::Records | Resource::Logs | Resource::Results | Resource::Deliveries => 0,
        }
    }

    pub(super) fn repo_ids_of(&self, owner: UserId) -> Vec<RepoId> {
        let is_its = |repo: &Repo| repo.owner == owner;
        self.repos.find(is_its).into_iter().map(|entry| entry.value.id).collect()
    }
}
