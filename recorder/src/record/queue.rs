//! The bounded queue between the thread that reads and the thread that writes.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};

use anyhow::{Context as _, anyhow};
use flowtape_recorder_ebpf::abi::event::Event;
use flowtape_schemas::node::{CgroupRow, ClockRow, ListenRow, NetnsRow};

use super::collect::Counted;
use super::node_tape::{NodeTape, WriteError, Written};
use crate::clock::Offset;

/// Hand-overs that may wait: at most about 8 MiB of events.
const WAITING: usize = 8;

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
    Counted(Counted),
    Rotate(Box<Intervals>, ClockRow),
}

/// The writer's end of the recorder.
pub(super) struct Queue {
    work: SyncSender<Work>,
    writer: JoinHandle<Result<Written, WriteError>>,
}

impl Queue {
    /// Starts the writer.
    pub(super) fn start(tape: &Path, directory: &str, offset: Offset, start: ClockRow) -> anyhow::Result<Self> {
        let (work, waiting) = sync_channel(WAITING);
        let tape = NodeTape::new(tape, directory, offset, start)?;
        let writer = Builder::new()
            .name("tape-writer".to_owned())
            .spawn(move || write(tape, &waiting));
        Ok(Self {
            work,
            writer: writer.context("cannot start the writer")?,
        })
    }

    /// Hands over events if there is room; gives the number of those that were dropped.
    pub(super) fn offer(&self, events: Vec<Event>) -> u64 {
        match self.work.try_send(Work::Events(events)) {
            Err(TrySendError::Full(Work::Events(events)) | TrySendError::Disconnected(Work::Events(events))) => {
                events.len() as u64
            }
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => 0,
        }
    }

    /// Hands over counts, waiting for room.
    pub(super) fn counted(&self, counted: Counted) -> anyhow::Result<()> {
        self.hand_over(Work::Counted(counted))
    }

    /// Ends the present files, waiting for room.
    pub(super) fn rotate(&self, intervals: Intervals, clock: ClockRow) -> anyhow::Result<()> {
        self.hand_over(Work::Rotate(Box::new(intervals), clock))
    }

    /// Whether the writer still works.
    pub(super) fn is_alive(&self) -> bool {
        !self.writer.is_finished()
    }

    /// Waits until all is written.
    pub(super) fn finish(self) -> anyhow::Result<Written> {
        let Self { work, writer } = self;
        drop(work);
        match writer.join() {
            Ok(written) => Ok(written?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    fn hand_over(&self, work: Work) -> anyhow::Result<()> {
        self.work.send(work).map_err(|_unsent| anyhow!("the writer stopped"))
    }
}

fn write(mut tape: NodeTape, waiting: &Receiver<Work>) -> Result<Written, WriteError> {
    for work in waiting {
        match work {
            Work::Events(events) => tape.events(events)?,
            Work::Counted(counted) => tape.counted(counted)?,
            Work::Rotate(intervals, clock) => tape.rotate(*intervals, clock)?,
        }
    }
    tape.finish()
}
