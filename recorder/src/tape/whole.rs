//! A table file that is complete in memory. It can be written again and again until the disk takes it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::marker::PhantomData;
use std::path::Path;

use flowtape_schemas::manifest::FileEntry;
use flowtape_schemas::parquet::{FileError, TableWriter};
use flowtape_schemas::table::Row;

use super::file::TEMPORARY;
use super::{TapeError, sync_directory};

/// A file of a table, encoded and not yet on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeFile {
    /// What the manifest will say of it.
    pub entry: FileEntry,
    content: Vec<u8>,
}

impl WholeFile {
    /// File number `sequence` of a table in a directory of the tape, with these rows.
    pub fn of<R: Row>(directory: &str, sequence: u32, rows: &[R]) -> Result<Self, TapeError> {
        let mut file = Encoding::begin(directory, sequence)?;
        file.write(rows)?;
        file.finish()
    }

    /// Writes it under its name. What a failure leaves behind is removed again, since the room may be needed.
    pub fn store(&self, tape: &Path) -> Result<(), TapeError> {
        let path = tape.join(&self.entry.path);
        let temporary = tape.join(format!("{}{TEMPORARY}", self.entry.path));
        let stored = self.store_as(&path, &temporary);
        if stored.is_err() {
            // The first failure is the one to report.
            let _ = std::fs::remove_file(&temporary);
        }
        stored
    }

    fn store_as(&self, path: &Path, temporary: &Path) -> Result<(), TapeError> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(temporary)
            .map_err(TapeError::io("create", temporary))?;
        file.write_all(&self.content)
            .map_err(TapeError::io("write", temporary))?;
        file.sync_all().map_err(TapeError::io("sync", temporary))?;
        std::fs::rename(temporary, path).map_err(TapeError::io("rename", temporary))?;
        path.parent().map_or(Ok(()), sync_directory)
    }
}

/// A file that is being encoded in memory.
pub(super) struct Encoding<R: Row> {
    writer: TableWriter<Vec<u8>, R>,
    name: String,
    table: PhantomData<R>,
}

impl<R: Row> Encoding<R> {
    pub(super) fn begin(directory: &str, sequence: u32) -> Result<Self, TapeError> {
        let name = format!("{directory}/{}-{sequence:06}.parquet", R::TABLE);
        let writer = TableWriter::new(Vec::new()).map_err(encode_error(&name))?;
        Ok(Self {
            writer,
            name,
            table: PhantomData,
        })
    }

    pub(super) fn write(&mut self, rows: &[R]) -> Result<(), TapeError> {
        self.writer.write(rows).map_err(encode_error(&self.name))
    }

    pub(super) fn estimated_bytes(&self) -> u64 {
        self.writer.estimated_bytes()
    }

    pub(super) fn finish(self) -> Result<WholeFile, TapeError> {
        let rows = self.writer.rows();
        let content = self.writer.finish().map_err(encode_error(&self.name))?;
        Ok(WholeFile {
            entry: FileEntry::describe(self.name, R::TABLE, rows, &content),
            content,
        })
    }
}

fn encode_error(name: &str) -> impl FnOnce(FileError) -> TapeError {
    let path = name.into();
    |source| TapeError::Table { path, source }
}
