//! The usage of an owner as the API shows it.

use jobs::{
    UserId,
    api::Usage,
    usage::{Kind, Resource},
};

use crate::{error::ApiError, usage::Budgets};

impl Budgets {
    /// Usage and limit of every resource of an owner, counted now.
    pub(crate) async fn usage_of(&self, owner: UserId) -> Result<Vec<Usage>, ApiError> {
        let history = self.history_usage(owner).await?;
        let mut usage = Vec::with_capacity(Resource::ALL.len());
        for resource in Resource::ALL {
            let used = match resource.kind() {
                Kind::Kept => self.used_by(owner, resource).await?,
                Kind::History => history.of(resource),
            };
            usage.push(Usage::of(resource, used, self.limit_of(owner, resource)));
        }
        Ok(usage)
    }
}
