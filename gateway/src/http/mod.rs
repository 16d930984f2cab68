//! HTTP itself: connections, limits, clients' addresses, and what holds for every route.

pub(crate) mod client_ip;
pub(crate) mod connections;
pub(crate) mod credentials;
pub(crate) mod layers;
pub(crate) mod rate_limit;

/// The largest JSON body, in bytes: far above what any request of ours needs.
pub(crate) const MAX_BODY_BYTES: usize = 256 * 1024;
