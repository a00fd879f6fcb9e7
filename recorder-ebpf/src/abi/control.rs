//! The one word the recorder changes while the programs run: which pair of maps counts, and how many events an edge may send.

/// The control word, packed so that a program reads both halves at one instant.
///
/// Bit 63 is the active half (`0` or `1`), bits 0 to 31 are the sample limit.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control(pub u64);

/// A sample limit that never bites: every occurrence sends its event.
pub const SAMPLE_ALL: u32 = u32::MAX;

impl Control {
    /// The word for an active half and a limit of events per edge and drain.
    #[must_use]
    #[inline]
    pub const fn new(second_half: bool, sample_limit: u32) -> Self {
        Self(((second_half as u64) << 63) | sample_limit as u64)
    }

    /// True if the second pair of maps counts, false if the first does.
    #[must_use]
    #[inline]
    pub const fn second_half(self) -> bool {
        self.0 >> 63 != 0
    }

    /// Events an edge may send until the next drain; [`SAMPLE_ALL`] for no limit.
    #[must_use]
    #[inline]
    pub const fn sample_limit(self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
        let limit = self.0 as u32;
        limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_do_not_touch_each_other() {
        for second_half in [false, true] {
            for limit in [0, 8, SAMPLE_ALL] {
                let control = Control::new(second_half, limit);
                assert_eq!((control.second_half(), control.sample_limit()), (second_half, limit));
            }
        }
    }
}
