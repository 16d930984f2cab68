//! HTTP.

pub(crate) mod client_ip;
pub(crate) mod connections;
pub(crate) mod rate_limit;
pub(crate) mod router;
