//! Addresses as both sides see them: 16 bytes in network order, IPv4 as `::ffff:a.b.c.d`.

/// An IPv6 address, or an IPv4 address in its v4-mapped form (RFC 4291 section 2.5.5.2).
///
/// In memory the sixteen bytes in network order, which no byte order can mix up. Kept as two words, because the compiler
/// of the kernel programs moves sixteen bytes one by one and two words at once.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address([u64; 2]);

/// The first twelve bytes of every v4-mapped address: eight of zero, then these.
const MAPPED: [u8; 4] = [0, 0, 0xff, 0xff];

impl Address {
    /// `::`, the wildcard of an IPv6 listener, and "not known".
    pub const UNSPECIFIED: Self = Self([0; 2]);

    /// The address of these bytes in network order.
    #[must_use]
    #[inline]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(super::words_of(bytes))
    }

    /// The address of these words, each as it stands in memory: its bytes are in network order.
    #[must_use]
    #[inline]
    pub const fn from_words(words: [u32; 4]) -> Self {
        let [a, b, c, d] = words;
        Self([pair(a, b), pair(c, d)])
    }

    /// The v4-mapped form of an IPv4 address given as its four bytes in network order.
    #[must_use]
    #[inline]
    pub const fn from_v4(bytes: [u8; 4]) -> Self {
        Self([0, pair(u32::from_ne_bytes(MAPPED), u32::from_ne_bytes(bytes))])
    }

    /// The bytes in network order.
    #[must_use]
    #[inline]
    pub const fn bytes(self) -> [u8; 16] {
        super::bytes_of(self.0)
    }

    /// The words as they stand in memory.
    #[must_use]
    #[inline]
    pub const fn words(self) -> [u64; 2] {
        self.0
    }

    /// True for the same address: one word after the other, since the programs have no function that compares memory.
    #[must_use]
    #[inline]
    pub const fn is(&self, other: &Self) -> bool {
        self.0[0] == other.0[0] && self.0[1] == other.0[1]
    }

    /// True for `::ffff:0:0/96`: the packets on the wire are IPv4, whatever the family of the socket.
    #[must_use]
    #[inline]
    pub const fn is_v4(&self) -> bool {
        self.0[0] == 0 && u64::from_be(self.0[1]) >> 32 == 0xffff
    }

    /// True for `::` and `::ffff:0.0.0.0`, the two wildcards.
    #[must_use]
    #[inline]
    pub const fn is_unspecified(&self) -> bool {
        self.0[0] == 0 && matches!(u64::from_be(self.0[1]), 0 | 0xffff_0000_0000)
    }

    /// `4` or `6`: the version of the packets, so a v4-mapped address is `4`. The wildcard `::` is `6`.
    #[must_use]
    #[inline]
    pub const fn ip_version(&self) -> u8 {
        if self.is_v4() { 4 } else { 6 }
    }
}

/// Two words next to each other in memory.
#[inline]
const fn pair(first: u32, second: u32) -> u64 {
    if cfg!(target_endian = "little") {
        first as u64 | (second as u64) << 32
    } else {
        (first as u64) << 32 | second as u64
    }
}

const _: () = assert!(size_of::<Address>() == 16 && align_of::<Address>() == 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_in_and_come_out_in_one_order() {
        let bytes = core::array::from_fn(|at| u8::try_from(at * 7).unwrap());
        let address = Address::from_bytes(bytes);
        assert_eq!(address.bytes(), bytes);
        assert_eq!(address.0.map(u64::to_ne_bytes).as_flattened(), bytes);
        let v4 = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];
        assert_eq!(Address::from_v4([10, 0, 0, 1]).bytes(), v4);
    }

    #[test]
    fn mapped_is_v4_and_nothing_else_is() {
        assert!(Address::from_v4([10, 0, 0, 1]).is_v4());
        assert!(!Address::UNSPECIFIED.is_v4());
        for at in 0..12 {
            let mut bytes = Address::from_v4([10, 0, 0, 1]).bytes();
            bytes[at] ^= 1;
            assert!(!Address::from_bytes(bytes).is_v4(), "byte {at}");
        }
    }

    #[test]
    fn both_wildcards_are_unspecified() {
        assert!(Address::UNSPECIFIED.is_unspecified());
        assert!(Address::from_v4([0; 4]).is_unspecified());
        for at in 0..16 {
            let mut bytes = [0; 16];
            bytes[at] = 1;
            assert!(!Address::from_bytes(bytes).is_unspecified(), "byte {at}");
        }
    }

    #[test]
    fn version_follows_the_packets() {
        assert_eq!(Address::from_v4([0; 4]).ip_version(), 4);
        assert_eq!(Address::UNSPECIFIED.ip_version(), 6);
    }
}
