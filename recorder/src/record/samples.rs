//! Table `events`: sorted row groups, streamed to the disk. The first thing to go when there is no room.

use std::path::Path;

use flowtape_recorder_ebpf::abi::event::Event;
use flowtape_schemas::manifest::FileEntry;
use flowtape_schemas::node::EventRow;
use flowtape_schemas::parquet::ROW_GROUP_ROWS;

use super::node_tape::WriteError;
use crate::clock::Offset;
use crate::convert::{edge_order, event_row};
use crate::tape::{AppendTable, TapeError, WholeFile};

/// Rows converted at a time: a row is larger than the record it comes from.
const BATCH: usize = 2_048;

/// What an event takes on the disk, about.
const EVENT_BYTES: u64 = 10;

/// The samples of one node while they are being written.
pub(super) struct Samples {
    offset: Offset,
    directory: String,
    /// Events of the next row group, in order of arrival.
    group: Vec<Event>,
    table: AppendTable<EventRow>,
    /// Why the disk refused the last file; `None` while it takes them.
    refused: Option<TapeError>,
    /// Events that were lost since somebody asked.
    dropped: u64,
}

impl Samples {
    /// No events yet, in a directory of the tape.
    pub(super) fn new(tape: &Path, directory: &str, offset: Offset) -> Self {
        Self {
            offset,
            directory: directory.to_owned(),
            group: Vec::with_capacity(ROW_GROUP_ROWS),
            table: AppendTable::new(tape.to_owned(), directory.to_owned()),
            refused: None,
            dropped: 0,
        }
    }

    /// Adds events; they are written when there are enough for a row group. `wanted` is false if there is no room for them.
    pub(super) fn add(&mut self, events: Vec<Event>, wanted: bool) -> Result<(), WriteError> {
        if !wanted || self.refused.is_some() {
            self.dropped += events.len() as u64;
            return Ok(());
        }
        if self.group.len() + events.len() > ROW_GROUP_ROWS {
            self.write_group()?;
        }
        self.group.extend(events);
        Ok(())
    }

    /// Ends the present file, so that a crash later cannot take what is in it.
    pub(super) fn rotate(&mut self) -> Result<(), WriteError> {
        self.write_group()?;
        match self.table.rotate() {
            Ok(()) => Ok(()),
            Err((error, rows)) if error.storage().is_some() => {
                self.refuse(error, rows);
                Ok(())
            }
            Err((error, _)) => Err(error.into()),
        }
    }

    /// A file for a table that has none, so that a missing file means a missing table.
    pub(super) fn file_if_none(&self) -> Result<Option<WholeFile>, TapeError> {
        if self.table.finished().is_empty() {
            WholeFile::of::<EventRow>(&self.directory, self.table.next_sequence(), &[]).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Bytes of the file that is being written.
    pub(super) fn open_bytes(&self) -> u64 {
        self.table.open_bytes() + self.group.len() as u64 * EVENT_BYTES
    }

    /// Bytes of the table, with what is not on the disk yet.
    pub(super) fn bytes(&self) -> u64 {
        self.table.finished_bytes() + self.open_bytes()
    }

    /// Files that are finished.
    pub(super) fn finished(&self) -> &[FileEntry] {
        self.table.finished()
    }

    /// Events that were lost since the last call.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Why the disk refuses; `None` while it does not.
    pub(super) fn refused(&self) -> Option<&TapeError> {
        self.refused.as_ref()
    }

    /// Tries the disk again.
    pub(super) fn resume(&mut self) {
        self.refused = None;
    }

    /// Sorts what has arrived and writes it as one row group.
    fn write_group(&mut self) -> Result<(), WriteError> {
        self.group.sort_unstable_by(edge_order);
        let before = self.table.open_rows();
        match self.write_rows() {
            Ok(()) => {}
            Err(WriteError::Tape(error)) if error.storage().is_some() => {
                self.table.abandon();
                self.refuse(error, before + self.group.len() as u64);
            }
            Err(error) => return Err(error),
        }
        self.group.clear();
        Ok(())
    }

    fn write_rows(&mut self) -> Result<(), WriteError> {
        for part in self.group.chunks(BATCH) {
            let rows = part
                .iter()
                .map(|event| event_row(event, self.offset))
                .collect::<Result<Vec<_>, _>>()?;
            self.table.write(&rows)?;
        }
        Ok(self.table.end_row_group()?)
    }

    fn refuse(&mut self, error: TapeError, rows: u64) {
        self.refused = Some(error);
        self.dropped += rows;
    }
}
