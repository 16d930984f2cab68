//! The status outbox: what the ledger keeps about a commit and one of its contexts.
//!
//! An entry of the bucket `commits` names the newest job of the commit (or the delivery that waits for an
//! approval), what was last posted, and who is posting. Its fields are private. It changes by the moves of
//! this folder and by no other way:
//! * anybody makes [`CommitStatus::superseded_by`], [`CommitStatus::claim`], [`CommitStatus::verified`] and
//!   [`CommitStatus::repost`] (`moves.rs`);
//! * whoever has claimed it makes [`ClaimedStatus::posted`], [`ClaimedStatus::rejected`] and
//!   [`ClaimedStatus::unanswered`], and gives it back with [`ClaimedStatus::release`] (`claimed.rs`).
//!
//! What the forge is to be told is not stored: it is derived from the newest job's record at the moment of
//! posting.

mod claimed;
mod issues;
mod moves;
mod outbox;
mod posted;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use claimed::ClaimedStatus;
pub use issues::StatusIssues;
pub use moves::RepostReason;
pub use posted::Posted;

use crate::{CommitSha, CommitState, JobId, RepoId};

/// The version of entries that name a delivery: a program that knows none leaves them to others.
const OF_DELIVERIES: u64 = 2;
/// The newest version of entries that this program understands.
pub(crate) const NEWEST_VERSION: u64 = OF_DELIVERIES;

fn first_version() -> u64 {
    1
}

/// The newest job of a commit and context, what was last posted, and who is posting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommitStatus {
    /// The version of this value.
    #[serde(default = "first_version")]
    v: u64,
    repo: RepoId,
    sha: CommitSha,
    context: String,
    /// The newest job.
    job: JobId,
    /// Its `created_revision`, which orders jobs.
    created_revision: u64,
    /// The delivery that waits for an approval and speaks for the commit; then there is no job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delivery: Option<String>,
    /// What the forge was last told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    posted: Option<Posted>,
    /// Who is posting: a random token of the poster's, claimed by compare-and-set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    poster: Option<String>,
    /// Why the forge rejected the status of this job.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "refused")]
    rejection: Option<String>,
    /// The state that it rejected: final for this state, and another is posted all the same. Absent in
    /// entries of older programs, which then post theirs once more.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "refused_state")]
    rejected_state: Option<CommitState>,
    /// GitHub's id of this job's check run, where one takes the status's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    check_run: Option<u64>,
    /// Whether the forge's copy of the check run is to be read before another request about it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    check_run_unsure: bool,
    #[serde(default, skip_serializing_if = "StatusIssues::is_none", rename = "doubts")]
    issues: StatusIssues,
    /// What a newer program added.
    #[serde(flatten)]
    other: Map<String, Value>,
}

impl CommitStatus {
    /// The entry of a commit's first job.
    pub fn of_job(repo: RepoId, sha: &CommitSha, context: &str, job: JobId, created_revision: u64) -> Self {
        Self {
            v: 1,
            repo,
            sha: sha.clone(),
            context: context.to_owned(),
            job,
            created_revision,
            delivery: None,
            posted: None,
            poster: None,
            rejection: None,
            rejected_state: None,
            check_run: None,
            check_run_unsure: false,
            issues: StatusIssues::default(),
            other: Map::new(),
        }
    }

    /// The entry of a commit that a delivery brought which waits for an approval, and so has no job.
    pub fn of_delivery(repo: RepoId, sha: &CommitSha, context: &str, delivery: &str) -> Self {
        Self {
            v: OF_DELIVERIES,
            delivery: Some(delivery.to_owned()),
            ..Self::of_job(repo, sha, context, JobId::from_bytes([0; 16]), 0)
        }
    }

    /// The repository.
    pub fn repo(&self) -> RepoId {
        self.repo
    }

    /// The commit.
    pub fn sha(&self) -> &CommitSha {
        &self.sha
    }

    /// The status context.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// The newest job; all zeros where a delivery speaks for the commit.
    pub fn job(&self) -> JobId {
        self.job
    }

    /// The newest job's `created_revision`, which orders jobs.
    pub fn created_revision(&self) -> u64 {
        self.created_revision
    }

    /// The delivery that waits for an approval and speaks for the commit; then there is no job.
    pub fn delivery(&self) -> Option<&str> {
        self.delivery.as_deref()
    }

    /// What the forge was last told, maybe of an older job.
    pub fn last_posted(&self) -> Option<&Posted> {
        self.posted.as_ref()
    }

    /// What the forge was last told of the newest job.
    pub fn posted_of_newest_job(&self) -> Option<&Posted> {
        self.posted.as_ref().filter(|posted| posted.job == self.job)
    }

    /// Whether a poster has claimed it, and has not released it yet.
    pub fn is_claimed(&self) -> bool {
        self.poster.is_some()
    }

    /// Why the forge rejected the status of the newest job.
    pub fn rejection(&self) -> Option<&str> {
        self.rejection.as_deref()
    }

    /// The state of the newest job that the forge rejected.
    pub fn rejected_state(&self) -> Option<CommitState> {
        self.rejected_state
    }

    /// Whether the forge rejected this state of the newest job.
    pub fn was_rejected(&self, state: CommitState) -> bool {
        self.rejection.is_some() && self.rejected_state == Some(state)
    }

    /// Whether the forge rejected the final state of the newest job.
    pub fn final_state_was_rejected(&self) -> bool {
        self.rejected_state.is_some_and(|state| state.is_final() && self.was_rejected(state))
    }

    /// Whether the final state of the newest job was posted, and the forge was not yet seen to show it.
    pub fn awaits_verification(&self) -> bool {
        self.posted_of_newest_job().is_some_and(|posted| posted.to_verify)
    }

    /// GitHub's id of the newest job's check run, where one takes the status's place.
    pub fn check_run(&self) -> Option<u64> {
        self.check_run
    }

    /// Whether a request about the newest job's check run went unanswered: then the forge is asked what it
    /// has before another is sent, so that no second run is made and no annotation is made twice.
    pub fn check_run_is_unsure(&self) -> bool {
        self.check_run_unsure
    }

    /// What went wrong between us and the forge about this commit.
    pub fn issues(&self) -> StatusIssues {
        self.issues
    }
}
