//! The bounded queue between the thread that reads and the thread that writes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};

use anyhow::{Context as _, anyhow};
use flowtape_recorder_ebpf::abi::event::Event;
use flowtape_schemas::node::{CgroupRow, ClockRow, ListenRow, NetnsRow};

use super::collect::Counted;
use super::node_tape::{NodeTape, WriteError, Written};
use super::room::{Keep, Kept};

/// Hand-overs that may wait: at most about 4 MiB of events.
const WAITING: usize = 16;

/// Rows of the tables of intervals: what ended since the last rotation, and what is still open.
#[derive(Debug)]
pub(super) struct Intervals {
    pub(super) listens: (Vec<ListenRow>, Vec<ListenRow>),
    pub(super) cgroups: (Vec<CgroupRow>, Vec<CgroupRow>),
    pub(super) netns: (Vec<NetnsRow>, Vec<NetnsRow>),
}

/// What the writer is told.
enum Work {
    Events(Vec<Event>),
    Counted(Box<Counted>),
    Rotate(Box<Intervals>, ClockRow),
}

/// The writer's end of the recorder.
pub(super) struct Queue {
    work: SyncSender<Work>,
    writer: JoinHandle<Result<Written, WriteError>>,
    /// What must be delivered and found no room; nothing overtakes it.
    waiting: VecDeque<Work>,
    kept: Arc<Kept>,
}

impl Queue {
    /// Starts the writer.
    pub(super) fn start(tape: NodeTape) -> anyhow::Result<Self> {
        let (work, from_reader) = sync_channel(WAITING);
        let kept = Arc::new(Kept::new());
        let told = Arc::clone(&kept);
        let writer = Builder::new()
            .name("tape-writer".to_owned())
            .spawn(move || write(tape, &from_reader, &told));
        Ok(Self {
            work,
            writer: writer.context("cannot start the writer")?,
            waiting: VecDeque::new(),
            kept,
        })
    }

    /// Hands over events if there is room; gives the number of those that were dropped.
    pub(super) fn offer(&mut self, events: Vec<Event>) -> u64 {
        let count = events.len() as u64;
        if count == 0 || (self.has_room() && self.work.try_send(Work::Events(events)).is_ok()) {
            0
        } else {
            count
        }
    }

    /// Hands over counts, now or when there is room.
    pub(super) fn counted(&mut self, counted: Counted) {
        self.waiting.push_back(Work::Counted(Box::new(counted)));
        self.has_room();
    }

    /// Ends the present files, now or when there is room.
    pub(super) fn rotate(&mut self, intervals: Intervals, clock: ClockRow) {
        self.waiting.push_back(Work::Rotate(Box::new(intervals), clock));
        self.has_room();
    }

    /// Whether everything was handed over so far; tries to. Where it was not, the kernel is the better place to wait: it goes
    /// on counting in the same room.
    pub(super) fn has_room(&mut self) -> bool {
        while let Some(work) = self.waiting.pop_front() {
            if let Err(TrySendError::Full(work) | TrySendError::Disconnected(work)) = self.work.try_send(work) {
                self.waiting.push_front(work);
                return false;
            }
        }
        true
    }

    /// What the writer has room for.
    pub(super) fn kept(&self) -> Keep {
        self.kept.get()
    }

    /// Whether the writer still works.
    pub(super) fn is_alive(&self) -> bool {
        !self.writer.is_finished()
    }

    /// Waits until all is written.
    pub(super) fn finish(self) -> anyhow::Result<Written> {
        let Self {
            work, writer, waiting, ..
        } = self;
        let delivered = waiting.into_iter().try_for_each(|one| work.send(one));
        drop(work);
        match writer.join() {
            Ok(written) => {
                let written = written?;
                delivered.map_err(|_unsent| anyhow!("the writer stopped"))?;
                Ok(written)
            }
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn write(mut tape: NodeTape, from_reader: &Receiver<Work>, kept: &Kept) -> Result<Written, WriteError> {
    for work in from_reader {
        match work {
            Work::Events(events) => tape.events(events)?,
            Work::Counted(counted) => tape.counted(*counted)?,
            Work::Rotate(intervals, clock) => tape.rotate(*intervals, clock)?,
        }
        kept.set(tape.keep());
    }
    tape.finish()
}
