//! Addresses that are never connected to, whatever else is allowed: `GITFAAS_EGRESS_DENY`.
//!
//! A name denies that name, and not other names of the same host: list its networks too. A network
//! denies every address in it, however a URL or a name leads to it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use super::embedded_ipv4::with_embedded_ipv4;
use super::{Allow, BadAllow};

/// Names and networks that are never connected to. Written as [`Allow`] is; the default is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deny(Option<Arc<Allow>>);

impl Deny {
    /// Nothing is denied.
    pub fn none() -> Self {
        Self(None)
    }

    /// Whether the address lies in a listed network, also where an IPv6 address embeds it.
    pub fn covers_ip(&self, ip: IpAddr) -> bool {
        self.0.as_ref().is_some_and(|listed| with_embedded_ipv4(ip).any(|ip| listed.covers_ip(ip)))
    }

    /// Whether the name is listed.
    pub fn covers_name(&self, host: &str) -> bool {
        self.0.as_ref().is_some_and(|listed| listed.covers_name(host))
    }
}

impl FromStr for Deny {
    type Err = BadAllow;

    fn from_str(list: &str) -> Result<Self, BadAllow> {
        let listed: Allow = list.parse()?;
        Ok(Self((listed != Allow::none()).then(|| Arc::new(listed))))
    }
}

impl fmt::Display for Deny {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |listed| listed.fmt(f))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    const LIST: &str = "11.22.0.0/16,2a00:1450::/32,evil.example,*.corp.example";

    #[test_case("11.22.33.44" => true)]
    #[test_case("11.23.0.1" => false)]
    #[test_case("::ffff:11.22.33.44" => true; "mapped")]
    #[test_case("64:ff9b::11.22.33.44" => true; "NAT64")]
    #[test_case("2002:b16:212c::1" => true; "6to4")]
    #[test_case("2a00:1450:4001::1" => true)]
    #[test_case("2a01::1" => false)]
    fn networks(ip: &str) -> bool {
        LIST.parse::<Deny>().unwrap().covers_ip(ip.parse().unwrap())
    }

    #[test_case("EVIL.example." => true; "case and root dot")]
    #[test_case("a.corp.example" => true)]
    #[test_case("corp.example" => false)]
    #[test_case("good.example" => false)]
    fn names(host: &str) -> bool {
        LIST.parse::<Deny>().unwrap().covers_name(host)
    }

    #[test]
    fn a_list_reads_back_and_nonsense_is_named() {
        assert_eq!(LIST.parse::<Deny>().unwrap().to_string(), LIST);
        assert_eq!(" ".parse::<Deny>(), Ok(Deny::none()));
        assert_eq!("10.0.0.0/33".parse::<Deny>(), Err(BadAllow("10.0.0.0/33".to_owned())));
    }
}
