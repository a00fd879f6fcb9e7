//! Room set aside beside the tape, so that counts and the manifest still fit when the disk is full.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::TapeError;

/// Name of the file that holds the room. Readers pass over it as over any `.tmp`; it is gone when the tape is whole.
pub(super) const RESERVE_FILE: &str = "reserve.tmp";

/// Bytes set aside.
pub const RESERVE_BYTES: u32 = 4 << 20;

/// Room on the disk that is given back when it is needed, or when it is dropped.
#[derive(Debug)]
pub struct Reserve {
    path: PathBuf,
    held: bool,
}

impl Reserve {
    /// Sets room aside in a directory.
    pub fn take(directory: &Path) -> Result<Self, TapeError> {
        let mut reserve = Self {
            path: directory.join(RESERVE_FILE),
            held: false,
        };
        reserve.take_again()?;
        Ok(reserve)
    }

    /// Whether the room is set aside.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// Gives the room back.
    pub fn release(&mut self) {
        // If it cannot be removed there is no room to be had from it either.
        let _ = fs::remove_file(&self.path);
        self.held = false;
    }

    /// Sets the room aside again; leaves nothing behind if there is none.
    pub fn take_again(&mut self) -> Result<(), TapeError> {
        let taken = fill(&self.path).map_err(TapeError::io("set room aside in", &self.path));
        if taken.is_err() {
            self.release();
        } else {
            self.held = true;
        }
        taken
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        self.release();
    }
}

/// Writes every byte: a file with holes would reserve nothing, and not every file system can allocate without writing.
/// Bytes that look random are not compressed away.
fn fill(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = Vec::with_capacity(1 << 16);
    while block.len() < 1 << 16 {
        // xorshift64, Marsaglia 2003.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        block.extend(state.to_ne_bytes());
    }
    for _ in 0..RESERVE_BYTES >> 16 {
        file.write_all(&block)?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::{RESERVE_BYTES, Reserve};

    #[test]
    fn room_is_taken_given_back_and_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let mut reserve = Reserve::take(home.path()).unwrap();
        let size = || {
            let files = std::fs::read_dir(home.path()).unwrap();
            files.map(|entry| entry.unwrap().metadata().unwrap().len()).sum::<u64>()
        };
        assert_eq!((reserve.is_held(), size()), (true, u64::from(RESERVE_BYTES)));
        reserve.release();
        assert_eq!((reserve.is_held(), size()), (false, 0));
        reserve.take_again().unwrap();
        assert_eq!(size(), u64::from(RESERVE_BYTES));
        drop(reserve);
        assert_eq!(size(), 0);
        assert!(
            Reserve::take(&home.path().join("nowhere"))
                .unwrap_err()
                .storage()
                .is_some()
        );
    }
}
