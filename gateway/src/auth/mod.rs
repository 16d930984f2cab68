//! Authenticates and authorizes API callers.

pub(crate) mod access_watch;
pub(crate) mod bearer_tokens;
pub(crate) mod identity;
pub(crate) mod last_used;
mod own_tokens;
pub(crate) mod rights;
pub(crate) mod tokens;
