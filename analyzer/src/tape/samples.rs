//! Table `events`, read only where somebody asks for single operations.
//!
//! The files were checked when the tape was opened, and are read again; one that changed meanwhile is damaged.

use std::path::PathBuf;

use bytes::Bytes;
use flowtape_schemas::manifest::sha256_hex;
use flowtape_schemas::node::EventRow;
use flowtape_schemas::parquet::{FileError, TableFile};
use rayon::iter::{IntoParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _};

use super::directory::read_bounded;
use super::limit::{Budget, TABLE_FILE_BYTES};
use super::{Damage, NodeTape, TapeError};

/// A file of table `events` that was checked and not decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleFile {
    /// The recording.
    pub(super) root: PathBuf,
    /// Path below it.
    pub(super) path: String,
    /// SHA-256 of what was checked.
    pub(super) sha256: String,
}

/// What `of_batch` makes of the samples of a node, a bounded number of rows at a time, in the order of files and rows.
pub fn samples<T: Send>(node: &NodeTape, of_batch: impl Fn(Vec<EventRow>) -> T + Sync) -> Result<Vec<T>, TapeError> {
    let files: Vec<Result<Vec<T>, TapeError>> = node.samples.par_iter().map(|file| of_file(file, &of_batch)).collect();
    let mut results = Vec::new();
    for file in files {
        results.extend(file?);
    }
    Ok(results)
}

fn of_file<T: Send>(file: &SampleFile, of_batch: &(impl Fn(Vec<EventRow>) -> T + Sync)) -> Result<Vec<T>, TapeError> {
    let SampleFile { root, path, sha256 } = file;
    let damaged = |problem: String| TapeError::Damaged {
        files: vec![Damage {
            problems: vec![problem],
            is_newer: false,
            path: root.join(path),
        }],
    };
    let bytes = Bytes::from(read_bounded(root, path, TABLE_FILE_BYTES)?);
    if sha256_hex(&bytes) != *sha256 {
        return Err(damaged("changed while it was read".to_owned()));
    }
    let limit = Budget::of(bytes.len() as u64).limit();
    let table = TableFile::open(bytes).map_err(|error| damaged(error.to_string()))?;
    let groups = (0..table.row_groups()).into_par_iter();
    let read: Vec<Result<Vec<T>, FileError>> = groups.map(|group| of_group(&table, group, limit, of_batch)).collect();
    let mut results = Vec::new();
    for group in read {
        results.extend(group.map_err(|error| damaged(error.to_string()))?);
    }
    Ok(results)
}

fn of_group<T>(
    table: &TableFile<Bytes>,
    group: usize,
    limit: u64,
    of_batch: &impl Fn(Vec<EventRow>) -> T,
) -> Result<Vec<T>, FileError> {
    if table.group_bytes::<EventRow>(group, limit)? > limit {
        return Err(FileError::TooLarge);
    }
    let mut results = Vec::new();
    table.read_group(group, &mut |rows: Vec<EventRow>| {
        results.push(of_batch(rows));
        Ok(())
    })?;
    Ok(results)
}
