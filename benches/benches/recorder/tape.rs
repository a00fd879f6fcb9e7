//! What a recording takes on disk, and what it says it lost.

use std::fs::{self, File};
use std::path::Path;

use flowtape_schemas::manifest::Manifest;
use parquet::file::reader::{FileReader as _, SerializedFileReader};

use crate::Outcome;

/// What identifies the edge of an event, when it was, and the client's port.
const KEY: [&str; 11] = [
    "time",
    "kind",
    "direction",
    "protocol",
    "local_ip",
    "local_port",
    "remote_ip",
    "remote_port",
    "outcome",
    "cgroup_id",
    "netns",
];

/// The `events` of a recording.
pub(crate) struct Recorded {
    pub(crate) events: u64,
    /// Bytes of the files.
    pub(crate) bytes: u64,
    /// Bytes of the columns that make up [`KEY`].
    pub(crate) key_bytes: u64,
    pub(crate) lost_events: u64,
    pub(crate) lost_edges: u64,
}

impl Recorded {
    /// Reads the footers of a tape.
    pub(crate) fn of(tape: &Path) -> Outcome<Self> {
        let manifest = Manifest::parse(&fs::read(tape.join("manifest.json"))?)?;
        let mut recorded = Self {
            events: 0,
            bytes: 0,
            key_bytes: 0,
            lost_events: manifest.nodes.iter().map(|node| node.lost_events).sum(),
            lost_edges: manifest.nodes.iter().map(|node| node.lost_edges).sum(),
        };
        for entry in manifest.files.iter().filter(|entry| entry.table == "events") {
            recorded.events += entry.rows;
            recorded.bytes += entry.bytes;
            let file = SerializedFileReader::new(File::open(tape.join(&entry.path))?)?;
            for group in file.metadata().row_groups() {
                for column in group.columns() {
                    if KEY.contains(&column.column_path().string().as_str()) {
                        recorded.key_bytes += u64::try_from(column.compressed_size())?;
                    }
                }
            }
        }
        Ok(recorded)
    }
}
