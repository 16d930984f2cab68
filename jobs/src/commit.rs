//! What the ledger keeps about a commit and one of its contexts: which job speaks for it, what the forge
//! was told, and what went wrong on the way.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{CommitSha, CommitState, JobId, RepoId};

/// What was last posted for a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    /// The job whose record was posted.
    pub job: JobId,
    /// The revision of that record.
    pub revision: u64,
    /// Its colour.
    pub state: CommitState,
    /// Of what is pending: whether it was said to run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub running: bool,
    /// Of what was said to wait: after how long in milliseconds the forge is told that it runs. Absent in
    /// entries of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_after_ms: Option<u64>,
    /// Whether the forge is still to be asked whether it shows this; said of what is final. Absent in
    /// entries of older programs, whose statuses are left as they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub to_compare: bool,
}

/// What went wrong between us and the forge about one commit, as far as it matters later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubts {
    /// A request went unanswered: the forge may act on it long after. Also of an older job of the commit.
    #[serde(default)]
    pub unanswered: bool,
    /// How often the forge refused the end of this job.
    #[serde(default)]
    pub refusals: u32,
    /// How often the forge showed something else than it was told of this job.
    #[serde(default)]
    pub differences: u32,
}

impl Doubts {
    /// None at all.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// What is left of them when a newer job takes the commit over.
    pub fn for_newer_job(self) -> Self {
        Self { unanswered: self.unanswered, ..Self::default() }
    }
}

/// The version of entries that name a delivery: a program that knows none leaves them to others.
const OF_DELIVERIES: u64 = 2;
/// The newest version of entries that this program understands.
pub(crate) const NEWEST: u64 = OF_DELIVERIES;

fn first_version() -> u64 {
    1
}

/// The newest job of a commit and context, what was last posted, and who is posting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    /// The version of this value.
    #[serde(default = "first_version")]
    pub v: u64,
    /// The repository.
    pub repo: RepoId,
    /// The commit.
    pub sha: CommitSha,
    /// The status context.
    pub context: String,
    /// The newest job.
    pub job: JobId,
    /// Its `created_revision`, which orders jobs.
    pub created_revision: u64,
    /// The delivery that waits for an approval and speaks for the commit; then there is no job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<String>,
    /// What the forge was last told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posted: Option<Posted>,
    /// Who is posting; a random word of the poster's, taken by compare-and-set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poster: Option<String>,
    /// Why the forge did not take what this job said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What it did not take: final for this state, and another is said all the same. Absent in entries
    /// of older programs, which then say theirs once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_state: Option<CommitState>,
    /// GitHub's id of this job's check run, where one takes the status's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_run: Option<u64>,
    /// Whether a request about this job's check run went unanswered: then the forge is asked what it
    /// has before another is sent, so that no second run is made and no remark is made twice.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub check_run_unsure: bool,
    /// What makes the forge's view of this commit worth another look.
    #[serde(default, skip_serializing_if = "Doubts::is_none")]
    pub doubts: Doubts,
    /// What a newer program added.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Commit {
    /// The entry of a commit's first job.
    pub(crate) fn of_job(
        repo: RepoId,
        sha: &CommitSha,
        context: &str,
        job: JobId,
        created_revision: u64,
    ) -> Self {
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
            refused: None,
            refused_state: None,
            check_run: None,
            check_run_unsure: false,
            doubts: Doubts::default(),
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

    /// Whether `newer` speaks for the commit from now on: any job before a delivery, and of two jobs the
    /// one that was made later.
    pub(crate) fn gives_way_to(&self, newer: &Self) -> bool {
        match (&self.delivery, &newer.delivery) {
            (Some(one), Some(other)) => one != other,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => self.job != newer.job && self.created_revision < newer.created_revision,
        }
    }

    /// The entry once `newer` speaks for the commit: what was posted, and who is posting, stays.
    pub(crate) fn taken_over_by(&self, newer: &Self) -> Self {
        Self {
            v: newer.v,
            job: newer.job,
            created_revision: newer.created_revision,
            delivery: newer.delivery.clone(),
            refused: None,
            refused_state: None,
            // A newer job has a run of its own.
            check_run: None,
            check_run_unsure: false,
            doubts: self.doubts.for_newer_job(),
            ..self.clone()
        }
    }

    /// Whether the forge refused to be told this state of this job.
    pub fn was_refused(&self, state: CommitState) -> bool {
        self.refused.is_some() && self.refused_state == Some(state)
    }

    /// Whether the end of its newest job was refused.
    pub fn end_was_refused(&self) -> bool {
        self.refused_state.is_some_and(|state| state.is_final() && self.was_refused(state))
    }

    /// Whether the end of its newest job was posted, and not yet seen to be shown.
    pub fn is_to_compare(&self) -> bool {
        self.posted.as_ref().is_some_and(|posted| posted.job == self.job && posted.to_compare)
    }
}
