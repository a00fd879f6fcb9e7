//! The one word the recorder changes while the programs run: which half of the maps counts, and how many events an edge may
//! send.

/// The control word, packed so that a program reads all of it at one instant.
///
/// Bit 63 is the active half (`0` or `1`), bits 32 to 62 are the limit for datagrams, bits 0 to 31 that for everything else.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control(pub u64);

/// A sample limit that never bites: every occurrence sends its event.
pub const SAMPLE_ALL: u32 = u32::MAX;

/// The widest limit that fits for datagrams; what is above means [`SAMPLE_ALL`].
const WIDEST: u32 = u32::MAX >> 1;

/// Events an edge may send until the next drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleLimits {
    /// For connections; [`SAMPLE_ALL`] for no limit.
    pub connections: u32,
    /// For datagrams, which may be many; [`SAMPLE_ALL`] for no limit.
    pub datagrams: u32,
}

impl Control {
    /// The word for an active half and the limits.
    #[must_use]
    #[inline]
    pub const fn new(second_half: bool, limits: SampleLimits) -> Self {
        let SampleLimits { connections, datagrams } = limits;
        let datagrams = if datagrams > WIDEST { WIDEST } else { datagrams };
        Self((second_half as u64) << 63 | (datagrams as u64) << 32 | connections as u64)
    }

    /// True if the second half of the maps counts, false if the first does.
    #[must_use]
    #[inline]
    pub const fn second_half(self) -> bool {
        self.0 >> 63 != 0
    }

    /// What the word says about events.
    #[must_use]
    #[inline]
    pub const fn limits(self) -> SampleLimits {
        #[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
        let connections = self.0 as u32;
        let datagrams = (self.0 >> 32) as u32 & WIDEST;
        SampleLimits {
            connections,
            datagrams: if datagrams == WIDEST { SAMPLE_ALL } else { datagrams },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_do_not_touch_each_other() {
        for second_half in [false, true] {
            for connections in [0, 8, SAMPLE_ALL] {
                for datagrams in [0, 8, SAMPLE_ALL] {
                    let limits = SampleLimits { connections, datagrams };
                    let control = Control::new(second_half, limits);
                    assert_eq!((control.second_half(), control.limits()), (second_half, limits));
                }
            }
        }
    }
}
