//! Address ranges, as nodes declare them for their pods and as users ask for them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use flowtape_schemas::address::Address;

/// A range of addresses: a prefix over the tape's 16-byte form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    network: u128,
    mask: u128,
    is_v4: bool,
}

impl Prefix {
    /// The range of one address.
    #[must_use]
    pub fn of(address: Address) -> Self {
        Self {
            network: u128::from_be_bytes(address.bytes()),
            mask: u128::MAX,
            is_v4: address.ip().is_ipv4(),
        }
    }

    /// The address of a range that has no other.
    #[must_use]
    pub fn only(self) -> Option<IpAddr> {
        (self.mask == u128::MAX).then(|| IpAddr::from(Ipv6Addr::from_bits(self.network)).to_canonical())
    }

    /// Whether an address lies in the range, which holds addresses of one family only.
    #[must_use]
    pub fn contains(self, address: Address) -> bool {
        self.is_v4 == address.ip().is_ipv4() && u128::from_be_bytes(address.bytes()) & self.mask == self.network
    }
}

/// A text that is no range; such a range contains nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address range, expected ADDRESS/LENGTH")]
pub struct PrefixError;

impl fmt::Display for Prefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = IpAddr::from(Ipv6Addr::from_bits(self.network));
        let network = if self.is_v4 { network.to_canonical() } else { network };
        let length = self.mask.count_ones() - if self.is_v4 { 96 } else { 0 };
        write!(formatter, "{network}/{length}")
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, length) = text.split_once('/').ok_or(PrefixError)?;
        let ip: IpAddr = address.parse().ok().ok_or(PrefixError)?;
        let length: u32 = length.parse().ok().ok_or(PrefixError)?;
        let (bits, offset) = if ip.is_ipv4() { (32, 96) } else { (128, 0) };
        if length > bits {
            return Err(PrefixError);
        }
        let mask = u128::MAX.checked_shl(128 - offset - length).unwrap_or(0);
        Ok(Self {
            network: u128::from_be_bytes(Address::from(ip).bytes()) & mask,
            mask,
            is_v4: ip.is_ipv4(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Prefix;
    use flowtape_schemas::address::Address;

    fn contains(prefix: &str, address: &str) -> bool {
        let ip: std::net::IpAddr = address.parse().expect("an address");
        prefix.parse::<Prefix>().expect("a prefix").contains(Address::from(ip))
    }

    #[test]
    fn both_families_have_ranges() {
        assert!(contains("10.244.1.0/24", "10.244.1.255"));
        assert!(!contains("10.244.1.0/24", "10.244.2.0"));
        assert!(contains("fd00:1::/64", "fd00:1::5"));
        assert!(!contains("fd00:1::/64", "fd00:2::5"));
        assert!(contains("0.0.0.0/0", "1.2.3.4"));
        assert!(!contains("0.0.0.0/0", "fd00::1"), "an IPv4 range holds no IPv6 address");
        assert!(contains("::/0", "fd00::1"));
        assert!(!contains("::/0", "1.2.3.4"), "nor the other way round");
    }

    #[test]
    fn nonsense_is_no_range() {
        for text in ["", "10.0.0.0", "10.0.0.0/33", "fd00::/129", "x/8", "10.0.0.0/-1"] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }
}
