//! What an owner takes up, of how much, and what frees it; as it is shown.

use jobs::{
    UserId,
    usage::{Kind, Resource},
};
use serde::Serialize;

use crate::{error::ApiError, usage::Budgets};

/// What is shown of one resource.
#[derive(Debug, Serialize)]
pub(crate) struct UsageView {
    resource: Resource,
    used: u64,
    limit: u64,
    /// `bytes` or `pieces`.
    unit: &'static str,
    /// `refused`: more is refused at the limit; `oldest_go`: the oldest goes.
    at_limit: &'static str,
    /// What frees it, in words.
    freed_by: &'static str,
}

impl Budgets {
    /// What an owner takes up of everything, counted now.
    pub(crate) fn usage_of(&self, owner: UserId) -> Result<Vec<UsageView>, ApiError> {
        let history = self.history_of(owner)?;
        let view = |resource: Resource| UsageView {
            resource,
            used: match resource.kind() {
                Kind::Kept => self.kept(owner, resource),
                Kind::History => history.of(resource),
            },
            limit: self.limit_of(owner, resource),
            unit: if resource.is_in_bytes() { "bytes" } else { "pieces" },
            at_limit: match resource.kind() {
                Kind::Kept => "refused",
                Kind::History => "oldest_go",
            },
            freed_by: resource.freed_by(),
        };
        Ok(Resource::ALL.into_iter().map(view).collect())
    }
}
