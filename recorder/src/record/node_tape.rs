//! The tables of one node, from the kernel's shapes to files.

use std::path::Path;

use flowtape_recorder_ebpf::abi::event::Event;
use flowtape_recorder_ebpf::abi::flow::{FlowKey, FlowValue};
use flowtape_schemas::manifest::FileEntry;
use flowtape_schemas::node::{CgroupRow, ClockRow, EventRow, FlowRow, ListenRow, Loss, NetnsRow, StatsRow};
use flowtape_schemas::parquet::ROW_GROUP_ROWS;
use flowtape_schemas::table::Row;

use super::collect::Counted;
use super::queue::Intervals;
use crate::clock::{self, Offset};
use crate::convert::{UnknownNumber, edge_order, event_row, flow_row};
use crate::tape::{AppendTable, IntervalTable, TapeError};

/// Size at which a file is ended, in bytes.
const FILE_BYTES: u64 = 64 << 20;

/// Rows converted at a time: a row is larger than the record it comes from.
const BATCH: usize = 8_192;

/// Why the tables could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// The files.
    #[error(transparent)]
    Tape(#[from] TapeError),
    /// The kernel's side.
    #[error(transparent)]
    Unknown(#[from] UnknownNumber),
    /// The clocks.
    #[error("cannot read the clocks")]
    Clock(#[source] std::io::Error),
}

/// What stands in the files.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) files: Vec<FileEntry>,
    /// Operations counted in `flows`.
    pub(super) operations: u64,
    /// Operations missing from `events`.
    pub(super) lost_events: u64,
    /// Operations missing from `flows`.
    pub(super) lost_edges: u64,
}

impl Written {
    /// Rows of a table.
    pub(super) fn rows(&self, table: &str) -> u64 {
        self.files
            .iter()
            .filter(|file| file.table == table)
            .map(|file| file.rows)
            .sum()
    }
}

/// The tables of one node while they are being written.
pub(super) struct NodeTape {
    offset: Offset,
    /// Events of the next row group, in order of arrival.
    group: Vec<Event>,
    events: AppendTable<EventRow>,
    flows: AppendTable<FlowRow>,
    stats: AppendTable<StatsRow>,
    clock: AppendTable<ClockRow>,
    listens: IntervalTable<ListenRow>,
    cgroups: IntervalTable<CgroupRow>,
    netns: IntervalTable<NetnsRow>,
    written: Written,
}

impl NodeTape {
    /// Begins the tables in `directory` of the tape with the clocks that fix the offset.
    pub(super) fn new(tape: &Path, directory: &str, offset: Offset, start: ClockRow) -> Result<Self, TapeError> {
        let mut clock = append(tape, directory);
        clock.write(&[start])?;
        Ok(Self {
            offset,
            group: Vec::with_capacity(ROW_GROUP_ROWS),
            events: append(tape, directory),
            flows: append(tape, directory),
            stats: append(tape, directory),
            clock,
            listens: intervals(tape, directory),
            cgroups: intervals(tape, directory),
            netns: intervals(tape, directory),
            written: Written::default(),
        })
    }

    /// Adds events; they are written when there are enough for a row group.
    pub(super) fn events(&mut self, events: Vec<Event>) -> Result<(), WriteError> {
        if self.group.len() + events.len() > ROW_GROUP_ROWS {
            self.write_group()?;
        }
        self.group.extend(events);
        if self.events.open_bytes().max(self.flows.open_bytes()) >= FILE_BYTES {
            self.end_files(clock::sample().map_err(WriteError::Clock)?)?;
        }
        Ok(())
    }

    /// Adds what was counted in an interval.
    pub(super) fn counted(&mut self, counted: Counted) -> Result<(), WriteError> {
        let Counted {
            interval,
            mut flows,
            stats,
        } = counted;
        flows.sort_unstable_by_key(|(key, value)| (*key, value.first_ns));
        for part in flows.chunks(BATCH) {
            let row = |(key, value): &(FlowKey, FlowValue)| flow_row(key, value, interval, self.offset);
            let rows = part.iter().map(row).collect::<Result<Vec<_>, _>>()?;
            self.written.operations += rows.iter().map(|row| row.count).sum::<u64>();
            self.flows.write(&rows)?;
        }
        for row in &stats {
            match row.counter.loss() {
                Loss::Nothing => {}
                Loss::Events => self.written.lost_events += row.value,
                Loss::Edges => self.written.lost_edges += row.value,
            }
        }
        Ok(self.stats.write(&stats)?)
    }

    /// Ends every file, so that a crash later cannot take what is in them.
    pub(super) fn rotate(&mut self, intervals: Intervals, clock: ClockRow) -> Result<(), WriteError> {
        let Intervals {
            listens,
            cgroups,
            netns,
        } = intervals;
        self.end_files(clock)?;
        self.listens.store(listens.0, listens.1)?;
        self.cgroups.store(cgroups.0, cgroups.1)?;
        Ok(self.netns.store(netns.0, netns.1)?)
    }

    /// Ends the tables and lists their files.
    pub(super) fn finish(mut self) -> Result<Written, WriteError> {
        self.write_group()?;
        let mut written = self.written;
        written.files = [
            self.flows.finish()?,
            self.events.finish()?,
            self.listens.finish(),
            self.cgroups.finish(),
            self.netns.finish(),
            self.stats.finish()?,
            self.clock.finish()?,
        ]
        .concat();
        Ok(written)
    }

    fn end_files(&mut self, clock: ClockRow) -> Result<(), WriteError> {
        self.write_group()?;
        self.clock.write(&[clock])?;
        self.flows.rotate()?;
        self.events.rotate()?;
        self.stats.rotate()?;
        Ok(self.clock.rotate()?)
    }

    /// Sorts what has arrived and writes it as one row group.
    fn write_group(&mut self) -> Result<(), WriteError> {
        self.group.sort_unstable_by(edge_order);
        for part in self.group.chunks(BATCH) {
            let rows = part
                .iter()
                .map(|event| event_row(event, self.offset))
                .collect::<Result<Vec<_>, _>>()?;
            self.events.write(&rows)?;
        }
        self.events.end_row_group()?;
        self.group.clear();
        Ok(())
    }
}

fn append<R: Row>(tape: &Path, directory: &str) -> AppendTable<R> {
    AppendTable::new(tape.to_owned(), directory.to_owned())
}

fn intervals<R: Row + Ord>(tape: &Path, directory: &str) -> IntervalTable<R> {
    IntervalTable::new(tape.to_owned(), directory.to_owned())
}
