//! What there is room for, on the disk and under `--max-size`. Pure.
//!
//! Samples go first: without them a tape answers the same questions, with less detail. Counts are kept as long as there is
//! any room, and when there is none the window ends: a shorter window that is whole is better than a longer one with holes.

use std::sync::atomic::{AtomicU8, Ordering};

/// Bytes of finished files that may wait in memory for the disk.
pub(super) const WAITING_BYTES: u64 = 16 << 20;

/// What is kept from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Keep {
    /// Samples and counts.
    Everything,
    /// Counts only.
    Counts,
    /// Nothing more: the window ends.
    Nothing,
}

/// How much was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Bytes the tape would have if it ended now.
    pub(super) tape: u64,
    /// Bytes that the disk has refused so far and that wait in memory.
    pub(super) waiting: u64,
    /// Whether the disk refused samples.
    pub(super) samples_refused: bool,
}

impl Usage {
    /// What to keep, if the tape may have `limit` bytes. The last sixteenth is for what ends the tape: the counts of one more
    /// interval, what is still open, and the manifest.
    pub(super) fn keep(self, limit: Option<u64>) -> Keep {
        let part = |sixteenths: u64| limit.map_or(u64::MAX, |limit| limit / 16 * sixteenths);
        if self.tape >= part(15) || self.waiting > WAITING_BYTES {
            Keep::Nothing
        } else if self.tape >= part(14) || self.samples_refused {
            Keep::Counts
        } else {
            Keep::Everything
        }
    }
}

/// What the writer keeps, for the thread that reads to see.
#[derive(Debug)]
pub(super) struct Kept(AtomicU8);

impl Kept {
    pub(super) fn new() -> Self {
        Self(AtomicU8::new(0))
    }

    pub(super) fn set(&self, keep: Keep) {
        let number = match keep {
            Keep::Everything => 0,
            Keep::Counts => 1,
            Keep::Nothing => 2,
        };
        self.0.store(number, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Keep {
        match self.0.load(Ordering::Relaxed) {
            0 => Keep::Everything,
            1 => Keep::Counts,
            _ => Keep::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Keep, Kept, Usage, WAITING_BYTES};

    fn keep(tape: u64, limit: Option<u64>) -> Keep {
        Usage {
            tape,
            ..Usage::default()
        }
        .keep(limit)
    }

    #[test]
    fn samples_go_first_and_then_the_window_ends() {
        assert_eq!(keep(13_999, Some(16_000)), Keep::Everything);
        assert_eq!(keep(14_000, Some(16_000)), Keep::Counts);
        assert_eq!(keep(15_000, Some(16_000)), Keep::Nothing);
        assert_eq!(keep(u64::MAX - 1, None), Keep::Everything);
    }

    #[test]
    fn a_disk_that_refuses_costs_samples_and_in_the_end_the_window() {
        let mut usage = Usage {
            samples_refused: true,
            waiting: WAITING_BYTES,
            ..Usage::default()
        };
        assert_eq!(usage.keep(None), Keep::Counts);
        usage.waiting += 1;
        assert_eq!(usage.keep(None), Keep::Nothing);
    }

    #[test]
    fn the_other_thread_sees_what_was_set() {
        let kept = Kept::new();
        assert_eq!(kept.get(), Keep::Everything);
        for keep in [Keep::Counts, Keep::Nothing, Keep::Everything] {
            kept.set(keep);
            assert_eq!(kept.get(), keep);
        }
    }
}
