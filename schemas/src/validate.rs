//! Checks table files and reports every problem of a file at once.

use bytes::Bytes;

use crate::cluster::{
    ContainerRow, EndpointSliceRow, NamespaceRow, NetworkPolicyRow, NodeRow, PodRow, ServiceRow, WorkloadRow,
};
use crate::import::QuarantineRow;
use crate::manifest::{FileEntry, sha256_hex};
use crate::node::{CgroupRow, ClockRow, EventRow, FlowRow, ListenRow, NameRow, NetnsRow, SocketRow, StatsRow};
use crate::parquet::{FileError, TableFile};
use crate::table::{Column, Place, Row};
use crate::time::Time;

/// A table of the schema, without its row type.
pub struct Table {
    /// Name, and stem of its files.
    pub name: &'static str,
    /// Where its files stand.
    pub place: Place,
    /// What it is for.
    pub doc: String,
    /// Its columns.
    pub columns: Vec<Column>,
    check: fn(Bytes) -> Vec<Problem>,
}

/// What is done with the row type of each table.
pub trait EachTable {
    /// Does it for one table.
    fn table<R: CheckedRow>(&mut self);
}

/// Visits every table of a tape, in the order of `SCHEMA.md`.
pub fn each_table(visitor: &mut impl EachTable) {
    visitor.table::<FlowRow>();
    visitor.table::<EventRow>();
    visitor.table::<ListenRow>();
    visitor.table::<SocketRow>();
    visitor.table::<CgroupRow>();
    visitor.table::<NetnsRow>();
    visitor.table::<NameRow>();
    visitor.table::<StatsRow>();
    visitor.table::<ClockRow>();
    visitor.table::<PodRow>();
    visitor.table::<ContainerRow>();
    visitor.table::<ServiceRow>();
    visitor.table::<EndpointSliceRow>();
    visitor.table::<NamespaceRow>();
    visitor.table::<NodeRow>();
    visitor.table::<WorkloadRow>();
    visitor.table::<NetworkPolicyRow>();
    visitor.table::<QuarantineRow>();
}

/// Every table of a tape, in the order of `SCHEMA.md`.
#[must_use]
pub fn tables() -> Vec<Table> {
    let mut tables = Vec::new();
    each_table(&mut tables);
    tables
}

impl EachTable for Vec<Table> {
    fn table<R: CheckedRow>(&mut self) {
        self.push(Table {
            name: R::TABLE,
            place: R::PLACE,
            doc: R::doc(),
            columns: R::columns(),
            check: check_rows::<R>,
        });
    }
}

/// One thing wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// No table of the schema has this name.
    #[error("`{table}` is not a table of this schema; a newer minor version may have added it")]
    UnknownTable {
        /// The name found.
        table: String,
    },
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The manifest promises another size.
    #[error("has {found} bytes, the manifest says {expected}; the file was truncated or changed after it was recorded")]
    Size {
        /// Size in the manifest.
        expected: u64,
        /// Size of the file.
        found: u64,
    },
    /// The manifest promises other content.
    #[error("SHA-256 is {found}, the manifest says {expected}; the file changed after it was recorded")]
    Hash {
        /// Hash in the manifest.
        expected: String,
        /// Hash of the file.
        found: String,
    },
    /// The manifest promises another number of rows.
    #[error("holds {found} rows, the manifest says {expected}")]
    Rows {
        /// Number in the manifest.
        expected: u64,
        /// Number in the file.
        found: u64,
    },
    /// A row contradicts itself.
    #[error("row {row}: {what}")]
    Row {
        /// Row within the file, from 0.
        row: usize,
        /// What contradicts what.
        what: &'static str,
    },
}

/// Every problem of one file; empty if it is sound. `entry` is what the manifest says of it, if there is one.
#[must_use]
pub fn check_file(table: &str, bytes: &Bytes, entry: Option<&FileEntry>) -> Vec<Problem> {
    let mut problems = entry.map_or_else(Vec::new, |entry| check_entry(bytes, entry));
    match tables().into_iter().find(|known| known.name == table) {
        Some(known) => problems.extend((known.check)(bytes.clone())),
        None => problems.push(Problem::UnknownTable {
            table: table.to_owned(),
        }),
    }
    problems
}

/// How the bytes of a file differ from what the manifest promises; looks at nothing inside.
#[must_use]
pub fn check_bytes(bytes: &Bytes, entry: &FileEntry) -> Option<Problem> {
    let found = bytes.len() as u64;
    if found != entry.bytes {
        return Some(Problem::Size {
            expected: entry.bytes,
            found,
        });
    }
    let found = sha256_hex(bytes);
    (found != entry.sha256).then(|| Problem::Hash {
        expected: entry.sha256.clone(),
        found,
    })
}

fn check_entry(bytes: &Bytes, entry: &FileEntry) -> Vec<Problem> {
    let mut problems: Vec<Problem> = check_bytes(bytes, entry).into_iter().collect();
    if let Ok(file) = TableFile::open(bytes.clone())
        && file.rows() != entry.rows
    {
        problems.push(Problem::Rows {
            expected: entry.rows,
            found: file.rows(),
        });
    }
    problems
}

fn check_rows<R: CheckedRow>(bytes: Bytes) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut first_row = 0;
    let file = match TableFile::open(bytes) {
        Ok(file) => file,
        Err(error) => return vec![error.into()],
    };
    if let Err(error) = file.check_table::<R>() {
        return vec![error.into()];
    }
    for group in 0..file.row_groups() {
        let checked = file.read_group(group, &mut |rows: Vec<R>| {
            for (index, row) in rows.iter().enumerate() {
                problems.extend(row.contradiction().map(|what| Problem::Row {
                    row: first_row + index,
                    what,
                }));
            }
            first_row += rows.len();
            Ok(())
        });
        problems.extend(checked.err().map(Problem::from));
    }
    problems
}

/// A row that knows how it could contradict itself.
pub trait CheckedRow: Row {
    /// What in this row contradicts what, if anything does.
    fn contradiction(&self) -> Option<&'static str>;
}

fn ordered(from: Option<Time>, to: Option<Time>) -> Option<&'static str> {
    matches!((from, to), (Some(from), Some(to)) if from > to).then_some("`valid_from` is after `valid_to`")
}

macro_rules! interval_rows {
    ($($row:ty),*) => {$(
        impl CheckedRow for $row {
            fn contradiction(&self) -> Option<&'static str> {
                ordered(self.valid_from, self.valid_to)
            }
        }
    )*};
}
interval_rows!(
    ListenRow,
    CgroupRow,
    NetnsRow,
    PodRow,
    ContainerRow,
    ServiceRow,
    EndpointSliceRow,
    NamespaceRow,
    NodeRow,
    WorkloadRow,
    NetworkPolicyRow
);

impl CheckedRow for FlowRow {
    fn contradiction(&self) -> Option<&'static str> {
        if self.interval_start > self.interval_end {
            return Some("`interval_start` is after `interval_end`");
        }
        if self.first_seen > self.last_seen {
            return Some("`first_seen` is after `last_seen`");
        }
        if self.remote_folded && self.remote_ip.is_some() {
            return Some("`remote_folded` is set, and yet there is a `remote_ip`");
        }
        if self.asked_port.is_some() && self.asked_ip.is_none() {
            return Some("there is an `asked_port` without `asked_ip`");
        }
        None
    }
}

impl CheckedRow for EventRow {
    fn contradiction(&self) -> Option<&'static str> {
        if self.remote_port.is_some() && self.remote_ip.is_none() {
            return Some("there is a `remote_port` without `remote_ip`");
        }
        (self.asked_port.is_some() && self.asked_ip.is_none()).then_some("there is an `asked_port` without `asked_ip`")
    }
}

impl CheckedRow for SocketRow {
    fn contradiction(&self) -> Option<&'static str> {
        if self.interval_start > self.interval_end {
            return Some("`interval_start` is after `interval_end`");
        }
        (self.first_seen > self.last_seen).then_some("`first_seen` is after `last_seen`")
    }
}

impl CheckedRow for NameRow {
    fn contradiction(&self) -> Option<&'static str> {
        (self.first_seen > self.last_seen).then_some("`first_seen` is after `last_seen`")
    }
}

impl CheckedRow for StatsRow {
    fn contradiction(&self) -> Option<&'static str> {
        (self.interval_start > self.interval_end).then_some("`interval_start` is after `interval_end`")
    }
}

impl CheckedRow for QuarantineRow {
    fn contradiction(&self) -> Option<&'static str> {
        (self.first_position > self.last_position).then_some("`first_position` is after `last_position`")
    }
}

impl CheckedRow for ClockRow {
    fn contradiction(&self) -> Option<&'static str> {
        None
    }
}
