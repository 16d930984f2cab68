//! What an owner takes up, of how much.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::OpenEnum;
use crate::usage::{Kind, Resource};

/// Whose usage is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ShowUsage {
    /// An owner's id or address; for admins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// What an owner takes up of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Of what.
    #[schema(value_type = Resource)]
    pub resource: OpenEnum<Resource>,
    /// How much is taken up.
    pub used: u64,
    /// How much may be.
    pub limit: u64,
    /// In which unit both are.
    #[schema(value_type = Unit)]
    pub unit: OpenEnum<Unit>,
    /// What happens at the limit.
    #[schema(value_type = AtLimit)]
    pub at_limit: OpenEnum<AtLimit>,
    /// What frees it, in words.
    pub freed_by: String,
}

impl Usage {
    /// So much of a resource.
    pub fn of(resource: Resource, used: u64, limit: u64) -> Self {
        let unit = if resource.is_in_bytes() { Unit::Bytes } else { Unit::Pieces };
        let at_limit = match resource.kind() {
            Kind::Kept => AtLimit::Refused,
            Kind::History => AtLimit::OldestGo,
        };
        Self {
            resource: resource.into(),
            used,
            limit,
            unit: unit.into(),
            at_limit: at_limit.into(),
            freed_by: resource.freed_by().to_owned(),
        }
    }
}

/// The unit of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Things.
    Pieces,
}

/// What happens at a limit. `refused`: more is refused; `oldest_go`: the owner's oldest finished jobs or
/// deliveries go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AtLimit {
    /// More is refused.
    Refused,
    /// The oldest go.
    OldestGo,
}
