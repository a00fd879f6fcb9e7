//! What stands in a redacted tape in place of an address outside the cluster.
//!
//! A node does not know which addresses belong to its cluster. Outside is therefore every address that is not private
//! (RFC 1918, RFC 4193), shared (RFC 6598), loopback, link-local, multicast or unspecified. A cluster whose pods or nodes
//! have public addresses must not be recorded with redaction: they would become pseudonyms as well.
//!
//! A pseudonym keeps the version of the address: IPv4 becomes an address of 240.0.0.0/4, which is reserved and not routed
//! (RFC 1112 section 4), IPv6 one of 2001:db8::/32, which is for documentation (RFC 3849). No rule may be made of one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address::Address;

/// Whether an address is outside any cluster, as far as can be known without one.
#[must_use]
pub fn is_outside(address: Address) -> bool {
    match address.ip() {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            !(ip.is_private()
                || shared
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_multicast()
                || ip.is_broadcast()
                || ip.is_unspecified())
        }
        IpAddr::V6(ip) => {
            !(ip.is_unique_local()
                || ip.is_loopback()
                || ip.is_unicast_link_local()
                || ip.is_multicast()
                || ip.is_unspecified())
        }
    }
}

/// The pseudonym of an address outside, from bytes that follow from it in a way nobody else can repeat.
#[must_use]
pub fn pseudonym(address: Address, digest: [u8; 16]) -> Address {
    match address.ip() {
        IpAddr::V4(_) => {
            let [a, b, c, d, ..] = digest;
            let ip = Ipv4Addr::new(a | 0xf0, b, c, d);
            // The one address of the range that has a meaning.
            let ip = if ip.is_broadcast() {
                Ipv4Addr::new(255, 255, 255, 254)
            } else {
                ip
            };
            Address::from(IpAddr::V4(ip))
        }
        IpAddr::V6(_) => {
            let mut bytes = digest;
            bytes[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
            Address::from(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
    }
}

/// Whether an address of a redacted tape is a pseudonym.
#[must_use]
pub fn is_pseudonym(address: Address) -> bool {
    match address.ip() {
        IpAddr::V4(ip) => ip.octets()[0] >= 0xf0 && !ip.is_broadcast(),
        IpAddr::V6(ip) => ip.octets()[..4] == [0x20, 0x01, 0x0d, 0xb8],
    }
}

#[cfg(test)]
mod tests {
    use super::{is_outside, is_pseudonym, pseudonym};
    use crate::address::Address;
    use std::net::IpAddr;

    fn address(text: &str) -> Address {
        Address::from(text.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn what_is_outside() {
        for inside in [
            "10.0.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "0.0.0.0",
            "::",
            "::1",
            "fe80::1",
            "fd00::1",
            "fc00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!is_outside(address(inside)), "{inside}");
        }
        for outside in [
            "8.8.8.8",
            "172.32.0.1",
            "100.63.255.255",
            "100.128.0.0",
            "192.0.2.1",
            "240.0.0.1",
            "2001:db8::1",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert!(is_outside(address(outside)), "{outside}");
        }
    }

    #[test]
    fn a_pseudonym_is_known_as_one_and_keeps_the_version() {
        for (original, digest) in [
            ("8.8.8.8", [0; 16]),
            ("8.8.8.8", [0xff; 16]),
            ("2a00::1", [0; 16]),
            ("2a00::1", [7; 16]),
        ] {
            let original = address(original);
            let other = pseudonym(original, digest);
            assert!(is_pseudonym(other) && is_outside(other), "{other}");
            assert_eq!(original.ip().is_ipv4(), other.ip().is_ipv4());
        }
        assert!(!is_pseudonym(address("8.8.8.8")) && !is_pseudonym(address("2a00::1")));
    }
}
