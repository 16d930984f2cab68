//! What this gateway knows of an owner, and how current it is.

use std::collections::{HashMap, HashSet};

use jobs::{
    Repo, RepoId, UserId, streams,
    usage::{Holds, Overrides, Resource},
};
use tokio::time::Instant;

use crate::{
    error::ApiError,
    usage::{Budgets, HOLD_LIFE, holds::Known},
};

/// Field of the stored promises: up to which sequence of which bucket those that came were counted there and
/// dropped here. Whoever has not seen that far would not count them at all.
const COVERS: &str = "covers";
/// Buckets that things which are promised lie in.
const BUCKETS: [&str; 4] = [streams::JOBS_BUCKET, streams::REPOS, streams::TOKENS, streams::SECRETS];

/// What a gateway knows.
pub(super) struct Ours<'a> {
    pub(super) budgets: &'a Budgets,
    pub(super) owner: UserId,
    pub(super) overrides: &'a Overrides,
    pub(super) since: &'a HashMap<String, Instant>,
    pub(super) released: &'a HashSet<String>,
    pub(super) now: Instant,
}

impl Ours<'_> {
    /// Notes how far this gateway has seen.
    pub(super) fn cover(&self, holds: &mut Holds) {
        let seen: serde_json::Map<_, _> = BUCKETS
            .iter()
            .filter_map(|bucket| Some(((*bucket).to_owned(), position(self.budgets, bucket).ok()?.into())))
            .collect();
        if !holds.holds.is_empty() {
            holds.other.insert(COVERS.to_owned(), seen.into());
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

/// Whether this gateway has seen as far as these promises cover.
pub(super) fn is_covered(budgets: &Budgets, holds: &Holds) -> Result<bool, ApiError> {
    let Some(covers) = holds.other.get(COVERS).and_then(serde_json::Value::as_object) else {
        return Ok(true);
    };
    for (bucket, sequence) in covers {
        if BUCKETS.contains(&bucket.as_str()) && position(budgets, bucket)? < sequence.as_u64().unwrap_or(0) {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Known for Ours<'_> {
    fn used(&self, of: Resource) -> u64 {
        self.budgets.kept(self.owner, of)
    }

    fn has(&self, id: &str, of: Resource) -> bool {
        self.budgets.revision_of(id, of).is_some()
    }

    fn is_settled(&self, id: &str, of: Resource) -> bool {
        let Some((bucket, revision)) = self.budgets.revision_of(id, of) else { return true };
        position(self.budgets, bucket).is_ok_and(|seen| seen >= revision)
    }

    fn limit(&self, of: Resource) -> u64 {
        self.budgets.settings.limit(of, self.overrides)
    }

    fn is_stale(&self, id: &str) -> bool {
        self.released.contains(id)
            || self.since.get(id).is_some_and(|since| self.now.duration_since(*since) >= HOLD_LIFE)
    }
}

impl Budgets {
    /// Where a thing that was promised lies, and the revision of its newest write that is known here.
    fn revision_of(&self, id: &str, of: Resource) -> Option<(&'static str, u64)> {
        match of {
            Resource::Queued => {
                let revision = self.index.revision_of_job(id.parse().ok()?).ok()??;
                Some((streams::JOBS_BUCKET, revision))
            }
            Resource::Repos => Some((streams::REPOS, self.repos.revision(id)?)),
            Resource::Tokens => Some((streams::TOKENS, self.tokens.revision(id)?)),
            Resource::Secrets => {
                // One that takes another's place is there once a newer one than that is.
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

    /// How much of what is kept on purpose an owner has, as far as this gateway has seen.
    pub(super) fn kept(&self, owner: UserId, of: Resource) -> u64 {
        match of {
            Resource::Queued => self.index.waiting_of(owner).unwrap_or(u64::MAX),
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
