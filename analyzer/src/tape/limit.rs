//! Bounds on what is read: a tape is untrusted input, and the memory it can take must follow from its size on disk.

use std::sync::atomic::{AtomicU64, Ordering};

/// The longest manifest: about 300,000 table files at 200 bytes each.
pub(super) const MANIFEST_BYTES: u64 = 64 << 20;

/// The largest table file. Recorders begin a new file at 64 MiB.
pub(super) const TABLE_FILE_BYTES: u64 = 1 << 30;

/// Entries of one directory that are looked at; a recorder writes one file of each table a minute.
pub(super) const DIRECTORY_ENTRIES: usize = 1 << 20;

/// Problems of one file that are told; a damaged column has one in every row.
pub(super) const PROBLEMS: usize = 10;

/// What a tape may expand to whatever its size: small files have the highest ratio of rows to bytes.
const FREE_BYTES: u64 = 512 << 20;

/// How many times its size a tape may expand to in memory. Recorded flows take 10 bytes on disk and 80 times that in
/// memory, decoder included; flows that are all alike take 1 byte, and 640 times that.
const RATIO: u64 = 1024;

/// How many bytes the rows of a tape may still take.
///
/// Whether it is exceeded depends on the tape alone, not on the order in which threads draw on it: the sum does not.
pub(super) struct Budget {
    taken: AtomicU64,
    limit: u64,
}

impl Budget {
    /// The budget of a tape whose table files have this size.
    pub(super) fn of(tape_bytes: u64) -> Self {
        Self {
            taken: AtomicU64::new(0),
            limit: tape_bytes.saturating_mul(RATIO).saturating_add(FREE_BYTES),
        }
    }

    /// Takes bytes; false once more was taken than there is.
    pub(super) fn take(&self, bytes: u64) -> bool {
        let before = self.taken.fetch_add(bytes.min(self.limit + 1), Ordering::Relaxed);
        before.saturating_add(bytes) <= self.limit
    }

    /// How many bytes there are.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// The limit, if more was taken.
    pub(super) fn exceeded(&self) -> Option<u64> {
        (self.taken.load(Ordering::Relaxed) > self.limit).then_some(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, FREE_BYTES, RATIO};

    #[test]
    fn a_budget_is_exceeded_by_the_sum() {
        let budget = Budget::of(2);
        assert!(budget.take(FREE_BYTES) && budget.take(2 * RATIO));
        assert_eq!(budget.exceeded(), None);
        assert!(!budget.take(1));
        assert_eq!(budget.exceeded(), Some(FREE_BYTES + 2 * RATIO));
    }
}
