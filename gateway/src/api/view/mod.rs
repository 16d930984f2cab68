//! How records become what `/api/v1` shows ([`jobs::api`]).

mod delivery;
mod repository;

pub(crate) use delivery::delivery;
pub(crate) use repository::{repo, viewed_repo};
