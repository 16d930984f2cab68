//! Resolves names, keeping only addresses that may be connected to.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use url::{Host, Url};

use super::{Allow, is_public};

/// How long the system may take to answer for a name: its own two tries of 5 s each.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest name DNS knows (RFC 1035).
const MAX_HOST_BYTES: usize = 253;

/// Why there is nothing to connect to. The sentences are for users: they name no private address.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Every address of the host is private or reserved, and the operator made no exception.
    #[error("{host} has no public address")]
    NotPublic {
        /// The host as it was asked for.
        host: String,
    },
    /// The operator denies it.
    #[error("{host} is denied by the operator of this service")]
    Denied {
        /// The host as it was asked for.
        host: String,
    },
    /// It leads to the machine that asks, and the operator made no exception.
    #[error("{host} is this service's own machine, and the operator made no exception for it")]
    Own {
        /// The host as it was asked for.
        host: String,
    },
    /// The name does not resolve.
    #[error("the name {host} does not resolve")]
    NotFound {
        /// The host as it was asked for.
        host: String,
        /// What the system's resolver said.
        #[source]
        source: std::io::Error,
    },
    /// The system's resolver did not answer.
    #[error("the name {host} did not resolve within {} s", LOOKUP_TIMEOUT.as_secs())]
    TimedOut {
        /// The host as it was asked for.
        host: String,
    },
    /// Not the name of a host at all.
    #[error("{host:?} is not the name of a host")]
    NotAHost {
        /// The host as it was asked for.
        host: String,
    },
}

impl AddressError {
    /// Whether asking again later may help: a resolver that is down, not an address that is private.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::NotFound { .. } | Self::TimedOut { .. } => true,
            Self::NotPublic { .. } | Self::Denied { .. } | Self::Own { .. } | Self::NotAHost { .. } => false,
        }
    }
}

/// Whether an address may be connected to: it is public and not of this machine, or lies in a network of
/// `allow`; and it is not denied, which goes before everything.
///
/// A *name* in `allow` permits more; see [`resolve`].
pub fn permits(allow: &Allow, ip: IpAddr) -> bool {
    !allow.deny().covers_ip(ip) && (allow.covers_ip(ip) || (is_public(ip) && !allow.is_own(ip)))
}

/// The addresses of `host` that may be connected to, never none.
///
/// Connect to these and to nothing else: resolving again may give others. Literal addresses (IPv6
/// also in brackets) are checked as they are; a name listed in `allow` may resolve to anything that is not
/// denied.
pub async fn resolve(host: &str, port: u16, allow: &Allow) -> Result<Vec<SocketAddr>, AddressError> {
    if let Some(ip) = literal(host) {
        return filter_permitted(host, vec![SocketAddr::new(ip, port)], allow);
    }
    check_host(host, allow)?;
    let lookup = tokio::net::lookup_host((host, port));
    let found = match tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(source)) => {
            return Err(AddressError::NotFound { host: host.to_owned(), source });
        }
        Err(_) => {
            return Err(AddressError::TimedOut { host: host.to_owned() });
        }
    };
    filter_permitted(host, found, allow)
}

/// Checks what can be checked without resolving: a literal address must be permitted, and a name must be
/// valid and not denied. Names are checked once more by [`resolve`].
pub fn check_host(host: &str, allow: &Allow) -> Result<(), AddressError> {
    if let Some(ip) = literal(host) {
        return filter_permitted(host, vec![SocketAddr::new(ip, 0)], allow).map(drop);
    }
    let sound = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b'\\' | b'@' | b'?' | b'#' | b'[' | b']');
    if host.is_empty() || host.len() > MAX_HOST_BYTES || !host.bytes().all(sound) {
        return Err(AddressError::NotAHost { host: host.to_owned() });
    }
    if allow.deny().covers_name(host) {
        return Err(AddressError::Denied { host: host.to_owned() });
    }
    Ok(())
}

/// [`check_host`] for the host of a URL, whose odd address forms the URL parser has already undone.
pub fn check_url(url: &Url, allow: &Allow) -> Result<(), AddressError> {
    let host = url.host_str().unwrap_or_default();
    match url.host() {
        Some(Host::Ipv4(ip)) => filter_permitted(host, vec![(ip, 0).into()], allow).map(drop),
        Some(Host::Ipv6(ip)) => filter_permitted(host, vec![(ip, 0).into()], allow).map(drop),
        Some(Host::Domain(name)) => check_host(name, allow),
        None => Err(AddressError::NotAHost { host: host.to_owned() }),
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bracketed {
        Some(v6) => v6.parse().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

fn filter_permitted(
    host: &str,
    mut found: Vec<SocketAddr>,
    allow: &Allow,
) -> Result<Vec<SocketAddr>, AddressError> {
    let (any, host) = (found.clone(), host.to_owned());
    let is_named = allow.covers_name(&host);
    found.retain(|address| {
        permits(allow, address.ip()) || (is_named && !allow.deny().covers_ip(address.ip()))
    });
    let among = |rule: &dyn Fn(IpAddr) -> bool| any.iter().any(|address| rule(address.ip()));
    match found.as_slice() {
        [_, ..] => Ok(found),
        [] if among(&|ip| allow.deny().covers_ip(ip)) => Err(AddressError::Denied { host }),
        [] if among(&|ip| is_public(ip) && allow.is_own(ip)) => Err(AddressError::Own { host }),
        [] => Err(AddressError::NotPublic { host }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::OwnAddresses;
    use super::*;
    use test_case::test_case;

    #[test_case("127.0.0.1"; "loopback")]
    #[test_case("[::1]"; "bracketed loopback")]
    #[test_case("::1"; "bare loopback")]
    #[test_case("[::ffff:127.0.0.1]"; "mapped loopback")]
    #[test_case("0x7f.1"; "hexadecimal")]
    #[test_case("2130706433"; "one number")]
    #[test_case("0177.0.0.1"; "octal")]
    #[test_case("127.1"; "short")]
    #[test_case("0"; "zero")]
    #[test_case("localhost"; "by name")]
    #[test_case("LOCALHOST."; "by name in capitals with a dot")]
    #[test_case("169.254.169.254"; "metadata")]
    #[tokio::test]
    async fn this_machine_is_not_public_however_it_is_written(host: &str) {
        let refused = resolve(host, 80, &Allow::none()).await.unwrap_err();
        // A system that does not know the odd form at all is as good.
        assert!(
            matches!(refused, AddressError::NotPublic { .. } | AddressError::NotFound { .. }),
            "{refused}"
        );
    }

    #[test_case("127.0.0.1", "127.0.0.0/8")]
    #[test_case("[::1]", "::1")]
    #[test_case("localhost", "localhost"; "by name")]
    #[test_case("localhost", "127.0.0.1,::1"; "by address")]
    #[test_case("8.8.8.8", ""; "public literal")]
    #[tokio::test]
    async fn what_is_permitted_comes_back_with_its_port(host: &str, allow: &str) {
        let found = resolve(host, 8080, &allow.parse().unwrap()).await.unwrap();
        assert!(!found.is_empty() && found.iter().all(|address| address.port() == 8080));
    }

    #[test_case(""; "empty")]
    #[test_case("a b"; "space")]
    #[test_case("a\nb"; "newline")]
    #[test_case("a/b"; "slash")]
    #[test_case("user@host"; "userinfo")]
    #[test_case("[::1"; "half a bracket")]
    #[test_case("müller.example"; "not ASCII")]
    #[tokio::test]
    async fn what_is_no_host_is_not_asked_for(host: &str) {
        let refused = resolve(host, 80, &Allow::none()).await.unwrap_err();
        assert!(matches!(refused, AddressError::NotAHost { .. }), "{refused}");
    }

    #[test_case("http://0x7f.1/" => false; "hexadecimal")]
    #[test_case("http://2130706433/" => false; "one number")]
    #[test_case("http://0177.0.0.1/" => false; "octal")]
    #[test_case("http://[::1]/" => false; "v6 loopback")]
    #[test_case("http://[::ffff:10.0.0.1]/" => false; "mapped")]
    #[test_case("http://１２７.0.0.1/" => false; "full-width digits")]
    #[test_case("http://8.8.8.8/" => true; "public")]
    #[test_case("http://a.example/" => true; "a name is judged when it is resolved")]
    #[test_case("data:text/plain,x" => false; "no host")]
    fn urls(url: &str) -> bool {
        check_url(&url.parse().unwrap(), &Allow::none()).is_ok()
    }

    /// This machine has 11.22.33.44 and `2a00::9`; 11.22.0.0/24, 10.9.0.0/16 and two names are denied.
    fn guarded(allow: &str) -> Allow {
        let deny = "11.22.0.0/24,10.9.0.0/16,localhost,*.evil.example".parse().unwrap();
        let own = ["11.22.33.44", "2a00::9", "127.0.0.1", "10.0.0.5"].map(|ip| ip.parse().unwrap());
        allow.parse::<Allow>().unwrap().guarded(&deny, &OwnAddresses::given(own))
    }

    #[test_case("11.22.33.44", "" => "11.22.33.44 is this service's own machine, and the operator made no exception for it"; "own")]
    #[test_case("[2a00::9]", "" => "[2a00::9] is this service's own machine, and the operator made no exception for it"; "own v6")]
    #[test_case("[64:ff9b::11.22.33.44]", "" => "[64:ff9b::11.22.33.44] is this service's own machine, and the operator made no exception for it"; "own in other clothes")]
    #[test_case("11.22.33.44", "11.22.33.44" => "may"; "own by exception")]
    #[test_case("11.22.33.45", "" => "may"; "a public neighbour")]
    #[test_case("10.0.0.5", "" => "10.0.0.5 has no public address"; "own and private")]
    #[test_case("10.0.0.5", "10.0.0.0/8" => "may"; "own and private by exception")]
    #[test_case("127.0.0.1", "127.0.0.1/32" => "may"; "loopback by exception")]
    #[test_case("11.22.0.7", "" => "11.22.0.7 is denied by the operator of this service"; "denied")]
    #[test_case("[::ffff:11.22.0.7]", "" => "[::ffff:11.22.0.7] is denied by the operator of this service"; "denied, mapped")]
    #[test_case("11.22.0.7", "11.0.0.0/8" => "11.22.0.7 is denied by the operator of this service"; "denied and allowed")]
    #[test_case("10.9.1.1", "10.0.0.0/8" => "10.9.1.1 is denied by the operator of this service"; "a part of what is allowed")]
    #[test_case("localhost", "localhost,127.0.0.1,::1" => "localhost is denied by the operator of this service"; "a denied name that is allowed")]
    #[test_case("LOCALHOST.", "" => "LOCALHOST. is denied by the operator of this service"; "a denied name")]
    #[test_case("git.evil.example", "" => "git.evil.example is denied by the operator of this service"; "below a denied name")]
    #[tokio::test]
    async fn deny_goes_before_allow_and_allow_before_own(host: &str, allow: &str) -> String {
        let found = resolve(host, 443, &guarded(allow)).await;
        found.map_or_else(|refused| refused.to_string(), |_| "may".to_owned())
    }

    #[tokio::test]
    async fn a_name_that_leads_to_a_denied_address_is_refused_also_where_the_name_is_allowed() {
        let deny = "127.0.0.0/8,::1".parse().unwrap();
        let none = OwnAddresses::given([]);
        let allow = "localhost".parse::<Allow>().unwrap().guarded(&deny, &none);
        let refused = resolve("localhost", 80, &allow).await.unwrap_err();
        assert!(matches!(refused, AddressError::Denied { .. }), "{refused}");
        assert!(!refused.may_pass());
        resolve("localhost", 80, &allow.unguarded()).await.unwrap();
    }

    #[test]
    fn the_sentence_names_the_host_and_no_address() {
        let error = AddressError::NotPublic { host: "git.internal".into() };
        insta::assert_snapshot!(error, @"git.internal has no public address");
    }
}
