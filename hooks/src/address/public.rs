//! The rule: is this address one of the public internet?
//!
//! The lists are IANA's special-purpose registries (RFC 6890 and its updates). For IPv6 the rule is
//! turned around: only the range that is handed out for global use passes, so that a range nobody
//! thought of is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Every IPv4 range that is not public: first address and prefix length.
const NOT_PUBLIC_V4: [(Ipv4Addr, u32); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8), // "this network", RFC 791; 0.0.0.0 connects to the host itself
    (Ipv4Addr::new(10, 0, 0, 0), 8), // private, RFC 1918
    (Ipv4Addr::new(100, 64, 0, 0), 10), // carrier-grade NAT, RFC 6598
    (Ipv4Addr::new(127, 0, 0, 0), 8), // loopback
    (Ipv4Addr::new(168, 63, 129, 16), 32), // the metadata server of Azure, at a public address
    (Ipv4Addr::new(169, 254, 0, 0), 16), // link-local, and the metadata servers of most clouds
    (Ipv4Addr::new(172, 16, 0, 0), 12), // private, RFC 1918
    (Ipv4Addr::new(192, 0, 0, 0), 24), // protocol assignments, RFC 6890
    (Ipv4Addr::new(192, 0, 2, 0), 24), // documentation, RFC 5737
    (Ipv4Addr::new(192, 88, 99, 0), 24), // 6to4 relays, withdrawn by RFC 7526
    (Ipv4Addr::new(192, 168, 0, 0), 16), // private, RFC 1918
    (Ipv4Addr::new(198, 18, 0, 0), 15), // benchmarks, RFC 2544
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation, RFC 5737
    (Ipv4Addr::new(203, 0, 113, 0), 24), // documentation, RFC 5737
    (Ipv4Addr::new(224, 0, 0, 0), 4), // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4), // reserved, RFC 1112
    (Ipv4Addr::new(255, 255, 255, 255), 32),
];

/// Ranges inside `2000::/3` that are not public nonetheless: first two groups and prefix length (≤ 32).
const NOT_PUBLIC_V6: [(u32, u32); 3] = [
    (0x2001_0000, 23), // protocol assignments: Teredo, benchmarks, ORCHID (RFC 2928)
    (0x2001_0db8, 32), // documentation, RFC 3849
    (0x3fff_0000, 20), // documentation, RFC 9637
];

/// Whether an address belongs to the public internet: not private, loopback, link-local, shared,
/// documentation, benchmark, multicast or reserved, in IPv4 or in any IPv6 form that carries IPv4.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    !NOT_PUBLIC_V4.iter().any(|(first, length)| {
        let mask = u32::MAX << (32 - length);
        ip.to_bits() & mask == first.to_bits()
    })
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let groups = ip.segments();
    let low = Ipv4Addr::from_bits(u32::from(groups[6]) << 16 | u32::from(groups[7]));
    match groups {
        // IPv4-mapped, RFC 4291: the kernel connects to the IPv4 address.
        [0, 0, 0, 0, 0, 0xffff, _, _] => return is_public_v4(low),
        // The well-known NAT64 prefix, RFC 6052: what a host without IPv4 sees of public IPv4. The
        // local-use prefix 64:ff9b:1::/48 falls through and is refused.
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => return is_public_v4(low),
        // 6to4, RFC 3056: the IPv4 address follows the prefix.
        [0x2002, high, next, ..] => {
            let inner = Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(next));
            return is_public_v4(inner) && !is_isatap_to_private(&groups, low);
        }
        _ => {}
    }
    // Everything else outside 2000::/3 is refused: ::/96 (compatible, loopback, unspecified),
    // ::ffff:0:0/96 (translated), 100::/64 (discard), fc00::/7, fe80::/10, fec0::/10, ff00::/8.
    let global_unicast = groups[0] & 0xe000 == 0x2000;
    let top = u32::from(groups[0]) << 16 | u32::from(groups[1]);
    let special = NOT_PUBLIC_V6.iter().any(|(first, length)| top & (u32::MAX << (32 - length)) == *first);
    global_unicast && !special && !is_isatap_to_private(&groups, low)
}

/// ISATAP, RFC 5214: under any prefix, an interface id `0:5efe` or `200:5efe` carries IPv4.
fn is_isatap_to_private(groups: &[u16; 8], low: Ipv4Addr) -> bool {
    matches!(groups[4], 0 | 0x0200) && groups[5] == 0x5efe && !is_public_v4(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use test_case::test_case;

    #[test_case("1.1.1.1" => true)]
    #[test_case("8.8.8.8" => true)]
    #[test_case("9.255.255.255" => true; "just below ten")]
    #[test_case("11.0.0.0" => true; "just above ten")]
    #[test_case("100.63.255.255" => true; "just below cgnat")]
    #[test_case("100.128.0.0" => true; "just above cgnat")]
    #[test_case("172.15.255.255" => true)]
    #[test_case("172.32.0.0" => true)]
    #[test_case("198.17.255.255" => true)]
    #[test_case("198.20.0.0" => true)]
    #[test_case("223.255.255.255" => true)]
    #[test_case("0.0.0.0" => false)]
    #[test_case("0.1.2.3" => false)]
    #[test_case("10.0.0.1" => false)]
    #[test_case("10.255.255.255" => false)]
    #[test_case("100.64.0.1" => false; "cgnat")]
    #[test_case("100.100.100.200" => false; "metadata of Alibaba")]
    #[test_case("127.0.0.1" => false)]
    #[test_case("127.255.255.254" => false)]
    #[test_case("168.63.129.16" => false; "metadata of Azure")]
    #[test_case("169.254.169.254" => false; "metadata")]
    #[test_case("172.16.0.1" => false)]
    #[test_case("172.31.255.255" => false)]
    #[test_case("192.0.0.192" => false; "metadata of Oracle")]
    #[test_case("192.0.2.1" => false)]
    #[test_case("192.88.99.1" => false)]
    #[test_case("192.168.1.1" => false)]
    #[test_case("198.18.0.1" => false)]
    #[test_case("198.19.255.255" => false)]
    #[test_case("198.51.100.7" => false)]
    #[test_case("203.0.113.9" => false)]
    #[test_case("224.0.0.1" => false)]
    #[test_case("239.255.255.250" => false)]
    #[test_case("240.0.0.1" => false)]
    #[test_case("255.255.255.255" => false)]
    #[test_case("2606:4700:4700::1111" => true)]
    #[test_case("2a00:1450:4001:81b::200e" => true)]
    #[test_case("2001:4860:4860::8888" => true; "just above the protocol assignments")]
    #[test_case("::ffff:8.8.8.8" => true; "mapped public")]
    #[test_case("64:ff9b::8.8.8.8" => true; "nat64 public")]
    #[test_case("2002:808:808::1" => true; "6to4 public")]
    #[test_case("::" => false)]
    #[test_case("::1" => false)]
    #[test_case("::127.0.0.1" => false; "compatible")]
    #[test_case("::8.8.8.8" => false; "compatible is gone altogether")]
    #[test_case("::ffff:127.0.0.1" => false; "mapped loopback")]
    #[test_case("::ffff:169.254.169.254" => false; "mapped metadata")]
    #[test_case("::ffff:0:10.0.0.1" => false; "translated")]
    #[test_case("64:ff9b::10.0.0.1" => false; "nat64 private")]
    #[test_case("64:ff9b:1::10.0.0.1" => false; "local nat64")]
    #[test_case("64:ff9b:1::8.8.8.8" => false; "local nat64 of public")]
    #[test_case("2002:a00:1::1" => false; "6to4 private")]
    #[test_case("2001::1" => false; "teredo")]
    #[test_case("2001:0:4136:e378:8000:63bf:3fff:fdd2" => false; "teredo, real form")]
    #[test_case("2001:2::1" => false; "benchmark")]
    #[test_case("2001:10::1" => false; "orchid")]
    #[test_case("2001:db8::1" => false; "documentation")]
    #[test_case("3fff::1" => false; "new documentation")]
    #[test_case("2a00::5efe:10.0.0.1" => false; "isatap private")]
    #[test_case("100::1" => false; "discard")]
    #[test_case("5f00::1" => false; "segment routing")]
    #[test_case("fc00::1" => false)]
    #[test_case("fd00:ec2::254" => false; "metadata of AWS")]
    #[test_case("fe80::1" => false)]
    #[test_case("fec0::1" => false; "site-local")]
    #[test_case("ff02::1" => false)]
    fn public(ip: &str) -> bool {
        is_public(ip.parse().unwrap())
    }

    fn embeddings(v4: Ipv4Addr, rest: u64) -> Vec<Ipv6Addr> {
        let [high, low] = [(v4.to_bits() >> 16) as u16, v4.to_bits() as u16];
        let other: [u16; 4] = std::array::from_fn(|i| (rest >> (16 * i)) as u16);
        vec![
            v4.to_ipv6_mapped(),
            v4.to_ipv6_compatible(),
            Ipv6Addr::from([0, 0, 0, 0, 0xffff, 0, high, low]),
            Ipv6Addr::from([0x64, 0xff9b, 0, 0, 0, 0, high, low]),
            Ipv6Addr::from([0x64, 0xff9b, 1, other[0], other[1], other[2], high, low]),
            Ipv6Addr::from([0x2002, high, low, other[0], other[1], other[2], other[3], 1]),
            Ipv6Addr::from([0x2001, 0, high, low, other[0], other[1], other[2], other[3]]),
            Ipv6Addr::from([0x2001, 0, other[0], other[1], other[2], other[3], !high, !low]),
            Ipv6Addr::from([0x2a00, other[0], other[1], other[2], 0, 0x5efe, high, low]),
            Ipv6Addr::from([0x2a00, other[0], other[1], other[2], 0x200, 0x5efe, high, low]),
        ]
    }

    proptest! {
        #[test]
        fn no_private_ipv4_passes_in_any_ipv6_clothing(
            range in 0..NOT_PUBLIC_V4.len(), host: u32, rest: u64,
        ) {
            let (first, length) = NOT_PUBLIC_V4[range];
            let mask = u32::MAX << (32 - length);
            let v4 = Ipv4Addr::from_bits(first.to_bits() | (host & !mask));
            prop_assert!(!is_public(v4.into()), "{v4}");
            for v6 in embeddings(v4, rest) {
                prop_assert!(!is_public(v6.into()), "{v4} as {v6}");
            }
        }

        #[test]
        fn what_the_standard_library_calls_private_is_never_public(bits: u128) {
            let v4 = Ipv4Addr::from_bits(bits as u32);
            let private = v4.is_private() || v4.is_loopback() || v4.is_link_local()
                || v4.is_multicast() || v4.is_documentation() || v4.is_unspecified();
            prop_assert!(!(private && is_public(v4.into())));
            let v6 = Ipv6Addr::from_bits(bits);
            let local = v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_multicast();
            prop_assert!(!(local && is_public(v6.into())));
        }
    }
}
