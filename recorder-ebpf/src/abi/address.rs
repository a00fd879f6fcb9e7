//! Addresses as both sides see them: 16 bytes in network order, IPv4 as `::ffff:a.b.c.d`.

/// An IPv6 address, or an IPv4 address in its v4-mapped form (RFC 4291 section 2.5.5.2).
///
/// Bytes and not integers: an integer has a byte order that could be mixed up, sixteen bytes have none. Aligned, so that the
/// programs move it in two words.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub [u8; 16]);

impl Address {
    /// `::`, the wildcard of an IPv6 listener, and "not known".
    pub const UNSPECIFIED: Self = Self([0; 16]);

    /// The v4-mapped form of an IPv4 address given as its four bytes in network order.
    #[must_use]
    #[inline]
    pub const fn from_v4(bytes: [u8; 4]) -> Self {
        let [a, b, c, d] = bytes;
        Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d])
    }

    /// True for `::ffff:0:0/96`: the packets on the wire are IPv4, whatever the family of the socket.
    #[must_use]
    #[inline]
    pub const fn is_v4(&self) -> bool {
        u128::from_be_bytes(self.0) >> 32 == 0xffff
    }

    /// True for `::` and `::ffff:0.0.0.0`, the two wildcards.
    #[must_use]
    #[inline]
    pub const fn is_unspecified(&self) -> bool {
        matches!(u128::from_be_bytes(self.0), 0 | 0xffff_0000_0000)
    }

    /// `4` or `6`: the version of the packets, so a v4-mapped address is `4`. The wildcard `::` is `6`.
    #[must_use]
    #[inline]
    pub const fn ip_version(&self) -> u8 {
        if self.is_v4() { 4 } else { 6 }
    }
}

const _: () = assert!(size_of::<Address>() == 16 && align_of::<Address>() == 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_is_v4_and_nothing_else_is() {
        assert!(Address::from_v4([10, 0, 0, 1]).is_v4());
        assert!(!Address::UNSPECIFIED.is_v4());
        for at in 0..12 {
            let mut bytes = Address::from_v4([10, 0, 0, 1]).0;
            bytes[at] ^= 1;
            assert!(!Address(bytes).is_v4(), "byte {at}");
        }
    }

    #[test]
    fn both_wildcards_are_unspecified() {
        assert!(Address::UNSPECIFIED.is_unspecified());
        assert!(Address::from_v4([0; 4]).is_unspecified());
        for at in 0..16 {
            let mut bytes = [0; 16];
            bytes[at] = 1;
            assert!(!Address(bytes).is_unspecified(), "byte {at}");
        }
    }

    #[test]
    fn version_follows_the_packets() {
        assert_eq!(Address::from_v4([0; 4]).ip_version(), 4);
        assert_eq!(Address::UNSPECIFIED.ip_version(), 6);
    }
}
