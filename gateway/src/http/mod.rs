//! The HTTP server: connections, rate limits, client addresses, and the layers around every route.

pub(crate) mod asked_at;
pub(crate) mod client_ip;
pub(crate) mod connections;
pub(crate) mod credentials;
pub(crate) mod layers;
pub(crate) mod rate_limit;

/// The largest JSON body, in bytes: far above what any request needs.
pub(crate) const MAX_BODY_BYTES: usize = 256 * 1024;
