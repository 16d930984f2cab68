//! Who is at the other end of a connection.
//!
//! A proxy is believed where the operator says so (`GITFAAS_TRUSTED_PROXIES`), and nobody else: whoever
//! connects from elsewhere may write what he likes into `X-Forwarded-For` and `X-Forwarded-Proto`.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use http::{Extensions, HeaderMap};
use ipnet::IpNet;

/// Who opened the connection; the server puts it beside every request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The client, behind whatever proxies are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    /// What a trusted proxy says that the client speaks with it; `None` where nobody says.
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
pub struct NotANetwork;

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let one = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse::<IpNet>().or_else(|_| one()).map(Self).map_err(|_| NotANetwork)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an address is counted as: of version 6 a network of 64 bits is one customer.
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
    /// Who sent this request.
    pub(crate) fn of(extensions: &Extensions, headers: &HeaderMap, trusted: &[Network]) -> Self {
        let peer = extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
        let is_trusted = |address: IpAddr| is_trusted(address, trusted);
        let mut address = peer.to_canonical();
        if !is_trusted(address) {
            return Self { address, with_tls: None };
        }
        let words = |name: &str| -> Vec<String> {
            let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            values.flat_map(|value| value.split(',')).map(|word| word.trim().to_owned()).collect()
        };
        // Each proxy adds at the end whom it heard; what stands before the first that is not trusted
        // may be anybody's invention.
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
        extensions.insert(Peer(SocketAddr::new(peer.parse().unwrap(), 1)));
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
        extensions.insert(Peer("10.0.0.1:1".parse().unwrap()));
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
