//! A table that only grows and may lose its last rows: they stream into one file after the other.

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

    /// Gives up the present file and removes what is on the disk of it; later rows begin another.
    pub fn abandon(&mut self) {
        if let Some(file) = self.open.take() {
            file.abandon();
        }
    }

    /// Rows of the present file.
    #[must_use]
    pub fn open_rows(&self) -> u64 {
        self.open.as_ref().map_or(0, TapeFile::rows)
    }

    /// Number of the file after the present one.
    #[must_use]
    pub fn next_sequence(&self) -> u32 {
        self.sequence
    }

    /// Size of the open file in bytes.
    #[must_use]
    pub fn open_bytes(&self) -> u64 {
        self.open.as_ref().map_or(0, TapeFile::estimated_bytes)
    }

    /// Size of the finished files in bytes.
    #[must_use]
    pub fn finished_bytes(&self) -> u64 {
        self.finished.iter().map(|file| file.bytes).sum()
    }

    /// Closes the present file; later rows begin another. One that fails is gone, with all its rows.
    pub fn rotate(&mut self) -> Result<(), (TapeError, u64)> {
        if let Some(file) = self.open.take() {
            let rows = file.rows();
            self.finished.push(file.finish().map_err(|error| (error, rows))?);
        }
        Ok(())
    }

    /// The files that are finished.
    #[must_use]
    pub fn finished(&self) -> &[FileEntry] {
        &self.finished
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
