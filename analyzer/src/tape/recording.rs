//! Which files of a directory are read: those that the manifest lists, or all that are finished where there is none.

use std::collections::BTreeSet;
use std::path::PathBuf;

use flowtape_schemas::manifest::{FileEntry, Manifest};
use flowtape_schemas::node::FlowRow;
use flowtape_schemas::table::Row as _;
use flowtape_schemas::version::CURRENT;

use super::TapeError;
use super::directory::Listing;
use super::place::TablePlace;
use crate::findings::{Code, Findings};

/// One directory, with the files that are read from it.
pub(super) struct Recording {
    /// The directory.
    pub(super) root: PathBuf,
    /// What the recording says about itself; `None` if it did not end cleanly.
    pub(super) manifest: Option<Manifest>,
    /// The files to read, by path.
    pub(super) files: Vec<ChosenFile>,
    /// Nodes that have a directory and no finished table `flows`, where there is no manifest.
    pub(super) without_flows: Vec<String>,
}

/// A table file that is read.
pub(super) struct ChosenFile {
    /// Path below the tape.
    pub(super) path: String,
    /// Which table of which node.
    pub(super) place: TablePlace,
    /// What the manifest promises.
    pub(super) entry: Option<FileEntry>,
}

/// Chooses the files of a directory.
pub(super) fn choose(listing: Listing, findings: &mut Findings) -> Result<Recording, TapeError> {
    match &listing.manifest {
        Some(text) => {
            let manifest = Manifest::parse(text).map_err(|source| TapeError::Manifest {
                source,
                path: listing.root.clone(),
            })?;
            from_manifest(manifest, listing, findings)
        }
        None => Ok(from_listing(listing)),
    }
}

fn from_manifest(manifest: Manifest, listing: Listing, findings: &mut Findings) -> Result<Recording, TapeError> {
    let Listing { root, tables, .. } = listing;
    let present: BTreeSet<&String> = tables.iter().collect();
    let missing = manifest
        .files
        .iter()
        .map(|entry| &entry.path)
        .filter(|path| !present.contains(path));
    let mut files = Vec::new();
    for entry in &manifest.files {
        match TablePlace::of(&entry.path).filter(|place| place.table == entry.table && place.is_known()) {
            Some(place) => files.push(ChosenFile {
                path: entry.path.clone(),
                place,
                entry: Some(entry.clone()),
            }),
            // A newer minor version may have added tables, which a reader of an older one does without.
            None if manifest.schema > CURRENT => {}
            None => {
                return Err(TapeError::Misplaced {
                    file: entry.path.clone(),
                    table: entry.table.clone(),
                    path: root,
                });
            }
        }
    }
    let mut missing: Vec<String> = missing.cloned().collect();
    if !missing.is_empty() {
        missing.sort();
        return Err(TapeError::MissingFiles {
            files: missing,
            path: root,
        });
    }
    check_nodes(&manifest, &files, &root)?;
    let listed: BTreeSet<&String> = manifest.files.iter().map(|entry| &entry.path).collect();
    for path in tables.iter().filter(|path| !listed.contains(path)) {
        findings.report(Code::UnlistedFile, format!("`{path}` is not listed and was not read"));
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Recording {
        root,
        manifest: Some(manifest),
        files,
        without_flows: Vec::new(),
    })
}

/// Every node of a manifest has table `flows`, and every node with files is described.
fn check_nodes(manifest: &Manifest, files: &[ChosenFile], root: &std::path::Path) -> Result<(), TapeError> {
    let described: BTreeSet<&str> = manifest.nodes.iter().map(|node| node.name.as_str()).collect();
    let of_node = |file: &ChosenFile| file.place.node.clone();
    if let Some(node) = files
        .iter()
        .filter_map(of_node)
        .find(|node| !described.contains(node.as_str()))
    {
        return Err(TapeError::UnknownNode {
            node,
            path: root.to_owned(),
        });
    }
    let recorded = nodes_with_flows(files);
    match described.into_iter().find(|node| !recorded.contains(node)) {
        Some(node) => Err(TapeError::MissingTable {
            table: FlowRow::TABLE,
            node: node.to_owned(),
            path: root.to_owned(),
        }),
        None => Ok(()),
    }
}

fn nodes_with_flows(files: &[ChosenFile]) -> BTreeSet<&str> {
    let flows = files.iter().filter(|file| file.place.table == FlowRow::TABLE);
    flows.filter_map(|file| file.place.node.as_deref()).collect()
}

fn from_listing(listing: Listing) -> Recording {
    let Listing {
        root, tables, nodes, ..
    } = listing;
    let known = |path: String| {
        let place = TablePlace::of(&path).filter(TablePlace::is_known)?;
        Some(ChosenFile {
            path,
            place,
            entry: None,
        })
    };
    let files: Vec<ChosenFile> = tables.into_iter().filter_map(known).collect();
    let recorded = nodes_with_flows(&files);
    let without_flows = nodes
        .into_iter()
        .filter(|node| !recorded.contains(node.as_str()))
        .collect();
    Recording {
        root,
        manifest: None,
        without_flows,
        files,
    }
}
