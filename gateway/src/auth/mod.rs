//! Authenticates and authorizes API callers.

pub(crate) mod access_watch;
pub(crate) mod bearers;
pub(crate) mod caller;
pub(crate) mod last_used;
pub(crate) mod tokens;
