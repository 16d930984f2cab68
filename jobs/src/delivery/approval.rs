//! Who let a held delivery go on.

use serde::{Deserialize, Serialize};

use crate::{CommitSha, StoredJson, UserId};

/// The approvals of a delivery that was held.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DeliveryApproval {
    /// Of a pull request: which commit, and by whom.
    #[serde(
        rename = "approved",
        default,
        deserialize_with = "StoredJson::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub commit: Option<StoredJson<CommitApproval>>,
    /// Of an installation of the App: by which admin.
    #[serde(
        rename = "approved_by",
        default,
        deserialize_with = "StoredJson::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub installation: Option<StoredJson<UserId>>,
}

/// An owner approved a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitApproval {
    /// The commit.
    pub sha: CommitSha,
    /// The owner.
    pub by: UserId,
}

impl DeliveryApproval {
    /// This approval; what it leaves open is as in `earlier`.
    #[must_use]
    pub fn or(self, earlier: &Self) -> Self {
        Self {
            commit: self.commit.or_else(|| earlier.commit.clone()),
            installation: self.installation.or_else(|| earlier.installation.clone()),
        }
    }
}
