//! What an owner takes up, of how much, and what frees it; as it is shown.

use jobs::{
    UserId,
    api::Usage,
    usage::{Kind, Resource},
};

use crate::{error::ApiError, usage::Budgets};

impl Budgets {
    /// What an owner takes up of everything, counted now.
    pub(crate) fn usage_of(&self, owner: UserId) -> Result<Vec<Usage>, ApiError> {
        let history = self.history_of(owner)?;
        let view = |resource: Resource| {
            let used = match resource.kind() {
                Kind::Kept => self.kept(owner, resource),
                Kind::History => history.of(resource),
            };
            Usage::of(resource, used, self.limit_of(owner, resource))
        };
        Ok(Resource::ALL.into_iter().map(view).collect())
    }
}
