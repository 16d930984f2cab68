//! The operator's exceptions: names and networks reachable besides public addresses.
//!
//! Read from `GITFAAS_CLONE_ALLOW`, `GITFAAS_PREPARE_ALLOW` and `GITFAAS_RUN_ALLOW`; each phase has
//! a list of its own, so what may be cloned from is not thereby reachable by a job. What is refused
//! besides ([`Deny`], [`OwnAddresses`]) goes with the list to wherever a connection is checked.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::{Deny, OwnAddresses};

/// Names and networks that are reachable besides public addresses. The default is none.
///
/// Written as a comma list: `127.0.0.1/32,git.internal,*.corp.example,10.0.0.0/8`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allow {
    networks: Vec<IpNet>,
    names: Vec<Name>,
    deny: Deny,
    own: Option<OwnAddresses>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Exactly(String),
    /// `*.corp.example`, kept as `.corp.example`: everything below, at any depth, not the name itself.
    Below(String),
}

/// One entry of the list is neither a network nor a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an address, a network (10.0.0.0/8) nor a name (git.internal, *.corp.example)")]
pub struct BadAllow(pub String);

impl Allow {
    /// No exceptions: public addresses only.
    pub fn none() -> Self {
        Self::default()
    }

    /// The same exceptions, with what is refused whatever they say, and with the addresses of this machine,
    /// which are reached only as exceptions.
    #[must_use]
    pub fn guarded(self, deny: &Deny, own: &OwnAddresses) -> Self {
        Self { deny: deny.clone(), own: Some(own.clone()), ..self }
    }

    /// The same exceptions alone: for addresses that the operator set, not an owner.
    #[must_use]
    pub fn unguarded(self) -> Self {
        Self { deny: Deny::none(), own: None, ..self }
    }

    /// What is refused whatever is listed here.
    pub fn deny(&self) -> &Deny {
        &self.deny
    }

    /// Whether the address is one of this machine's, where that makes a difference.
    pub fn is_own(&self, ip: IpAddr) -> bool {
        self.own.as_ref().is_some_and(|own| own.contains(ip))
    }

    /// Whether the address lies in a listed network. An IPv4-mapped IPv6 address counts as IPv4.
    pub fn covers_ip(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.networks.iter().any(|network| network.contains(&ip))
    }

    /// Whether the name is listed, which permits whatever it resolves to.
    pub fn covers_name(&self, host: &str) -> bool {
        let host = normal(host);
        self.names.iter().any(|name| match name {
            Name::Exactly(exact) => *exact == host,
            Name::Below(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
        })
    }
}

/// Names are compared without case and without the root's dot.
fn normal(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

impl FromStr for Allow {
    type Err = BadAllow;

    fn from_str(list: &str) -> Result<Self, BadAllow> {
        let mut allow = Self::default();
        for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let bare = entry.trim_start_matches('[').trim_end_matches(']');
            if let Ok(ip) = bare.parse::<IpAddr>() {
                allow.networks.push(IpNet::from(ip));
            } else if let Ok(network) = entry.parse::<IpNet>() {
                allow.networks.push(network.trunc());
            } else {
                allow.names.push(name(entry).ok_or_else(|| BadAllow(entry.to_owned()))?);
            }
        }
        Ok(allow)
    }
}

fn name(entry: &str) -> Option<Name> {
    let entry = normal(entry);
    let below = entry.strip_prefix("*.");
    let labels = below.unwrap_or(&entry);
    let label_is_sound = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    // A last label that begins with a digit is an address written oddly or wrongly (`10.0.0`, `0x7f.1`).
    let last_is_a_name = labels.rsplit('.').next()?.starts_with(|c: char| c.is_ascii_alphabetic());
    if !last_is_a_name || !labels.split('.').all(label_is_sound) {
        return None;
    }
    Some(match below {
        Some(suffix) => Name::Below(format!(".{suffix}")),
        None => Name::Exactly(entry),
    })
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let networks = self.networks.iter().map(ToString::to_string);
        let names = self.names.iter().map(|name| match name {
            Name::Exactly(exact) => exact.clone(),
            Name::Below(suffix) => format!("*{suffix}"),
        });
        f.write_str(&networks.chain(names).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    const LIST: &str = "127.0.0.1/32, git.internal,*.Corp.example.,10.0.0.0/8,::1,[fd00::1]";

    #[test]
    fn a_list_reads_back_as_it_prints() {
        let allow: Allow = LIST.parse().unwrap();
        insta::assert_snapshot!(allow, @"127.0.0.1/32,10.0.0.0/8,::1/128,fd00::1/128,git.internal,*.corp.example");
        assert_eq!(allow.to_string().parse::<Allow>().unwrap(), allow);
        assert_eq!(" , ".parse::<Allow>().unwrap(), Allow::none());
    }

    #[test_case("127.0.0.1" => true)]
    #[test_case("127.0.0.2" => false)]
    #[test_case("10.9.8.7" => true)]
    #[test_case("::ffff:10.9.8.7" => true; "mapped is IPv4")]
    #[test_case("64:ff9b::10.9.8.7" => false; "translated is not")]
    #[test_case("::1" => true)]
    #[test_case("fd00::2" => false)]
    fn networks(ip: &str) -> bool {
        LIST.parse::<Allow>().unwrap().covers_ip(ip.parse().unwrap())
    }

    #[test_case("git.internal" => true)]
    #[test_case("GIT.internal." => true; "case and root dot")]
    #[test_case("a.git.internal" => false)]
    #[test_case("a.corp.example" => true)]
    #[test_case("a.b.corp.example" => true)]
    #[test_case("corp.example" => false; "not the name itself")]
    #[test_case("evilcorp.example" => false)]
    #[test_case(".corp.example" => false; "empty label")]
    fn names(host: &str) -> bool {
        LIST.parse::<Allow>().unwrap().covers_name(host)
    }

    #[test_case("*"; "everything")]
    #[test_case("*.*.example"; "two stars")]
    #[test_case("a*.example"; "star inside")]
    #[test_case("10.0.0.0/33"; "prefix too long")]
    #[test_case("10.0.0"; "half an address")]
    #[test_case("0x7f.1"; "odd address")]
    #[test_case("git internal"; "a space")]
    #[test_case("git..internal"; "empty label")]
    #[test_case("https://git.internal"; "a URL")]
    #[test_case("git.internal:3000"; "a port")]
    fn nonsense_is_named(entry: &str) {
        let list = format!("10.0.0.0/8,{entry}");
        assert_eq!(list.parse::<Allow>(), Err(BadAllow(entry.to_owned())));
    }
}
