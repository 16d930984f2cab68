//! The usage of an owner as the API shows it.

use jobs::{
    UserId,
    api::Usage,
    usage::{Kind, Resource},
};

use crate::{error::ApiError, usage::Budgets};

impl Budgets {
    /// Usage and limit of every resource of an owner, counted now.
    pub(crate) fn usage_of(&self, owner: UserId) -> Result<Vec<Usage>, ApiError> {
        let history = self.history_usage(owner)?;
        let view = |resource: Resource| {
            let used = match resource.kind() {
                Kind::Kept => self.used_by(owner, resource),
                Kind::History => history.of(resource),
            };
            Usage::of(resource, used, self.limit_of(owner, resource))
        };
        Ok(Resource::ALL.into_iter().map(view).collect())
    }
}
