//! One table file: written to `NAME.tmp`, then footer, sync, rename, sync of the directory.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flowtape_schemas::manifest::FileEntry;
use flowtape_schemas::parquet::TableWriter;
use flowtape_schemas::table::Row;
use sha2::{Digest as _, Sha256};

use super::{TapeError, sync_directory};

/// Appended to the name of a file that is being written. No reader looks at such files.
pub(super) const TEMPORARY: &str = ".tmp";

/// A table file that is being written.
pub struct TapeFile<R: Row> {
    writer: TableWriter<HashingFile, R>,
    directory: PathBuf,
    /// Path below the tape, with `/`.
    name: String,
    path: PathBuf,
    temporary: PathBuf,
}

impl<R: Row> TapeFile<R> {
    /// Begins file number `sequence` of a table in a directory of the tape.
    pub fn create(tape: &Path, directory: &str, sequence: u32) -> Result<Self, TapeError> {
        let stem = format!("{}-{sequence:06}.parquet", R::TABLE);
        let path = tape.join(directory).join(&stem);
        let temporary = tape.join(directory).join(stem.clone() + TEMPORARY);
        let file = OpenOptions::new().write(true).create_new(true).open(&temporary);
        let sink = HashingFile {
            file: file.map_err(TapeError::io("create", &temporary))?,
            hasher: Sha256::new(),
            bytes: 0,
        };
        let writer = TableWriter::new(sink).map_err(|source| TapeError::Table {
            path: temporary.clone(),
            source,
        })?;
        Ok(Self {
            writer,
            directory: tape.join(directory),
            name: format!("{directory}/{stem}"),
            path,
            temporary,
        })
    }

    /// Appends rows.
    pub fn write(&mut self, rows: &[R]) -> Result<(), TapeError> {
        let written = self.writer.write(rows);
        written.map_err(|source| self.table_error(source))
    }

    /// Ends the present row group.
    pub fn end_row_group(&mut self) -> Result<(), TapeError> {
        let flushed = self.writer.flush();
        flushed.map_err(|source| self.table_error(source))
    }

    /// Size the file would have if it ended now, in bytes.
    #[must_use]
    pub fn estimated_bytes(&self) -> u64 {
        self.writer.estimated_bytes()
    }

    /// Rows written so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.writer.rows()
    }

    /// Removes what is on the disk of it.
    pub fn abandon(self) {
        // If it cannot be removed it stays what it is: a `.tmp`, which nobody reads.
        let _ = std::fs::remove_file(&self.temporary);
    }

    /// Closes the file and gives it its name. A file of that name is replaced in one step. One that fails leaves nothing.
    pub fn finish(self) -> Result<FileEntry, TapeError> {
        let temporary = self.temporary.clone();
        let finished = self.close();
        if finished.is_err() {
            // The first failure is the one to report.
            let _ = std::fs::remove_file(temporary);
        }
        finished
    }

    fn close(self) -> Result<FileEntry, TapeError> {
        let rows = self.writer.rows();
        let sink = self.writer.finish().map_err(|source| TapeError::Table {
            path: self.temporary.clone(),
            source,
        })?;
        sink.file.sync_all().map_err(TapeError::io("sync", &self.temporary))?;
        std::fs::rename(&self.temporary, &self.path).map_err(TapeError::io("rename", &self.temporary))?;
        sync_directory(&self.directory)?;
        Ok(FileEntry {
            path: self.name,
            table: R::TABLE.to_owned(),
            rows,
            bytes: sink.bytes,
            sha256: hexadecimal(&sink.hasher.finalize()),
        })
    }

    fn table_error(&self, source: flowtape_schemas::parquet::FileError) -> TapeError {
        TapeError::Table {
            path: self.temporary.clone(),
            source,
        }
    }
}

/// Hashes and counts what passes through, so that a file need not be read again for the manifest.
struct HashingFile {
    file: File,
    hasher: Sha256,
    bytes: u64,
}

impl Write for HashingFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.file.write(buffer)?;
        self.hasher.update(&buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
