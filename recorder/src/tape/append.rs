//! A table that only grows: rows go into one file after the other.

use std::path::PathBuf;

use flowtape_schemas::manifest::FileEntry;
use flowtape_schemas::table::Row;

use super::{TapeError, TapeFile};

/// The files of one growing table.
pub struct AppendTable<R: Row> {
    tape: PathBuf,
    directory: String,
    sequence: u32,
    open: Option<TapeFile<R>>,
    finished: Vec<FileEntry>,
}

impl<R: Row> AppendTable<R> {
    /// A table without files in a directory of a tape.
    #[must_use]
    pub fn new(tape: PathBuf, directory: String) -> Self {
        Self {
            tape,
            directory,
            sequence: 1,
            open: None,
            finished: Vec::new(),
        }
    }

    /// Appends rows to the present file, beginning one if there is none.
    pub fn write(&mut self, rows: &[R]) -> Result<(), TapeError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.file()?.write(rows)
    }

    /// Ends the present row group, if a file is open.
    pub fn end_row_group(&mut self) -> Result<(), TapeError> {
        self.open.as_mut().map_or(Ok(()), TapeFile::end_row_group)
    }

    /// Size of the open file in bytes.
    #[must_use]
    pub fn open_bytes(&self) -> u64 {
        self.open.as_ref().map_or(0, TapeFile::estimated_bytes)
    }

    /// Closes the present file; later rows begin another.
    pub fn rotate(&mut self) -> Result<(), TapeError> {
        if let Some(file) = self.open.take() {
            self.finished.push(file.finish()?);
        }
        Ok(())
    }

    /// Closes the table. One without rows still gets a file, so that a missing file means a missing table.
    pub fn finish(mut self) -> Result<Vec<FileEntry>, TapeError> {
        if self.finished.is_empty() {
            self.file()?;
        }
        self.rotate()?;
        Ok(self.finished)
    }

    fn file(&mut self) -> Result<&mut TapeFile<R>, TapeError> {
        match &mut self.open {
            Some(file) => Ok(file),
            empty => {
                let file = TapeFile::create(&self.tape, &self.directory, self.sequence)?;
                self.sequence += 1;
                Ok(empty.insert(file))
            }
        }
    }
}
