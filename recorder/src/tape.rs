//! Writes tapes. Every file is written beside its name, closed, synced and only then renamed, and the manifest comes
//! last: whatever a crash leaves behind is either whole or ignored.

mod append;
mod counted;
mod directory;
mod file;
mod interval;
mod manifest;
mod name;
mod outbox;
mod reserve;
mod whole;

use std::io;
use std::path::{Path, PathBuf};

use flowtape_schemas::parquet::FileError;

pub use append::AppendTable;
pub use counted::CountedTable;
pub use directory::{DirectoryError, Hold, Target};
pub use file::TapeFile;
pub use interval::IntervalTable;
pub use manifest::{tape_id, tool, write_manifest};
pub use name::{is_node_name, is_tape_path, recording_directory};
pub use outbox::Outbox;
pub use reserve::{RESERVE_BYTES, Reserve};
pub use whole::WholeFile;

/// Directory of the tables of the cluster's metadata.
pub const CLUSTER_DIRECTORY: &str = "cluster";

/// Directory of a node's tables: `node=<name>`, which other tools read as a partition.
#[must_use]
pub fn node_directory(node: &str) -> String {
    format!("node={node}")
}

/// Why a tape could not be written. What was finished before stays readable.
#[derive(Debug, thiserror::Error)]
pub enum TapeError {
    /// The file system refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Rows could not be encoded, or their sink refused.
    #[error("cannot write table file `{}`", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: FileError,
    },
    /// The manifest could not be rendered.
    #[error("cannot render the manifest")]
    Manifest(#[from] serde_json::Error),
}

impl TapeError {
    /// Why the storage refused, if that is what happened: the same may succeed later, when there is room again.
    #[must_use]
    pub fn storage(&self) -> Option<&io::Error> {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if let Some(refused) = error.downcast_ref() {
                return Some(refused);
            }
            cause = error.source();
        }
        None
    }

    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// Makes the names in a directory durable.
fn sync_directory(path: &Path) -> Result<(), TapeError> {
    // Only Unix opens directories as files; elsewhere the file system keeps names durable by itself or not at all.
    if cfg!(unix) {
        let directory = std::fs::File::open(path).map_err(TapeError::io("open directory", path))?;
        directory.sync_all().map_err(TapeError::io("sync directory", path))?;
    }
    Ok(())
}

/// Bytes that may still be written where `path` is; 0 if nobody knows.
#[cfg(unix)]
#[must_use]
pub fn free_bytes(path: &Path) -> u64 {
    use std::os::unix::ffi::OsStrExt as _;
    let Ok(path) = std::ffi::CString::new(path.as_os_str().as_bytes()) else {
        return 0;
    };
    // SAFETY: all-zero is a valid `statvfs`.
    let mut about: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: a text that ends with a zero and a struct, both of which live through the call.
    if unsafe { libc::statvfs(path.as_ptr(), &raw mut about) } != 0 {
        return 0;
    }
    about.f_bavail.saturating_mul(about.f_frsize)
}
