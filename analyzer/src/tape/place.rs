//! Which path of a tape is which table's.

use flowtape_schemas::table::Place;
use flowtape_schemas::validate::tables;

/// The directory of the metadata tables.
pub(super) const CLUSTER: &str = "cluster";

/// The directory of what an importer tells of its files.
pub(super) const IMPORT: &str = "import";

/// What precedes the node's name in the name of its directory.
pub(super) const NODE: &str = "node=";

/// A table file's place in a tape.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TablePlace {
    /// In which kind of directory.
    pub(super) place: Place,
    /// The node that recorded it; `None` outside of the directories of nodes.
    pub(super) node: Option<String>,
    /// The table.
    pub(super) table: String,
}

impl TablePlace {
    /// The place that a path below the tape names; `None` if no table stands there.
    pub(super) fn of(path: &str) -> Option<Self> {
        let (directory, file) = path.split_once('/')?;
        let (place, node) = match directory.strip_prefix(NODE) {
            Some(name) if !name.is_empty() => (Place::Node, Some(name.to_owned())),
            None if directory == CLUSTER => (Place::Cluster, None),
            None if directory == IMPORT => (Place::Import, None),
            Some(_) | None => return None,
        };
        let table = table_of(file)?.to_owned();
        Some(Self { place, node, table })
    }

    /// Whether this version has such a table in such a directory.
    pub(super) fn is_known(&self) -> bool {
        tables()
            .iter()
            .any(|table| table.name == self.table && table.place == self.place)
    }
}

/// The table of `<table>-<six or more digits>.parquet`. A file that is still being written has another ending.
pub(super) fn table_of(file: &str) -> Option<&str> {
    let (table, number) = file.strip_suffix(".parquet")?.rsplit_once('-')?;
    let is_word = !table.is_empty() && table.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let is_number = number.len() >= 6 && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_word && is_number).then_some(table)
}

#[cfg(test)]
mod tests {
    use super::TablePlace;

    #[test]
    fn table_files_stand_in_their_directory_and_have_a_number() {
        let place = |path| TablePlace::of(path).map(|place| (place.node, place.table));
        assert_eq!(
            place("node=n1/flows-000001.parquet"),
            Some((Some("n1".to_owned()), "flows".to_owned()))
        );
        assert_eq!(
            place("cluster/endpoint_slices-1234567.parquet"),
            Some((None, "endpoint_slices".to_owned()))
        );
        for path in [
            "flows-000001.parquet",
            "node=/flows-000001.parquet",
            "nodes/flows-000001.parquet",
            "node=n1/flows-1.parquet",
            "node=n1/flows-000001.parquet.tmp",
            "node=n1/more/flows-000001.parquet",
            "node=n1/Flows-000001.parquet",
            "cluster/-000001.parquet",
        ] {
            assert_eq!(place(path), None, "{path}");
        }
    }

    #[test]
    fn a_table_is_known_in_its_own_directory_only() {
        assert!(TablePlace::of("node=n1/flows-000001.parquet").unwrap().is_known());
        assert!(!TablePlace::of("cluster/flows-000001.parquet").unwrap().is_known());
        assert!(!TablePlace::of("cluster/dreams-000001.parquet").unwrap().is_known());
    }
}
