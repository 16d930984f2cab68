//! Deliveries of forges, and what was decided about them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::OpenEnum;
use crate::{CommitSha, JobId, RepoId, Verdict};

/// Which deliveries are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListDeliveries {
    /// Only of this repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(format = Uuid)]
    pub repo: Option<String>,
    /// Items of a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<usize>,
    /// `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A signed delivery and what was decided about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    /// Its id.
    pub id: String,
    /// The repository that it is about, once that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub repo: Option<RepoId>,
    /// The webhook that it came to: a repository's id, or `github`.
    pub hook: String,
    /// The forge's word for what happened.
    pub event: String,
    /// The ref, where it is about one.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reference: Option<String>,
    /// Of a held pull request: what an approval names.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sha: Option<CommitSha>,
    /// The number of a pull request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub pull: Option<u64>,
    /// When it came.
    pub received_at: Timestamp,
    /// What was decided; absent while it is being processed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Verdict>, nullable = false)]
    pub verdict: Option<OpenEnum<Verdict>>,
    /// Why, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// The jobs that it made.
    pub jobs: Vec<JobId>,
    /// The delivery that it replays.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub replay_of: Option<String>,
    /// True: its delivery never came, the forge's refs were compared.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub made_up: bool,
}

/// A page of deliveries, and the last that were not believed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Deliveries<T = Delivery> {
    /// Newest first.
    pub items: Vec<T>,
    /// The cursor of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
    /// The last that were not believed, as this gateway remembers them: those of the webhooks of the
    /// repositories that the list is about, absent when there are none. A list of everything, which is an
    /// admin's, has those of all webhooks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub unsigned: Option<Vec<UnsignedDelivery>>,
}

/// A delivery that was rejected before it was believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnsignedDelivery {
    /// When it came.
    pub at: Timestamp,
    /// The webhook that it came to: a repository's id, or `github`.
    pub hook: String,
    /// Why it was not believed.
    pub reason: String,
}

/// Which commit of a held delivery is approved: a newer one needs another approval.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveDelivery {
    /// The commit that is approved; of a pull request required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha: Option<CommitSha>,
}
