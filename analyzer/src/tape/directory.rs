//! What lies in a directory that is said to be a tape. Only looks: no table is opened, and no link followed.

use std::fs::{self, DirEntry, File, FileType};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use flowtape_schemas::manifest::MANIFEST_FILE;

use super::TapeError;
use super::limit::{DIRECTORY_ENTRIES, MANIFEST_BYTES};
use super::place::{CLUSTER, IMPORT, NODE, table_of};

/// How the names of files end that a recorder has not finished.
const UNFINISHED: &str = ".tmp";

/// What lies in a directory that is said to be a tape.
pub(super) struct Listing {
    /// The directory.
    pub(super) root: PathBuf,
    /// Content of the manifest, if there is one.
    pub(super) manifest: Option<Vec<u8>>,
    /// Finished table files by their path below the directory, sorted.
    pub(super) tables: Vec<String>,
    /// Nodes that have a directory, sorted.
    pub(super) nodes: Vec<String>,
    /// Those of them with files that are still being written, or never were finished.
    begun: Vec<String>,
}

/// Lists a directory.
pub(super) fn list(root: &Path) -> Result<Listing, TapeError> {
    let metadata = fs::metadata(root).map_err(|source| {
        if source.kind() == io::ErrorKind::NotFound {
            TapeError::NotFound { path: root.to_owned() }
        } else {
            unreadable(root, source)
        }
    })?;
    if !metadata.is_dir() {
        return Err(TapeError::NotDirectory { path: root.to_owned() });
    }
    let mut listing = Listing {
        root: root.to_owned(),
        manifest: None,
        tables: Vec::new(),
        nodes: Vec::new(),
        begun: Vec::new(),
    };
    let entries = entries(root, root, "")?;
    for (name, kind) in &entries {
        add(&mut listing, name, *kind)?;
    }
    listing.tables.sort();
    listing.nodes.sort();
    listing.begun.sort();
    if listing.manifest.is_none() && listing.tables.is_empty() {
        let path = root.to_owned();
        return Err(if listing.begun.is_empty() {
            TapeError::NoTape {
                path,
                empty: entries.is_empty(),
            }
        } else {
            TapeError::Begun {
                nodes: listing.begun,
                path,
            }
        });
    }
    Ok(listing)
}

fn add(listing: &mut Listing, name: &str, kind: FileType) -> Result<(), TapeError> {
    let link = |name: &str| TapeError::Link {
        name: name.to_owned(),
        path: listing.root.clone(),
    };
    if name == MANIFEST_FILE {
        if !kind.is_file() {
            return Err(link(name));
        }
        listing.manifest = Some(read_bounded(&listing.root, name, MANIFEST_BYTES)?);
        return Ok(());
    }
    let node = name.strip_prefix(NODE).filter(|node| !node.is_empty());
    if node.is_none() && name != CLUSTER && name != IMPORT {
        return Ok(());
    }
    if !kind.is_dir() {
        return Err(link(name));
    }
    let files = entries(&listing.root, &listing.root.join(name), name)?;
    if let Some(node) = node
        && files.iter().any(|(file, _)| file.ends_with(UNFINISHED))
    {
        listing.begun.push(node.to_owned());
    }
    for (file, kind) in files {
        if table_of(&file).is_some() {
            let path = format!("{name}/{file}");
            if !kind.is_file() {
                return Err(link(&path));
            }
            listing.tables.push(path);
        }
    }
    listing.nodes.extend(node.map(str::to_owned));
    Ok(())
}

/// Names and kinds of what a directory holds; names that are no text are no part of a tape.
fn entries(root: &Path, directory: &Path, name: &str) -> Result<Vec<(String, FileType)>, TapeError> {
    let fail = |source| unreadable(directory, source);
    let entry = |entry: io::Result<DirEntry>| -> io::Result<Option<(String, FileType)>> {
        let entry = entry?;
        let kind = entry.file_type()?;
        Ok(entry.file_name().into_string().ok().map(|name| (name, kind)))
    };
    let mut list = Vec::new();
    for found in fs::read_dir(directory).map_err(fail)? {
        list.extend(entry(found).map_err(fail)?);
        if list.len() > DIRECTORY_ENTRIES {
            return Err(TapeError::TooLarge {
                name: format!("{name}/"),
                limit: DIRECTORY_ENTRIES as u64,
                unit: "entries",
                path: root.to_owned(),
            });
        }
    }
    Ok(list)
}

/// The content of a file below a tape, which may have so many bytes.
pub(super) fn read_bounded(root: &Path, name: &str, limit: u64) -> Result<Vec<u8>, TapeError> {
    let path = root.join(name);
    let fail = |source| unreadable(&path, source);
    let file = File::open(&path).map_err(fail)?;
    let mut content = Vec::new();
    // One byte more than is accepted tells a file that is too long, even one that grows.
    file.take(limit + 1).read_to_end(&mut content).map_err(fail)?;
    if content.len() as u64 > limit {
        return Err(TapeError::TooLarge {
            name: name.to_owned(),
            limit,
            unit: "bytes",
            path: root.to_owned(),
        });
    }
    Ok(content)
}

/// Size of a file below a tape, in bytes.
pub(super) fn size(root: &Path, name: &str) -> Result<u64, TapeError> {
    let path = root.join(name);
    let metadata = fs::symlink_metadata(&path).map_err(|source| unreadable(&path, source))?;
    Ok(metadata.len())
}

fn unreadable(path: &Path, source: io::Error) -> TapeError {
    TapeError::Io {
        path: path.to_owned(),
        source,
    }
}
