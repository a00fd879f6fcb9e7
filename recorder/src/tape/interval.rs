//! A table of intervals: a row is known when its interval begins and complete when it ends.
//!
//! A crash must lose neither, and a reader must see each interval once. So the intervals that are still open stand in file
//! number 1, which is replaced as a whole at every rotation, and those that ended are appended to the files after it. A
//! crash between the two leaves an ended interval in both, once with its end and once with an open one; never in neither.

use std::path::PathBuf;

use flowtape_schemas::manifest::FileEntry;
use flowtape_schemas::table::Row;

use super::{TapeError, TapeFile};

/// Number of the file that holds what is still open.
const OPEN: u32 = 1;

/// The files of one table of intervals.
pub struct IntervalTable<R: Row> {
    tape: PathBuf,
    directory: String,
    sequence: u32,
    finished: Vec<FileEntry>,
    open: Option<FileEntry>,
    rows: std::marker::PhantomData<R>,
}

impl<R: Row + Ord> IntervalTable<R> {
    /// A table without files in a directory of a tape.
    #[must_use]
    pub fn new(tape: PathBuf, directory: String) -> Self {
        Self {
            tape,
            directory,
            sequence: OPEN + 1,
            finished: Vec::new(),
            open: None,
            rows: std::marker::PhantomData,
        }
    }

    /// Stores what ended since the last call and all that is still open.
    pub fn store(&mut self, mut ended: Vec<R>, mut open: Vec<R>) -> Result<(), TapeError> {
        if !ended.is_empty() {
            ended.sort();
            self.finished.push(self.write(self.sequence, &ended)?);
            self.sequence += 1;
        }
        open.sort();
        self.open = Some(self.write(OPEN, &open)?);
        Ok(())
    }

    /// Every file of the table.
    #[must_use]
    pub fn finish(self) -> Vec<FileEntry> {
        let mut files = self.finished;
        files.extend(self.open);
        files
    }

    fn write(&self, sequence: u32, rows: &[R]) -> Result<FileEntry, TapeError> {
        let mut file = TapeFile::create(&self.tape, &self.directory, sequence)?;
        file.write(rows)?;
        file.finish()
    }
}
