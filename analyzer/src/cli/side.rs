//! The sides of a diff: what stands at a path, a tape or policies.

use std::fs;
use std::path::{Path, PathBuf};

use flowtape_schemas::manifest::MANIFEST_FILE;

use super::failure::Failure;
use super::policies;

/// A side of a diff as it was given.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SidePath {
    /// Recordings and metadata that are one tape.
    Tape(Vec<PathBuf>),
    /// Policies.
    Policies(PathBuf),
}

/// What stands at a path. A directory that has what a tape has and files that can hold policies is refused: `tape:` or
/// `policy:` before the path says which it is. Several directories with commas between them are one tape, as a recording
/// and its metadata are, unless the whole text is the name of something that is there.
pub(super) fn side(given: &str) -> Result<SidePath, Failure> {
    if let Some(path) = given.strip_prefix("tape:") {
        return Ok(SidePath::Tape(parts(path)));
    }
    if let Some(path) = given.strip_prefix("policy:") {
        return Ok(SidePath::Policies(path.into()));
    }
    let path = Path::new(given);
    let parts = parts(given);
    if parts.len() > 1 {
        return Ok(SidePath::Tape(parts));
    }
    if !has_tape(path)? {
        return Ok(SidePath::Policies(path.to_owned()));
    }
    if policies::any_below(path)? {
        return Err(
            Failure::plain(format!("both a tape and policies: `{}`", path.display()))
                .hint(format!("write `tape:{given}` or `policy:{given}`")),
        );
    }
    Ok(SidePath::Tape(parts))
}

/// The directories of one side.
fn parts(given: &str) -> Vec<PathBuf> {
    if Path::new(given).exists() {
        return vec![given.into()];
    }
    given.split(',').map(PathBuf::from).collect()
}

/// Whether a directory has a manifest, or a directory of a node or of metadata.
pub(super) fn has_tape(path: &Path) -> Result<bool, Failure> {
    if !path.is_dir() {
        return Ok(false);
    }
    let fail = |error: std::io::Error| Failure::of(format!("cannot read `{}`", path.display()), &error);
    for entry in fs::read_dir(path).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let directory = entry.file_type().map_err(fail)?.is_dir();
        if name == MANIFEST_FILE || (directory && (name.starts_with("node=") || name == "cluster")) {
            return Ok(true);
        }
    }
    Ok(false)
}
