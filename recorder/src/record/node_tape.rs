//! The tables of one node, from the kernel's shapes to files.

use std::path::{Path, PathBuf};

use flowtape_recorder_ebpf::abi::event::Event;
use flowtape_recorder_ebpf::abi::flow::{FlowKey, FlowValue};
use flowtape_schemas::manifest::FileEntry;
use flowtape_schemas::node::{
    CgroupRow, ClockRow, Counter, FlowRow, Hook, ListenRow, Loss, NetnsRow, SocketRow, StatsRow,
};
use flowtape_schemas::time::Time;

use super::collect::Counted;
use super::open::OpenFlow;
use super::queue::Intervals;
use super::room::{Keep, Usage};
use super::samples::Samples;
use crate::clock::Offset;
use crate::convert::{Interval, UnknownNumber, flow_row, socket_row, stats_row};
use crate::tape::{CountedTable, IntervalTable, Outbox, Reserve, TapeError, WholeFile, free_bytes};

/// Size at which a file of samples is ended, in bytes.
const FILE_BYTES: u64 = 64 << 20;

/// Size at which a file of any other table is ended, in bytes: it is in memory until then.
const COUNTED_FILE_BYTES: u64 = 4 << 20;

/// Room on the disk above which samples are tried again.
const ROOM_FOR_SAMPLES: u64 = 2 * FILE_BYTES;

/// Rows converted at a time: a row is larger than the record it comes from.
const BATCH: usize = 2_048;

/// What the manifest says of one file, about.
const ENTRY_BYTES: u64 = 256;

/// Why the tables could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// The files.
    #[error(transparent)]
    Tape(#[from] TapeError),
    /// The kernel's side.
    #[error(transparent)]
    Unknown(#[from] UnknownNumber),
    /// There was no room up to the end.
    #[error(
        "{files} finished files hold what was counted until {until}, what came after did not fit; free some room and record again"
    )]
    NoRoom {
        /// Files on the disk.
        files: usize,
        /// The last moment of which everything is on the disk.
        until: Time,
        /// Why not.
        source: TapeError,
    },
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
    /// Those of them that the kernel did not show to the programs.
    pub(super) skipped: u64,
    /// Control groups of which nothing is known but their number.
    pub(super) unnamed: u64,
    /// Nanoseconds between looks at the open sockets of which the later one failed.
    pub(super) blind_nanos: u64,
    /// What the reader of the manifest should know.
    pub(super) notes: Vec<String>,
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
    directory: PathBuf,
    offset: Offset,
    max_size: Option<u64>,
    samples: Samples,
    flows: CountedTable<FlowRow>,
    sockets: CountedTable<SocketRow>,
    stats: CountedTable<StatsRow>,
    clock: CountedTable<ClockRow>,
    listens: IntervalTable<ListenRow>,
    cgroups: IntervalTable<CgroupRow>,
    netns: IntervalTable<NetnsRow>,
    outbox: Outbox,
    reserve: Reserve,
    /// The interval that was counted last.
    interval: Interval,
    /// Until when everything is on the disk.
    safe_until: Time,
    /// Since when there are no samples; `None` while there are.
    bare_since: Option<Time>,
    written: Written,
}

impl NodeTape {
    /// Begins the tables in `directory` of the tape with the clocks that fix the offset.
    pub(super) fn new(
        tape: &Path,
        directory: &str,
        offset: Offset,
        start: ClockRow,
        max_size: Option<u64>,
    ) -> Result<Self, TapeError> {
        let begun = start.wall_time;
        let mut clock = CountedTable::new(directory.to_owned());
        clock.write(&[start])?;
        Ok(Self {
            directory: tape.join(directory),
            offset,
            max_size,
            samples: Samples::new(tape, directory, offset),
            flows: CountedTable::new(directory.to_owned()),
            sockets: CountedTable::new(directory.to_owned()),
            stats: CountedTable::new(directory.to_owned()),
            clock,
            listens: IntervalTable::new(directory.to_owned()),
            cgroups: IntervalTable::new(directory.to_owned()),
            netns: IntervalTable::new(directory.to_owned()),
            outbox: Outbox::new(tape.to_owned()),
            reserve: Reserve::take(&tape.join(directory))?,
            interval: Interval {
                start: begun,
                end: begun,
            },
            safe_until: begun,
            bare_since: None,
            written: Written::default(),
        })
    }

    /// Adds events; they are written when there are enough for a row group.
    pub(super) fn events(&mut self, events: Vec<Event>) -> Result<(), WriteError> {
        let wanted = self.keep() == Keep::Everything;
        self.samples.add(events, wanted)?;
        if self.samples.open_bytes() >= FILE_BYTES {
            self.samples.rotate()?;
        }
        self.note_bare();
        Ok(())
    }

    /// Adds what was counted in an interval.
    pub(super) fn counted(&mut self, counted: Counted) -> Result<(), WriteError> {
        let Counted {
            interval,
            mut flows,
            sockets,
            mut open,
            found,
            mut stats,
        } = counted;
        self.interval = interval;
        self.events(found)?;
        flows.sort_unstable_by_key(|(key, value)| (*key, value.first_ns));
        for part in flows.chunks(BATCH) {
            let row = |(key, value): &(FlowKey, FlowValue)| flow_row(key, value, interval, self.offset);
            let rows = part.iter().map(row).collect::<Result<Vec<_>, _>>()?;
            self.written.operations += rows.iter().map(|row| row.count).sum::<u64>();
            self.flows.write(&rows)?;
        }
        for part in sockets.chunks(BATCH) {
            let row = |((by, key), value): &_| socket_row(*by, key, value, interval, self.offset);
            self.sockets.write(&part.iter().map(row).collect::<Vec<_>>())?;
        }
        open.sort_unstable_by_key(|flow| (flow.key, flow.predates, flow.value.first_ns));
        for part in open.chunks(BATCH) {
            let row = |flow: &OpenFlow| {
                Ok(FlowRow {
                    predates_window: flow.predates,
                    ..flow_row(&flow.key, &flow.value, interval, self.offset)?
                })
            };
            let rows = part.iter().map(row).collect::<Result<Vec<_>, UnknownNumber>>()?;
            self.flows.write(&rows)?;
        }
        stats.extend(self.dropped());
        self.add_stats(&stats)?;
        let largest = self.flows.open_bytes().max(self.sockets.open_bytes());
        if largest.max(self.stats.open_bytes()) >= COUNTED_FILE_BYTES {
            self.seal()?;
            self.send();
        }
        Ok(())
    }

    /// Ends every file, so that a crash later cannot take what is in them.
    pub(super) fn rotate(&mut self, intervals: Intervals, clock: ClockRow) -> Result<(), WriteError> {
        let Intervals {
            listens,
            cgroups,
            netns,
        } = intervals;
        let at = clock.wall_time;
        self.samples.rotate()?;
        let dropped = self.dropped();
        self.add_stats(dropped.as_slice())?;
        self.clock.write(&[clock])?;
        self.seal()?;
        let files = [
            self.listens.files(listens.0, listens.1)?,
            self.cgroups.files(cgroups.0, cgroups.1)?,
            self.netns.files(netns.0, netns.1)?,
        ];
        files.into_iter().flatten().for_each(|file| self.outbox.put(file));
        if self.send().is_none() {
            self.safe_until = at;
        }
        self.look_for_room(at);
        self.note_bare();
        Ok(())
    }

    /// What there is room for.
    pub(super) fn keep(&self) -> Keep {
        self.usage().keep(self.max_size)
    }

    /// Ends the tables and lists their files.
    pub(super) fn finish(mut self) -> Result<Written, WriteError> {
        self.samples.rotate()?;
        let dropped = self.dropped();
        self.add_stats(dropped.as_slice())?;
        let last = [
            self.flows.seal_last()?,
            self.sockets.seal_last()?,
            self.stats.seal_last()?,
            self.clock.seal_last()?,
        ];
        let last = last.into_iter().chain([self.samples.file_if_none()?]);
        last.flatten().for_each(|file| self.outbox.put(file));
        self.note_end_of_bare(None);
        let refused = self.send();
        let mut files: Vec<FileEntry> = self.outbox.stored().cloned().collect();
        files.extend_from_slice(self.samples.finished());
        if let Some(source) = refused {
            return Err(WriteError::NoRoom {
                files: files.len(),
                until: self.safe_until,
                source,
            });
        }
        self.written.files = files;
        Ok(self.written)
    }

    fn usage(&self) -> Usage {
        let files = self.outbox.stored().count() + self.samples.finished().len();
        let counted = self.flows.open_bytes() + self.sockets.open_bytes();
        let open = counted + self.stats.open_bytes() + self.clock.open_bytes();
        let waiting = self.outbox.waiting_bytes();
        Usage {
            tape: self.outbox.stored_bytes() + self.samples.bytes() + open + waiting + files as u64 * ENTRY_BYTES,
            waiting,
            samples_refused: self.samples.refused().is_some(),
        }
    }

    /// What the disk took from `events` since the last time, as a row of `stats`.
    fn dropped(&mut self) -> Option<StatsRow> {
        let events = self.samples.take_dropped();
        stats_row(Hook::Writer, Counter::WriterDropped, events, self.interval)
    }

    fn add_stats(&mut self, stats: &[StatsRow]) -> Result<(), TapeError> {
        for row in stats {
            match row.counter.loss() {
                Loss::Nothing => {}
                Loss::Events => self.written.lost_events += row.value,
                // Time, and no operations.
                Loss::Edges if row.counter == Counter::BlindNanos => self.written.blind_nanos += row.value,
                Loss::Edges => {
                    self.written.lost_edges += row.value;
                    if row.counter == Counter::RecursionMissed {
                        self.written.skipped += row.value;
                    }
                }
                Loss::Names => self.written.unnamed += row.value,
            }
        }
        self.stats.write(stats)
    }

    /// Ends the files of the tables that grow in memory.
    fn seal(&mut self) -> Result<(), TapeError> {
        let files: [Option<WholeFile>; 4] = [
            self.flows.seal()?,
            self.sockets.seal()?,
            self.stats.seal()?,
            self.clock.seal()?,
        ];
        files.into_iter().flatten().for_each(|file| self.outbox.put(file));
        Ok(())
    }

    /// Stores what waits, in the room that was set aside if there is no other. Gives why not; it waits on then.
    fn send(&mut self) -> Option<TapeError> {
        let refused = self.outbox.send().err()?;
        if !self.reserve.is_held() {
            return Some(refused);
        }
        self.reserve.release();
        self.outbox.send().err()
    }

    /// Begins with samples again where there is room for many.
    fn look_for_room(&mut self, at: Time) {
        let is_narrow = self.samples.refused().is_some() || !self.reserve.is_held();
        if !is_narrow || self.outbox.waiting_bytes() > 0 || free_bytes(&self.directory) < ROOM_FOR_SAMPLES {
            return;
        }
        if self.reserve.is_held() || self.reserve.take_again().is_ok() {
            self.note_end_of_bare(Some(at));
            self.samples.resume();
        }
    }

    /// Remembers since when there are no samples.
    fn note_bare(&mut self) {
        if self.bare_since.is_none() && self.keep() != Keep::Everything {
            self.bare_since = Some(self.safe_until);
        }
    }

    /// Notes that there were no samples up to a time, or the end.
    fn note_end_of_bare(&mut self, until: Option<Time>) {
        let Some(since) = self.bare_since.take() else { return };
        let until = until.map_or_else(|| "the end".to_owned(), |until| until.to_string());
        let because = match self.samples.refused() {
            Some(error) => error.storage().map_or_else(|| error.to_string(), ToString::to_string),
            None => "`--max-size` was nearly reached".to_owned(),
        };
        self.written
            .notes
            .push(format!("samples are missing from {since} to {until}: {because}"));
    }
}
