//! What became of a job's status at the forge, for whoever looks at the job.

use jobs::{Job, bucket::Entry};

use crate::{error::ApiError, gateway::Gateway, view::StatusView};

impl Gateway {
    /// The state of a job's status; `None` of a job that has nothing to do with a forge.
    pub(crate) async fn status_view(&self, _entry: &Entry<Job>) -> Result<Option<StatusView>, ApiError> {
        // Nothing is known yet: what was posted and refused is asked of the outbox by what comes next.
        Ok(None)
    }
}
