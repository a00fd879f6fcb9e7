//! Writes a tape whose rows are all at hand: everything is encoded before the first file is made, each file gets its name
//! when it is whole, and the manifest comes last.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use flowtape_schemas::manifest::{FileEntry, MANIFEST_FILE, Manifest, sha256_hex};
use flowtape_schemas::metadata::{ClusterRows, EachRows};
use flowtape_schemas::parquet::{FileError, encode_file};
use flowtape_schemas::table::Row;

use super::place::{CLUSTER, IMPORT, NODE};

/// Why a tape could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Rows could not be encoded.
    #[error("cannot encode table `{table}`")]
    Table {
        /// The table.
        table: &'static str,
        /// Why not.
        source: FileError,
    },
    /// The manifest could not be encoded.
    #[error("cannot encode the manifest")]
    Manifest(#[from] serde_json::Error),
    /// The file system refused.
    #[error("cannot write `{}`", path.display())]
    Io {
        /// What was written.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// A tape that is made in memory.
#[derive(Debug, Default)]
pub struct NewTape {
    files: Vec<(String, Vec<u8>)>,
    entries: Vec<FileEntry>,
}

impl NewTape {
    /// Adds a table of a node.
    pub fn node<R: Row>(&mut self, node: &str, rows: &[R]) -> Result<(), WriteError> {
        self.table(&format!("{NODE}{node}"), rows)
    }

    /// Adds the metadata.
    pub fn cluster(&mut self, rows: &ClusterRows) -> Result<(), WriteError> {
        rows.each(self)
    }

    /// Adds a table about imported files.
    pub fn import<R: Row>(&mut self, rows: &[R]) -> Result<(), WriteError> {
        self.table(IMPORT, rows)
    }

    fn table<R: Row>(&mut self, directory: &str, rows: &[R]) -> Result<(), WriteError> {
        let failed = |source| WriteError::Table {
            table: R::TABLE,
            source,
        };
        let path = format!("{directory}/{}-000001.parquet", R::TABLE);
        let content = encode_file(rows).map_err(failed)?;
        self.entries
            .push(FileEntry::describe(path.clone(), R::TABLE, rows.len() as u64, &content));
        self.files.push((path, content));
        Ok(())
    }

    /// Writes all of it below a directory, which is made if it is not there. The manifest gets the files and an id that
    /// follows from them.
    pub fn write(self, root: &Path, mut manifest: Manifest) -> Result<(), WriteError> {
        let Self { files, entries } = self;
        let lines = entries.iter().map(|entry| format!("{} {}\n", entry.path, entry.sha256));
        let mut lines: Vec<String> = lines.collect();
        lines.sort();
        sha256_hex(lines.concat().as_bytes())[..32].clone_into(&mut manifest.tape_id);
        manifest.files = entries;
        let text = manifest.render()?.into_bytes();
        for (path, content) in files.into_iter().chain([(MANIFEST_FILE.to_owned(), text)]) {
            let path = root.join(path);
            whole(&path, &content).map_err(|source| WriteError::Io { path, source })?;
        }
        Ok(())
    }
}

impl EachRows for NewTape {
    type Error = WriteError;

    fn rows<R: Row>(&mut self, rows: &[R]) -> Result<(), WriteError> {
        self.table(CLUSTER, rows)
    }
}

/// Writes a file beside its name, and gives it its name when it is stored.
fn whole(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let beside = path.with_extension("tmp");
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&beside, path)).inspect_err(|_| {
        // What was not written is not there to remove.
        let _ = fs::remove_file(&beside);
    })
}
