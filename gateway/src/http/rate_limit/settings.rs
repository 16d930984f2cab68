//! The rate limits that an operator can set.

use std::num::{NonZeroU32, NonZeroUsize};

use jobs::settings::{
    GITFAAS_MAX_ANONYMOUS_REQUESTS_PER_MINUTE, GITFAAS_MAX_CONNECTIONS, GITFAAS_MAX_CONNECTIONS_PER_ADDRESS,
    GITFAAS_MAX_DELIVERIES_PER_MINUTE, GITFAAS_MAX_PUBLIC_CALLS_AT_ONCE,
    GITFAAS_MAX_PUBLIC_CALLS_PER_ADDRESS_AT_ONCE, GITFAAS_MAX_PUBLIC_CALLS_PER_ADDRESS_PER_MINUTE,
    GITFAAS_MAX_PUBLIC_CALLS_PER_MINUTE, GITFAAS_MAX_REQUESTS_PER_MINUTE, GITFAAS_MAX_STREAMS_PER_USER,
    GITFAAS_TRUSTED_PROXIES, Reader,
};

use crate::http::client_ip::Network;

/// Rate limits of users and addresses.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Requests of one user in a minute.
    pub max_requests_per_minute: NonZeroU32,
    /// Requests without a valid token from one address in a minute.
    pub max_anonymous_requests_per_minute: NonZeroU32,
    /// Live streams of one user, or of one address without a token, at once.
    pub max_streams_per_user: usize,
    /// Signed deliveries of one registration in a minute.
    pub max_deliveries_per_minute: NonZeroU32,
    /// Calls of one public or signed function in a minute.
    pub max_public_calls_per_minute: NonZeroU32,
    /// Of those of a public function, calls of one address.
    pub max_public_calls_per_address_per_minute: NonZeroU32,
    /// Calls of one public or signed function that are being answered at once.
    pub max_public_calls_at_once: usize,
    /// Of those of a public function, calls of one address.
    pub max_public_calls_per_address_at_once: usize,
    /// Open connections of this gateway.
    pub max_connections: usize,
    /// Of them, those of one address; absent means a quarter.
    pub max_connections_per_address: Option<NonZeroUsize>,
    /// The proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are trusted.
    pub trusted_proxies: Vec<Network>,
}

impl Default for Settings {
    fn default() -> Self {
        Self::read(&mut Reader::new(&|_| None))
    }
}

/// The part of all connections that one address may hold unless it is set: three hostile ones leave room.
const PART_OF_ADDRESS: usize = 4;
/// The part of all connections on which calls of one user may wait, since they are kept open.
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

    /// Reads the settings.
    pub(crate) fn read(env: &mut Reader<'_>) -> Self {
        Self {
            max_requests_per_minute: env.value(GITFAAS_MAX_REQUESTS_PER_MINUTE),
            max_anonymous_requests_per_minute: env.value(GITFAAS_MAX_ANONYMOUS_REQUESTS_PER_MINUTE),
            max_streams_per_user: env.value(GITFAAS_MAX_STREAMS_PER_USER),
            max_deliveries_per_minute: env.value(GITFAAS_MAX_DELIVERIES_PER_MINUTE),
            max_public_calls_per_minute: env.value(GITFAAS_MAX_PUBLIC_CALLS_PER_MINUTE),
            max_public_calls_per_address_per_minute: env
                .value(GITFAAS_MAX_PUBLIC_CALLS_PER_ADDRESS_PER_MINUTE),
            max_public_calls_at_once: env.value(GITFAAS_MAX_PUBLIC_CALLS_AT_ONCE),
            max_public_calls_per_address_at_once: env.value(GITFAAS_MAX_PUBLIC_CALLS_PER_ADDRESS_AT_ONCE),
            max_connections: env.value(GITFAAS_MAX_CONNECTIONS),
            max_connections_per_address: env.optional(GITFAAS_MAX_CONNECTIONS_PER_ADDRESS),
            trusted_proxies: env.list(GITFAAS_TRUSTED_PROXIES),
        }
    }
}
