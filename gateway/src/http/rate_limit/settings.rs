//! The limits that an operator may move.

use std::num::{NonZeroU32, NonZeroUsize};

use jobs::env::Reader;

use crate::http::client_ip::Network;

/// How much one user or address may ask for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Requests of one user in a minute.
    pub max_requests_per_minute: NonZeroU32,
    /// Requests without a good token of one address in a minute.
    pub max_anonymous_requests_per_minute: NonZeroU32,
    /// Live streams of one user, or of one address without a token, at once.
    pub max_streams_per_user: usize,
    /// Signed deliveries of one registration in a minute.
    pub max_deliveries_per_minute: NonZeroU32,
    /// Open connections of this gateway.
    pub max_connections: usize,
    /// Of them, those of one address; absent means a quarter.
    pub max_connections_per_address: Option<NonZeroUsize>,
    /// Whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<Network>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // A hundred a second: ten programs that ask ten times a second are let, a loop without a
            // pause is not.
            max_requests_per_minute: NonZeroU32::new(6000).expect("not zero"),
            // A page is three of them. Behind a proxy that is not trusted everybody is one address.
            max_anonymous_requests_per_minute: NonZeroU32::new(600).expect("not zero"),
            max_streams_per_user: 50,
            // Ten a second: a merge of a large project's dependencies is less. What is refused is looked for
            // at the forge all the same.
            max_deliveries_per_minute: NonZeroU32::new(600).expect("not zero"),
            max_connections: 4096,
            max_connections_per_address: None,
            trusted_proxies: Vec::new(),
        }
    }
}

/// Of all connections, one address may hold this part unless it is set: three hostile ones leave room.
const PART_OF_ADDRESS: usize = 4;
/// Of all connections, the part on which calls of one user may wait: more is no use, and they are kept open.
const PART_OF_WAITING: usize = 8;

impl Settings {
    /// Connections of one address; never more than all.
    pub(crate) fn connections_per_address(&self) -> usize {
        let part = (self.max_connections / PART_OF_ADDRESS).max(1);
        self.max_connections_per_address.map_or(part, NonZeroUsize::get)
    }

    /// Calls of one user that wait for their jobs at once.
    pub(crate) fn waiting_calls_per_user(&self) -> usize {
        (self.max_connections / PART_OF_WAITING).max(1)
    }

    /// Reads all of them.
    pub(crate) fn read(env: &mut Reader<'_>) -> Self {
        let default = Self::default();
        Self {
            max_requests_per_minute: env
                .or("GITFAAS_MAX_REQUESTS_PER_MINUTE", default.max_requests_per_minute),
            max_anonymous_requests_per_minute: env
                .or("GITFAAS_MAX_ANONYMOUS_REQUESTS_PER_MINUTE", default.max_anonymous_requests_per_minute),
            max_streams_per_user: env.or("GITFAAS_MAX_STREAMS_PER_USER", default.max_streams_per_user),
            max_deliveries_per_minute: env
                .or("GITFAAS_MAX_DELIVERIES_PER_MINUTE", default.max_deliveries_per_minute),
            max_connections: env.or("GITFAAS_MAX_CONNECTIONS", default.max_connections),
            max_connections_per_address: env.optional("GITFAAS_MAX_CONNECTIONS_PER_ADDRESS"),
            trusted_proxies: env.list("GITFAAS_TRUSTED_PROXIES"),
        }
    }
}
