//! Address prefixes, IPv4 and IPv6.
//!
//! Reading is as strict as a current API server, and in two points stricter: leading zeros and IPv4-mapped IPv6
//! prefixes are refused. Older servers take both, different network plugins then read them differently, and servers with
//! `StrictIPCIDRValidation` (KEP-4858) refuse them as well.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

/// Why a text is no prefix.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CidrError {
    /// There is no `/`.
    #[error("`{text}` has no prefix length, write `{text}/32` (IPv4) or `{text}/128` (IPv6) for a single address")]
    NoLength {
        /// The text as given.
        text: String,
    },
    /// The part before the `/` is no address.
    #[error("`{address}` is not an IPv4 or IPv6 address (leading zeros and zones are not allowed)")]
    Address {
        /// The part before the `/`.
        address: String,
    },
    /// The part after the `/` is no length for this address family.
    #[error("prefix length `{length}` is not a plain number from 0 to {longest}")]
    Length {
        /// The part after the `/`.
        length: String,
        /// 32 or 128.
        longest: u8,
    },
    /// An IPv4-mapped IPv6 address.
    #[error("`{address}` is an IPv4-mapped IPv6 address, write the IPv4 prefix instead")]
    Mapped {
        /// The part before the `/`.
        address: String,
    },
}

/// An address prefix. Bits beyond the prefix length are always zero, so equal prefixes are equal values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    network: IpAddr,
    length: u8,
}

impl Cidr {
    /// Both families, whole.
    pub const EVERYTHING: [Self; 2] = [
        Self {
            network: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            length: 0,
        },
        Self {
            network: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            length: 0,
        },
    ];

    /// The prefix of `length` bits that `address` is in; `None` if the family has fewer bits. IPv4-mapped IPv6
    /// addresses are refused, since they would be equal to no IPv4 prefix.
    #[must_use]
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        if length > bits(address) || address.to_canonical() != address {
            return None;
        }
        Some(Self {
            network: masked(address, length),
            length,
        })
    }

    /// The prefix that contains only `address`: `/32` or `/128`. An IPv4-mapped address becomes IPv4.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        let network = address.to_canonical();
        Self {
            network,
            length: bits(network),
        }
    }

    /// The lowest address of the prefix.
    #[must_use]
    pub const fn network(self) -> IpAddr {
        self.network
    }

    /// The address after the highest of the prefix; `None` where that is the last of its family.
    #[must_use]
    pub fn after(self) -> Option<IpAddr> {
        match self.last() {
            IpAddr::V4(last) => Some(Ipv4Addr::from_bits(last.to_bits().checked_add(1)?).into()),
            IpAddr::V6(last) => Some(Ipv6Addr::from_bits(last.to_bits().checked_add(1)?).into()),
        }
    }

    /// The highest address of the prefix.
    #[must_use]
    pub fn last(self) -> IpAddr {
        match self.network {
            IpAddr::V4(network) => {
                let host_bits = u32::MAX.checked_shr(self.length.into()).unwrap_or(0);
                Ipv4Addr::from_bits(network.to_bits() | host_bits).into()
            }
            IpAddr::V6(network) => {
                let host_bits = u128::MAX.checked_shr(self.length.into()).unwrap_or(0);
                Ipv6Addr::from_bits(network.to_bits() | host_bits).into()
            }
        }
    }

    /// The number of leading bits that are fixed.
    #[must_use]
    pub const fn length(self) -> u8 {
        self.length
    }

    /// Whether it contains a single address.
    #[must_use]
    pub const fn is_host(self) -> bool {
        self.length == bits(self.network)
    }

    /// Whether `address` is in the prefix. Families never mix; an IPv4-mapped address counts as IPv4.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.network.is_ipv4() && masked(address, self.length) == self.network
    }

    /// Whether every address of `other` is in this prefix.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.length <= other.length && self.contains(other.network)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    /// Reads `10.0.0.0/8` or `2001:db8::/32`. Bits beyond the length are dropped, as the API server does.
    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address_text, length_text) = text
            .split_once('/')
            .ok_or_else(|| CidrError::NoLength { text: text.to_owned() })?;
        let Ok(address) = address_text.parse::<IpAddr>() else {
            return Err(CidrError::Address {
                address: address_text.to_owned(),
            });
        };
        if address.to_canonical() != address {
            return Err(CidrError::Mapped {
                address: address_text.to_owned(),
            });
        }
        plain_number(length_text)
            .and_then(|length| Self::new(address, length))
            .ok_or_else(|| CidrError::Length {
                length: length_text.to_owned(),
                longest: bits(address),
            })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.length)
    }
}

/// Decimal digits without sign or leading zero.
fn plain_number(text: &str) -> Option<u8> {
    let digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
    let padded = text.len() > 1 && text.starts_with('0');
    if digits_only && !padded {
        text.parse().ok()
    } else {
        None
    }
}

const fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}
