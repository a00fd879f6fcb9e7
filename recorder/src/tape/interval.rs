//! A table of intervals: a row is known when its interval begins and complete when it ends.
//!
//! A crash must lose neither, and a reader must see each interval once. So the intervals that are still open stand in file
//! number 1, which is replaced as a whole at every rotation, and those that ended are appended to the files after it. A
//! crash between the two leaves an ended interval in both, once with its end and once with an open one; never in neither.

use flowtape_schemas::table::Row;

use super::{TapeError, WholeFile};

/// Number of the file that holds what is still open.
const OPEN: u32 = 1;

/// The files of one table of intervals.
pub struct IntervalTable<R: Row> {
    directory: String,
    sequence: u32,
    rows: std::marker::PhantomData<R>,
}

impl<R: Row + Ord> IntervalTable<R> {
    /// A table without files in a directory of a tape.
    #[must_use]
    pub fn new(directory: String) -> Self {
        Self {
            directory,
            sequence: OPEN + 1,
            rows: std::marker::PhantomData,
        }
    }

    /// The files to store, in this order: what ended since the last call, then all that is still open.
    pub fn files(&mut self, mut ended: Vec<R>, mut open: Vec<R>) -> Result<Vec<WholeFile>, TapeError> {
        let mut files = Vec::new();
        if !ended.is_empty() {
            ended.sort();
            files.push(WholeFile::of(&self.directory, self.sequence, &ended)?);
            self.sequence += 1;
        }
        open.sort();
        files.push(WholeFile::of(&self.directory, OPEN, &open)?);
        Ok(files)
    }
}
