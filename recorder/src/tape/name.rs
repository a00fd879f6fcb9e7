//! Names inside a tape, and which paths can be part of one.

use flowtape_schemas::manifest::MANIFEST_FILE;

use super::CLUSTER_DIRECTORY;

/// What the directory of one recording of several begins with.
const RECORDING: &str = "recording-";

/// Where the recording of this number stands among several of one node.
#[must_use]
pub fn recording_directory(number: u32) -> String {
    format!("{RECORDING}{number:06}")
}

/// A DNS subdomain, which the name of every Kubernetes node is (RFC 1123; Kubernetes "Object Names and IDs").
#[must_use]
pub fn is_node_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty() && label.bytes().all(is_allowed) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

/// Whether a path is that of a finished file of a tape, or of one of several recordings: relative, with `/` between its
/// parts, and without a way out.
#[must_use]
pub fn is_tape_path(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let inside = match parts.split_first() {
        Some((first, rest)) if is_recording_directory(first) => rest,
        Some(_) | None => &parts,
    };
    match inside {
        [MANIFEST_FILE] => true,
        [CLUSTER_DIRECTORY, file] => is_table_file(file),
        [node, file] => node.strip_prefix("node=").is_some_and(is_node_name) && is_table_file(file),
        _ => false,
    }
}

fn is_recording_directory(name: &str) -> bool {
    name.strip_prefix(RECORDING).is_some_and(is_number)
}

/// `<table>-<six digits>.parquet`
pub(super) fn is_table_file(name: &str) -> bool {
    let stem = name.strip_suffix(".parquet");
    let parts = stem.and_then(|stem| stem.rsplit_once('-'));
    parts.is_some_and(|(table, number)| {
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        !table.is_empty() && table.bytes().all(is_word) && is_number(number)
    })
}

fn is_number(text: &str) -> bool {
    (6..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{is_table_file, is_tape_path, recording_directory};

    #[test]
    fn names_of_table_files() {
        for name in ["flows-000001.parquet", "endpoint_slices-000123.parquet"] {
            assert!(is_table_file(name), "{name}");
        }
        for name in [
            "flows.parquet",
            "flows-1.parquet",
            "-000001.parquet",
            "Flows-000001.parquet",
            "flows-000001.csv",
            "flows-000001.parquet.bak",
            "flows-000001.parquet.tmp",
        ] {
            assert!(!is_table_file(name), "{name}");
        }
    }

    #[test]
    fn a_path_of_a_tape_leads_nowhere_else() {
        for path in [
            "manifest.json".to_owned(),
            "node=n1.example/flows-000001.parquet".to_owned(),
            "cluster/pods-000001.parquet".to_owned(),
            recording_directory(7) + "/manifest.json",
            recording_directory(7) + "/node=n1/flows-000001.parquet",
        ] {
            assert!(is_tape_path(&path), "{path}");
        }
        for path in [
            "",
            "/manifest.json",
            "../manifest.json",
            "node=../flows-000001.parquet",
            "node=N1/flows-000001.parquet",
            "node=n1/../manifest.json",
            "node=n1/manifest.json",
            "node=n1\\flows-000001.parquet",
            "recording-1/manifest.json",
            "recording-000001/recording-000001/manifest.json",
            "recording-000001/../manifest.json",
            "cluster//pods-000001.parquet",
            "cluster/pods-000001.parquet/",
            "ended",
        ] {
            assert!(!is_tape_path(path), "{path}");
        }
    }
}
