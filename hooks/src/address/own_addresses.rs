//! The addresses of this machine's own interfaces.
//!
//! Services that listen there are often meant for this machine alone and trust local clients, also where the
//! address is public and a firewall blocks everything else. The list is refreshed periodically, because
//! addresses change; an address that is only translated to this machine (a cloud's public address) is not in
//! it, and is for the operator to deny.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use parking_lot::Mutex;

use super::embedded_ipv4::with_embedded_ipv4;

/// How old the list of addresses may be. No service listens yet on an address that was just assigned.
const KNOWN_FOR: Duration = Duration::from_secs(10);

/// The addresses of this machine's own interfaces. Cheap to clone.
#[derive(Debug, Clone)]
pub struct OwnAddresses(Arc<Mutex<Known>>);

#[derive(Debug)]
enum Known {
    /// As the kernel listed them, and when.
    Asked(Option<(Instant, Vec<IpAddr>)>),
    /// Fixed, for tests.
    Given(Vec<IpAddr>),
}

impl OwnAddresses {
    /// Those of the machine that this runs on.
    pub fn of_this_machine() -> Self {
        Self(Arc::new(Mutex::new(Known::Asked(None))))
    }

    /// These and no others, for tests.
    pub fn given(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self(Arc::new(Mutex::new(Known::Given(addresses.into_iter().collect()))))
    }

    /// Whether an address is one of this machine's, also where an IPv6 address embeds it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match &mut *self.0.lock() {
            Known::Given(addresses) => is_among(addresses, ip),
            Known::Asked(asked) => is_among(current(asked), ip),
        }
    }
}

impl PartialEq for OwnAddresses {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for OwnAddresses {}

fn is_among(addresses: &[IpAddr], ip: IpAddr) -> bool {
    with_embedded_ipv4(ip).any(|ip| addresses.contains(&ip))
}

/// The list, refreshed where it is too old. When that fails, the previous list stays.
fn current(asked: &mut Option<(Instant, Vec<IpAddr>)>) -> &[IpAddr] {
    let is_fresh = asked.as_ref().is_some_and(|(since, _)| since.elapsed() < KNOWN_FOR);
    if !is_fresh {
        match interfaces() {
            Ok(addresses) => *asked = Some((Instant::now(), addresses)),
            Err(error) => tracing::warn!(%error, "interface addresses not read"),
        }
    }
    asked.as_ref().map_or(&[], |(_, addresses)| addresses)
}

fn interfaces() -> nix::Result<Vec<IpAddr>> {
    let address = |interface: nix::ifaddrs::InterfaceAddress| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    };
    Ok(getifaddrs()?.filter_map(address).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test]
    fn the_kernel_tells_at_least_of_loopback() {
        let own = OwnAddresses::of_this_machine();
        assert!(own.contains("127.0.0.1".parse().unwrap()));
        assert!(!own.contains("93.184.215.14".parse().unwrap()));
    }

    #[test_case("11.22.33.44" => true)]
    #[test_case("::ffff:11.22.33.44" => true; "mapped")]
    #[test_case("64:ff9b::11.22.33.44" => true; "NAT64")]
    #[test_case("2002:b16:212c::1" => true; "6to4")]
    #[test_case("11.22.33.45" => false; "the neighbour")]
    #[test_case("2a00:1450::9" => true)]
    #[test_case("2a00:1450::a" => false)]
    fn leads_here(ip: &str) -> bool {
        let own = ["11.22.33.44", "2a00:1450::9"].map(|ip| ip.parse().unwrap());
        OwnAddresses::given(own).contains(ip.parse().unwrap())
    }
}
