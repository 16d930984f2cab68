//! The table of open connections, and which is evicted for a new one.
//!
//! An address has a share of all connections. A new connection of an address that holds its share replaces
//! that address's connection that has been idle longest; when all connections are taken, the address that
//! holds most loses one. A connection is idle when it has no request, or has not sent it whole: one that
//! waits for a response, or is being sent one, is never evicted. Connections of a trusted proxy count for the
//! client that the proxy names, once it has.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use parking_lot::{Mutex, MutexGuard};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::http::{
    client_ip::{Network, is_trusted, network},
    rate_limit::Settings,
};

/// All connections of a gateway.
#[derive(Debug)]
pub(crate) struct Connections {
    most: usize,
    /// The most of one address.
    share: usize,
    trusted: Vec<Network>,
    table: Mutex<Table>,
    /// A connection ended, or became idle.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    open: HashMap<u64, Connection>,
    /// Connections of each address; an address without any has no entry.
    counts: HashMap<IpAddr, usize>,
}

/// What a connection does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No request, or headers that are not complete.
    Waiting,
    /// A request whose body is not complete.
    Receiving,
    /// A complete request that is being answered.
    Answering,
}

#[derive(Debug)]
struct Connection {
    /// The network that it counts for; `None` for a trusted proxy that has named no client.
    network: Option<IpAddr>,
    is_from_proxy: bool,
    phase: Phase,
    since: Instant,
    close: CancellationToken,
}

/// Whether a new connection is admitted.
#[derive(Debug)]
pub(super) enum Admission {
    Granted(ConnectionPermit),
    /// Its address holds its share, and is being answered on all of it.
    OverShare,
    /// Every connection is being answered.
    Full,
}

/// The address of a request holds its share of connections already.
#[derive(Debug)]
pub(super) struct OverShare;

/// Admits one connection; released on drop.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    pub(super) handle: ConnectionHandle,
    close: CancellationToken,
}

/// Refers to a connection in the table.
#[derive(Debug, Clone)]
pub(super) struct ConnectionHandle {
    id: u64,
    connections: Arc<Connections>,
}

impl Connections {
    pub(crate) fn new(settings: &Settings) -> Arc<Self> {
        let most = settings.max_connections.max(1);
        Arc::new(Self {
            most,
            share: settings.connections_per_address().min(most),
            trusted: settings.trusted_proxies.clone(),
            table: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Admits a connection, evicting another one if need be.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Admission {
        let is_from_proxy = is_trusted(peer, &self.trusted);
        let of = (!is_from_proxy).then(|| network(peer));
        let mut table = self.lock();
        if of.is_some_and(|of| !table.can_admit(of, self.share)) {
            return Admission::OverShare;
        }
        if table.open.len() >= self.most && !table.evict_idle(None) {
            return Admission::Full;
        }
        table.last += 1;
        let id = table.last;
        let close = CancellationToken::new();
        let since = Instant::now();
        let connection =
            Connection { network: of, is_from_proxy, phase: Phase::Waiting, since, close: close.clone() };
        table.open.insert(id, connection);
        table.count(of);
        Admission::Granted(ConnectionPermit {
            handle: ConnectionHandle { id, connections: Arc::clone(self) },
            close,
        })
    }

    /// Waits until there may be room: once for each connection that ended or became idle.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }
}

impl Table {
    fn count(&mut self, network: Option<IpAddr>) {
        if let Some(network) = network {
            *self.counts.entry(network).or_default() += 1;
        }
    }

    fn uncount(&mut self, network: Option<IpAddr>) {
        let Some(network) = network else { return };
        match self.counts.get_mut(&network) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                self.counts.remove(&network);
            }
        }
    }

    fn holds(&self, network: Option<IpAddr>) -> usize {
        network.and_then(|network| self.counts.get(&network).copied()).unwrap_or(0)
    }

    /// Whether an address may hold one more connection, evicting an idle one of its own if need be.
    fn can_admit(&mut self, network: IpAddr, share: usize) -> bool {
        self.holds(Some(network)) < share || self.evict_idle(Some(network))
    }

    /// Closes the connection that has been idle longest: of this address, or of the one that holds most.
    fn evict_idle(&mut self, of: Option<IpAddr>) -> bool {
        let idle = self.open.iter().filter(|(_, connection)| match connection.phase {
            Phase::Waiting | Phase::Receiving => of.is_none() || connection.network == of,
            Phase::Answering => false,
        });
        let candidate = idle.max_by_key(|(_, connection)| {
            (self.holds(connection.network), std::cmp::Reverse(connection.since))
        });
        let Some(id) = candidate.map(|(id, _)| *id) else { return false };
        if let Some(connection) = self.take(id) {
            tracing::debug!(network = ?connection.network, phase = ?connection.phase, "idle connection evicted");
            connection.close.cancel();
        }
        true
    }

    fn take(&mut self, id: u64) -> Option<Connection> {
        let connection = self.open.remove(&id)?;
        self.uncount(connection.network);
        Some(connection)
    }
}

impl ConnectionPermit {
    /// Returns when the connection was evicted for another one.
    pub(super) async fn evicted(&self) {
        self.close.cancelled().await;
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.handle.connections.lock().take(self.handle.id);
        self.handle.connections.changed.notify_one();
    }
}

impl ConnectionHandle {
    /// The proxies whose forwarding headers are trusted.
    pub(super) fn trusted(&self) -> &[Network] {
        &self.connections.trusted
    }

    /// A request of this client begins.
    ///
    /// # Errors
    /// A proxy names a client that holds its share already.
    pub(super) fn request_started(&self, client: IpAddr) -> Result<(), OverShare> {
        let connections = &self.connections;
        let mut table = connections.lock();
        let is_from_proxy = table.open.get(&self.id).is_some_and(|connection| connection.is_from_proxy);
        let named = (is_from_proxy && !is_trusted(client, &connections.trusted)).then(|| network(client));
        if let Some(of) = named
            && !table.can_admit(of, connections.share)
        {
            return Err(OverShare);
        }
        if let Some(connection) = table.open.get_mut(&self.id) {
            (connection.phase, connection.since) = (Phase::Receiving, Instant::now());
            if named.is_some() {
                connection.network = named;
                table.count(named);
            }
        }
        Ok(())
    }

    /// The request's body is complete, or no longer read.
    pub(super) fn request_received(&self) {
        if let Some(connection) = self.connections.lock().open.get_mut(&self.id)
            && connection.phase == Phase::Receiving
        {
            connection.phase = Phase::Answering;
        }
    }

    /// The response was sent, or abandoned.
    pub(super) fn response_sent(&self) {
        let mut table = self.connections.lock();
        let Some(connection) = table.open.get_mut(&self.id) else { return };
        (connection.phase, connection.since) = (Phase::Waiting, Instant::now());
        if connection.is_from_proxy {
            let named = connection.network.take();
            table.uncount(named);
        }
        drop(table);
        self.connections.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(most: usize, share: usize, trusted: &[&str]) -> Arc<Connections> {
        Connections::new(&Settings {
            max_connections: most,
            max_connections_per_address: Some(share.try_into().unwrap()),
            trusted_proxies: trusted.iter().map(|network| network.parse().unwrap()).collect(),
            ..Settings::default()
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn granted(connections: &Arc<Connections>, peer: &str) -> ConnectionPermit {
        match connections.admit(ip(peer)) {
            Admission::Granted(permit) => permit,
            refused => panic!("{refused:?}"),
        }
    }

    fn is_open(permit: &ConnectionPermit) -> bool {
        !permit.close.is_cancelled()
    }

    /// A request that is being answered.
    fn answering(connections: &Arc<Connections>, peer: &str) -> ConnectionPermit {
        let permit = granted(connections, peer);
        permit.handle.request_started(ip(peer)).unwrap();
        permit.handle.request_received();
        permit
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_idle_one_of_the_address_that_holds_most_makes_room() {
        let connections = connections(4, 3, &[]);
        let lonely = granted(&connections, "192.0.2.9");
        let mut open = Vec::new();
        for _ in 0..3 {
            tokio::time::advance(std::time::Duration::from_secs(1)).await;
            open.push(granted(&connections, "192.0.2.1"));
        }
        // The first of them is being answered, so the second one is the oldest that is idle.
        open[0].handle.request_started(ip("192.0.2.1")).unwrap();
        open[0].handle.request_received();
        let newcomer = granted(&connections, "192.0.2.2");
        assert_eq!(open.iter().map(is_open).collect::<Vec<_>>(), [true, false, true]);
        assert!(is_open(&lonely) && is_open(&newcomer));
    }

    #[tokio::test]
    async fn whoever_holds_its_share_makes_room_for_itself_alone() {
        let connections = connections(100, 2, &[]);
        let others = granted(&connections, "192.0.2.9");
        let first = granted(&connections, "192.0.2.1");
        let busy = answering(&connections, "192.0.2.1");
        let third = granted(&connections, "192.0.2.1");
        assert!(!is_open(&first) && is_open(&busy) && is_open(&third) && is_open(&others));
        third.handle.request_started(ip("192.0.2.1")).unwrap();
        let fourth = granted(&connections, "192.0.2.1");
        assert!(!is_open(&third), "a body that has not come to its end is idle");
        fourth.handle.request_started(ip("192.0.2.1")).unwrap();
        fourth.handle.request_received();
        assert!(matches!(connections.admit(ip("192.0.2.1")), Admission::OverShare));
        fourth.handle.response_sent();
        assert!(matches!(connections.admit(ip("192.0.2.1")), Admission::Granted(_)));
    }

    #[tokio::test]
    async fn nobody_who_is_being_answered_makes_room() {
        let connections = connections(2, 1, &[]);
        let _one = answering(&connections, "192.0.2.1");
        let other = answering(&connections, "192.0.2.2");
        assert!(matches!(connections.admit(ip("192.0.2.3")), Admission::Full));
        drop(other);
        assert!(matches!(connections.admit(ip("192.0.2.3")), Admission::Granted(_)));
    }

    #[tokio::test]
    async fn a_customer_of_version_6_is_one_address_and_nobody_is_remembered() {
        let connections = connections(100, 1, &[]);
        let first = granted(&connections, "2001:db8::1");
        let second = granted(&connections, "2001:db8::ffff:1");
        assert!(!is_open(&first) && is_open(&second));
        drop((first, second));
        let table = connections.lock();
        assert!(table.open.is_empty() && table.counts.is_empty());
    }

    #[tokio::test]
    async fn a_trusted_proxy_is_exempt_and_the_client_that_it_names_is_not() {
        let connections = connections(100, 1, &["10.0.0.1"]);
        let through: Vec<ConnectionPermit> = (0..3).map(|_| granted(&connections, "10.0.0.1")).collect();
        through[0].handle.request_started(ip("192.0.2.1")).unwrap();
        through[0].handle.request_received();
        assert!(through[1].handle.request_started(ip("192.0.2.1")).is_err(), "one connection is its share");
        assert!(through[1].handle.request_started(ip("192.0.2.2")).is_ok());
        assert!(through[2].handle.request_started(ip("10.0.0.1")).is_ok(), "what the proxy asks by itself");
        through[0].handle.response_sent();
        assert!(through[0].handle.request_started(ip("192.0.2.1")).is_ok(), "it was answered");
        assert!(matches!(connections.admit(ip("192.0.2.2")), Admission::Granted(_)), "its body was open");
        assert!(!is_open(&through[1]));
    }

    #[tokio::test]
    async fn what_ends_late_of_a_request_that_was_answered_changes_nothing() {
        let connections = connections(1, 1, &[]);
        let permit = granted(&connections, "192.0.2.1");
        permit.handle.request_started(ip("192.0.2.1")).unwrap();
        permit.handle.response_sent();
        permit.handle.request_received();
        assert!(matches!(connections.admit(ip("192.0.2.2")), Admission::Granted(_)), "it is idle");
    }
}
