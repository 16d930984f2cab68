//! The client's IP address, behind trusted proxies.
//!
//! The forwarding headers of a proxy are trusted only where the operator says so (`GITFAAS_TRUSTED_PROXIES`):
//! any other peer can write anything into `X-Forwarded-For` and `X-Forwarded-Proto`.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use http::{Extensions, HeaderMap};
use ipnet::IpNet;

/// The address of the connection's peer; the server adds it to every request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerAddress(pub(crate) SocketAddr);

/// The client, behind whatever proxies are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    /// Whether the client uses TLS, as a trusted proxy says; `None` without one.
    pub(crate) with_tls: Option<bool>,
}

tokio::task_local! {
    /// The client of the request that is being answered.
    pub(crate) static CLIENT: Client;
}

/// The address of the client whose request is being answered; `None` outside of one.
pub(crate) fn address() -> Option<IpAddr> {
    CLIENT.try_with(|client| client.address).ok()
}

/// A network of `GITFAAS_TRUSTED_PROXIES`: a CIDR, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

/// Not a network.
#[derive(Debug, thiserror::Error)]
#[error("must be an address or a CIDR")]
pub struct InvalidNetwork;

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let one = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse::<IpNet>().or_else(|_| one()).map(Self).map_err(|_| InvalidNetwork)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The network that an address is counted as: of IPv6, one of 64 bits.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        address @ IpAddr::V4(_) => address,
    }
}

/// Whether an address is that of a trusted proxy.
pub(crate) fn is_trusted(address: IpAddr, trusted: &[Network]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|network| network.0.contains(&address))
}

impl Client {
    /// The client of this request.
    pub(crate) fn of(extensions: &Extensions, headers: &HeaderMap, trusted: &[Network]) -> Self {
        let peer =
            extensions.get::<PeerAddress>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
        let is_trusted = |address: IpAddr| is_trusted(address, trusted);
        let mut address = peer.to_canonical();
        if !is_trusted(address) {
            return Self { address, with_tls: None };
        }
        let words = |name: &str| -> Vec<String> {
            let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            values.flat_map(|value| value.split(',')).map(|word| word.trim().to_owned()).collect()
        };
        // Each proxy appends the address of its peer; what stands before the first untrusted address may be
        // invented.
        for word in words("x-forwarded-for").iter().rev() {
            let Some(before) = forwarded(word) else { break };
            address = before;
            if !is_trusted(address) {
                break;
            }
        }
        let with_tls = words("x-forwarded-proto").last().map(|word| word.eq_ignore_ascii_case("https"));
        Self { address, with_tls }
    }
}

/// An address as proxies write it: with or without a port.
fn forwarded(word: &str) -> Option<IpAddr> {
    let address = word.parse::<IpAddr>().ok();
    let address = address.or_else(|| word.parse::<SocketAddr>().ok().map(|address| address.ip()));
    let bracketed = || word.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok();
    address.or_else(bracketed).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    fn client(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut extensions = Extensions::new();
        extensions.insert(PeerAddress(SocketAddr::new(peer.parse().unwrap(), 1)));
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let trusted: Vec<Network> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        Client::of(&extensions, &headers, &trusted).address.to_string()
    }

    #[test_case("192.0.2.1", &["10.9.9.9"], &[] => "192.0.2.1" ; "nobody is trusted")]
    #[test_case("192.0.2.1", &["10.9.9.9"], &["10.0.0.0/8"] => "192.0.2.1" ; "the sender is not trusted")]
    #[test_case("10.0.0.1", &["198.51.100.7"], &["10.0.0.0/8"] => "198.51.100.7" ; "one proxy")]
    #[test_case("10.0.0.1", &["1.1.1.1, 198.51.100.7"], &["10.0.0.1"] => "198.51.100.7" ; "what the client invented")]
    #[test_case("10.0.0.1", &["1.1.1.1", "198.51.100.7, 10.0.0.2"], &["10.0.0.0/8"] => "198.51.100.7" ; "two proxies")]
    #[test_case("10.0.0.1", &["nonsense"], &["10.0.0.0/8"] => "10.0.0.1" ; "nonsense")]
    #[test_case("10.0.0.1", &[], &["10.0.0.0/8"] => "10.0.0.1" ; "the proxy itself")]
    #[test_case("10.0.0.1", &["198.51.100.7:4711"], &["10.0.0.0/8"] => "198.51.100.7" ; "with a port")]
    #[test_case("10.0.0.1", &["[2001:db8::1]:80"], &["10.0.0.0/8"] => "2001:db8::1" ; "version 6 with a port")]
    #[test_case("::ffff:10.0.0.1", &["::ffff:198.51.100.7"], &["10.0.0.0/8"] => "198.51.100.7" ; "version 4 in version 6")]
    fn who_asks(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        client(peer, forwarded, trusted)
    }

    #[test]
    fn only_a_trusted_proxy_tells_about_tls() {
        let mut extensions = Extensions::new();
        extensions.insert(PeerAddress("10.0.0.1:1".parse().unwrap()));
        let headers =
            HeaderMap::from_iter([("x-forwarded-proto".parse().unwrap(), "https".parse().unwrap())]);
        assert_eq!(Client::of(&extensions, &headers, &[]).with_tls, None);
        assert_eq!(Client::of(&extensions, &headers, &["10.0.0.1".parse().unwrap()]).with_tls, Some(true));
    }

    #[test_case("10.0.0.0/8" => true)]
    #[test_case("::1" => true ; "one address")]
    #[test_case("proxy.example" => false ; "a name")]
    fn is_a_network(text: &str) -> bool {
        text.parse::<Network>().is_ok()
    }
}
