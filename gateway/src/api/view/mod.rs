//! How records become what `/api/v1` shows ([`jobs::api`]).

mod delivery;
mod job_input;
mod repository;

pub(crate) use delivery::delivery;
pub(crate) use job_input::job_input;
pub(crate) use repository::{repo, viewed_repo};
