//! Addresses as a tape stores them: 16 bytes, IPv4 as IPv4-mapped IPv6 (RFC 4291 section 2.5.5.2), one canonical form.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// An address in the tape's one canonical form, so that equal addresses are equal bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address([u8; 16]);

impl Address {
    /// From the 16 bytes of an address column, network byte order.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes of an address column, network byte order.
    #[must_use]
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// The address; IPv4-mapped ones come back as IPv4.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        Ipv6Addr::from(self.0).to_canonical()
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Self(v4.to_ipv6_mapped().octets()),
            IpAddr::V6(v6) => Self(v6.octets()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ip().fmt(formatter)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ip().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::Address;
    use std::net::IpAddr;

    #[test]
    fn ipv4_and_its_mapped_form_are_one_address() {
        let plain: IpAddr = "10.1.2.3".parse().unwrap();
        let mapped: IpAddr = "::ffff:10.1.2.3".parse().unwrap();
        assert_eq!(Address::from(plain), Address::from(mapped));
        assert_eq!(Address::from(mapped).ip(), plain);
    }
}
