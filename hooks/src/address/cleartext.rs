//! Whether a credential may be sent over cleartext http.

use std::net::IpAddr;

use url::{Host, Url};

use super::Allow;

/// Whether a credential may be sent to this URL.
///
/// Over https always; over http only to a host that the operator named or whose literal address is allowed,
/// since anyone on the network path can read it. The rule is the same for clones, statuses and all other
/// requests.
pub fn may_send_credential(url: &Url, allow: &Allow) -> bool {
    if url.scheme() == "https" {
        return true;
    }
    match url.host() {
        Some(Host::Ipv4(ip)) => allow.covers_ip(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => allow.covers_ip(IpAddr::V6(ip)),
        Some(Host::Domain(name)) => allow.covers_name(name),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("https://git.example.com/a/b" => true ; "encrypted")]
    #[test_case("http://git.example.com/a/b" => false ; "readable by all on the way")]
    #[test_case("http://git.internal/a/b" => true ; "a name that the operator listed")]
    #[test_case("http://10.1.2.3:3000/a/b" => true ; "an address that is allowed")]
    #[test_case("http://192.168.1.1/a/b" => false ; "another")]
    fn a_credential_may_go_there(url: &str) -> bool {
        may_send_credential(&url.parse().unwrap(), &"git.internal,10.0.0.0/8".parse().unwrap())
    }
}
