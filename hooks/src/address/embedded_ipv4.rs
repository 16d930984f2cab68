//! IPv4 addresses embedded in IPv6 addresses: what is refused is refused in every form.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address itself, and the IPv4 address that an IPv6 address embeds, if any.
pub(super) fn with_embedded_ipv4(ip: IpAddr) -> impl Iterator<Item = IpAddr> {
    let embedded = match ip {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => embedded(v6).map(IpAddr::V4),
    };
    std::iter::once(ip).chain(embedded)
}

/// The IPv4 address in a mapped (RFC 4291), compatible, NAT64 (RFC 6052), 6to4 (RFC 3056) or ISATAP (RFC
/// 5214) address.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match ip.segments() {
        // Loopback and unspecified embed nothing.
        [0, 0, 0, 0, 0, 0, 0, _] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => v4(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        [_, _, _, _, 0 | 0x0200, 0x5efe, high, low] => v4(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("11.22.33.44" => vec!["11.22.33.44"])]
    #[test_case("2a00:1450::1" => vec!["2a00:1450::1"])]
    #[test_case("::1" => vec!["::1"])]
    #[test_case("::ffff:11.22.33.44" => vec!["::ffff:11.22.33.44", "11.22.33.44"] ; "mapped")]
    #[test_case("64:ff9b::11.22.33.44" => vec!["64:ff9b::b16:212c", "11.22.33.44"] ; "NAT64")]
    #[test_case("2002:b16:212c::1" => vec!["2002:b16:212c::1", "11.22.33.44"] ; "6to4")]
    #[test_case("2a00::5efe:11.22.33.44" => vec!["2a00::5efe:b16:212c", "11.22.33.44"] ; "ISATAP")]
    fn leads_to(ip: &str) -> Vec<String> {
        with_embedded_ipv4(ip.parse().unwrap()).map(|ip| ip.to_string()).collect()
    }
}
