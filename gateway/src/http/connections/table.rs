//! Who holds which connection, and whose makes room.
//!
//! An address has a share of all connections. A newcomer of one that holds its share takes the place of
//! the connection of that address that has been idle longest; where all connections are taken, the
//! address that holds most makes room. Idle is who has no request in hand, or has not sent it whole:
//! whoever waits for an answer, or is being sent one, keeps the connection. What a trusted proxy opens
//! counts for the client that it names, from the moment it does.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

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
    /// Of one address.
    share: usize,
    trusted: Vec<Network>,
    table: Mutex<Table>,
    /// Something ended, or became idle.
    stirred: Notify,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    open: HashMap<u64, Held>,
    /// How many each address holds; who holds none has no entry.
    counts: HashMap<IpAddr, usize>,
}

/// What a connection does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No request, or a head that has not come to its end.
    Waiting,
    /// A request whose body has not come to its end.
    Receiving,
    /// A whole request that is being answered.
    Answering,
}

#[derive(Debug)]
struct Held {
    /// Whom it counts for; `None` for a trusted proxy that has named nobody.
    network: Option<IpAddr>,
    is_proxys: bool,
    phase: Phase,
    since: Instant,
    close: CancellationToken,
}

/// What becomes of a newcomer.
#[derive(Debug)]
pub(super) enum Admission {
    Granted(Place),
    /// Its address holds its share, and is being answered on all of it.
    OverShare,
    /// Every connection is being answered.
    Full,
}

/// The address of a request holds its share of connections already.
#[derive(Debug)]
pub(super) struct OverShare;

/// A connection's place, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) ticket: Ticket,
    close: CancellationToken,
}

/// Names a connection to the table.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
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
            stirred: Notify::new(),
        })
    }

    /// Lets a newcomer in, in another's place if need be.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Admission {
        let is_proxys = is_trusted(peer, &self.trusted);
        let of = (!is_proxys).then(|| network(peer));
        let mut table = self.lock();
        if of.is_some_and(|of| !table.has_room_for(of, self.share)) {
            return Admission::OverShare;
        }
        if table.open.len() >= self.most && !table.make_room(None) {
            return Admission::Full;
        }
        table.last += 1;
        let id = table.last;
        let close = CancellationToken::new();
        let since = Instant::now();
        let held = Held { network: of, is_proxys, phase: Phase::Waiting, since, close: close.clone() };
        table.open.insert(id, held);
        table.count(of);
        Admission::Granted(Place { ticket: Ticket { id, connections: Arc::clone(self) }, close })
    }

    /// Waits until there may be room: once for each time that something ended or became idle.
    pub(super) async fn stirred(&self) {
        self.stirred.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn count(&mut self, network: Option<IpAddr>) {
        if let Some(network) = network {
            *self.counts.entry(network).or_default() += 1;
        }
    }

    fn discount(&mut self, network: Option<IpAddr>) {
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

    /// Whether an address may hold one more, which an idle one of its own may have to go for.
    fn has_room_for(&mut self, network: IpAddr, share: usize) -> bool {
        self.holds(Some(network)) < share || self.make_room(Some(network))
    }

    /// Closes the connection that has been idle longest: of this address, or of the one that holds most.
    fn make_room(&mut self, of: Option<IpAddr>) -> bool {
        let idle = self.open.iter().filter(|(_, held)| match held.phase {
            Phase::Waiting | Phase::Receiving => of.is_none() || held.network == of,
            Phase::Answering => false,
        });
        let fairest = idle.max_by_key(|(_, held)| (self.holds(held.network), std::cmp::Reverse(held.since)));
        let Some(id) = fairest.map(|(id, _)| *id) else { return false };
        if let Some(held) = self.take(id) {
            tracing::debug!(network = ?held.network, phase = ?held.phase, "connection closed to make room");
            held.close.cancel();
        }
        true
    }

    fn take(&mut self, id: u64) -> Option<Held> {
        let held = self.open.remove(&id)?;
        self.discount(held.network);
        Some(held)
    }
}

impl Place {
    /// Another connection was let in for this one.
    pub(super) async fn is_taken(&self) {
        self.close.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.ticket.connections.lock().take(self.ticket.id);
        self.ticket.connections.stirred.notify_one();
    }
}

impl Ticket {
    /// Whose word about a client is believed.
    pub(super) fn trusted(&self) -> &[Network] {
        &self.connections.trusted
    }

    /// A request of this client begins.
    ///
    /// # Errors
    /// A proxy names a client that holds its share already.
    pub(super) fn begins(&self, client: IpAddr) -> Result<(), OverShare> {
        let connections = &self.connections;
        let mut table = connections.lock();
        let is_proxys = table.open.get(&self.id).is_some_and(|held| held.is_proxys);
        let named = (is_proxys && !is_trusted(client, &connections.trusted)).then(|| network(client));
        if let Some(of) = named
            && !table.has_room_for(of, connections.share)
        {
            return Err(OverShare);
        }
        if let Some(held) = table.open.get_mut(&self.id) {
            (held.phase, held.since) = (Phase::Receiving, Instant::now());
            if named.is_some() {
                held.network = named;
                table.count(named);
            }
        }
        Ok(())
    }

    /// The request's body came to its end, or nobody reads on.
    pub(super) fn is_whole(&self) {
        if let Some(held) = self.connections.lock().open.get_mut(&self.id)
            && held.phase == Phase::Receiving
        {
            held.phase = Phase::Answering;
        }
    }

    /// The request was answered to its end.
    pub(super) fn is_answered(&self) {
        let mut table = self.connections.lock();
        let Some(held) = table.open.get_mut(&self.id) else { return };
        (held.phase, held.since) = (Phase::Waiting, Instant::now());
        if held.is_proxys {
            let named = held.network.take();
            table.discount(named);
        }
        drop(table);
        self.connections.stirred.notify_one();
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

    fn granted(connections: &Arc<Connections>, peer: &str) -> Place {
        match connections.admit(ip(peer)) {
            Admission::Granted(place) => place,
            refused => panic!("{refused:?}"),
        }
    }

    fn is_open(place: &Place) -> bool {
        !place.close.is_cancelled()
    }

    /// A request that is being answered.
    fn answering(connections: &Arc<Connections>, peer: &str) -> Place {
        let place = granted(connections, peer);
        place.ticket.begins(ip(peer)).unwrap();
        place.ticket.is_whole();
        place
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_idle_one_of_the_address_that_holds_most_makes_room() {
        let connections = connections(4, 3, &[]);
        let lonely = granted(&connections, "192.0.2.9");
        let mut held = Vec::new();
        for _ in 0..3 {
            tokio::time::advance(std::time::Duration::from_secs(1)).await;
            held.push(granted(&connections, "192.0.2.1"));
        }
        // The first of them is being answered, so the second one is the oldest that is idle.
        held[0].ticket.begins(ip("192.0.2.1")).unwrap();
        held[0].ticket.is_whole();
        let newcomer = granted(&connections, "192.0.2.2");
        assert_eq!(held.iter().map(is_open).collect::<Vec<_>>(), [true, false, true]);
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
        third.ticket.begins(ip("192.0.2.1")).unwrap();
        let fourth = granted(&connections, "192.0.2.1");
        assert!(!is_open(&third), "a body that has not come to its end is idle");
        fourth.ticket.begins(ip("192.0.2.1")).unwrap();
        fourth.ticket.is_whole();
        assert!(matches!(connections.admit(ip("192.0.2.1")), Admission::OverShare));
        fourth.ticket.is_answered();
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
        let through: Vec<Place> = (0..3).map(|_| granted(&connections, "10.0.0.1")).collect();
        through[0].ticket.begins(ip("192.0.2.1")).unwrap();
        through[0].ticket.is_whole();
        assert!(through[1].ticket.begins(ip("192.0.2.1")).is_err(), "one connection is its share");
        assert!(through[1].ticket.begins(ip("192.0.2.2")).is_ok());
        assert!(through[2].ticket.begins(ip("10.0.0.1")).is_ok(), "what the proxy asks by itself");
        through[0].ticket.is_answered();
        assert!(through[0].ticket.begins(ip("192.0.2.1")).is_ok(), "it was answered");
        assert!(matches!(connections.admit(ip("192.0.2.2")), Admission::Granted(_)), "its body was open");
        assert!(!is_open(&through[1]));
    }

    #[tokio::test]
    async fn what_ends_late_of_a_request_that_was_answered_changes_nothing() {
        let connections = connections(1, 1, &[]);
        let place = granted(&connections, "192.0.2.1");
        place.ticket.begins(ip("192.0.2.1")).unwrap();
        place.ticket.is_answered();
        place.ticket.is_whole();
        assert!(matches!(connections.admit(ip("192.0.2.2")), Admission::Granted(_)), "it is idle");
    }
}
