//! Aliases of a repository's versions.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::OpenEnum;
use crate::{
    CommitSha, UserId,
    function::{AliasMoveKind, AliasTarget},
};

/// What an alias is to stand for: one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetAlias {
    /// A full commit id, a tag or a branch: the commit that it is now, until the alias is moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// A branch: its newest green commit, whichever that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follow: Option<String>,
}

/// What an alias stands for: a commit, or what is newest of a branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AliasVersion {
    /// The commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sha: Option<CommitSha>,
    /// The branch that it follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub follow: Option<String>,
}

impl From<&AliasTarget> for AliasVersion {
    fn from(target: &AliasTarget) -> Self {
        match target {
            AliasTarget::To(sha) => Self { sha: Some(sha.clone()), follow: None },
            AliasTarget::Follow(branch) => Self { sha: None, follow: Some(branch.short().to_owned()) },
        }
    }
}

/// An alias.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Alias {
    /// Its name.
    pub name: String,
    /// The commit that a call runs now; absent while nothing of the branch that it follows is green.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sha: Option<CommitSha>,
    /// The branch that it follows; absent of one that stands for a commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub follow: Option<String>,
    /// Its moves, the newest first.
    #[schema(max_items = 20)]
    pub history: Vec<AliasMove>,
}

/// A move of an alias.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AliasMove {
    /// When.
    pub at: Timestamp,
    /// Who moved it.
    pub by: UserId,
    /// The address of who moved it, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub email: Option<String>,
    /// What it stood for before; absent of the move that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub from: Option<AliasVersion>,
    /// What it stood for then.
    pub to: AliasVersion,
    /// How it came about.
    #[schema(value_type = AliasMoveKind)]
    pub kind: OpenEnum<AliasMoveKind>,
}
