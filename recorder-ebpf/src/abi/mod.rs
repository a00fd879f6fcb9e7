//! The shapes both sides share, one file per subject.

pub mod address;
pub mod attempt;
pub mod cgroup;
pub mod control;
pub mod counters;
pub mod event;
pub mod flow;
pub mod id;
pub mod layout;
pub mod listen;
pub mod open;
pub mod quota;
pub mod socket;

/// Sixteen bytes as the two words that stand at the same place in memory.
const fn words_of(bytes: [u8; 16]) -> [u64; 2] {
    let whole = u128::from_le_bytes(bytes);
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
    let first = whole as u64;
    [u64::from_le(first), u64::from_le((whole >> 64) as u64)]
}

/// The sixteen bytes of two words.
const fn bytes_of(words: [u64; 2]) -> [u8; 16] {
    let [first, second] = words;
    (first.to_le() as u128 | (second.to_le() as u128) << 64).to_le_bytes()
}
