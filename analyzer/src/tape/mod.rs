//! A tape, opened and checked: rows of every table a later stage needs, and how healthy the recording is.
//!
//! With `cli`, this module is the only door to the file system. A [`Tape`] exists only if its version, columns, hashes
//! and row counts were right; everything less grave is a reason in [`Health`] or a finding.
//!
//! - `directory` lists what lies in a directory, `place` says which path is which table's;
//! - `recording` decides, from the manifest or without one, which files are read;
//! - `read` decodes them in parallel within the bounds of `limit`;
//! - `unite` brings the rows of all recordings together, `health` judges the whole;
//! - [`mod@write`] writes one whose rows are at hand;
//! - `samples` reads table `events`, and `operation` the single operations behind counts that leave more than one answer.

mod directory;
mod error;
mod health;
mod limit;
mod operation;
mod place;
mod read;
mod recording;
mod samples;
mod threads;
mod unite;
pub mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use flowtape_schemas::import::QuarantineRow;
use flowtape_schemas::manifest::{HookReport, HookState, ImportRecording, NodeRecording, Stop, Window};
use flowtape_schemas::metadata::ClusterRows;
use flowtape_schemas::node::{
    CgroupRow, ClockRow, Counter, FlowRow, Hook, ListenRow, Loss, NameRow, NetnsRow, SocketRow, StatsRow,
};

pub use self::error::{Damage, TapeError};
pub use self::operation::{Operation, Operations, RowAt, operations};
pub use self::samples::{SampleFile, samples};
pub use self::threads::with_threads;
use crate::findings::Findings;

/// One or several recordings, united.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    /// Identifiers of the recordings, sorted. Never a path: where a tape lies must not reach the output.
    pub ids: BTreeSet<String>,
    /// The time covered, from the earliest start to the latest end; `None` for metadata without a recording.
    pub window: Option<Window>,
    /// What each node recorded, by name.
    pub nodes: Vec<NodeTape>,
    /// The metadata of the cluster.
    pub cluster: ClusterRows,
    /// When changes of it went unseen: between two snapshots, and where a watch was lost.
    pub unwatched: Vec<Window>,
    /// What was imported from other tools' recordings.
    pub imports: Vec<ImportRecording>,
    /// What of it could not be used.
    pub quarantine: Vec<QuarantineRow>,
    /// Whether the recording is complete.
    pub health: Health,
}

/// What one node recorded. Rows are sorted, so that file order and thread count leave no trace.
#[derive(Clone, Debug, Default)]
pub struct NodeTape {
    /// Name of the node.
    pub name: String,
    /// The time it covers; `None` where its recording has no manifest.
    pub window: Option<Window>,
    /// What manifests say of this node's recordings.
    pub recordings: Vec<NodeRecording>,
    /// Counted flows.
    pub flows: Vec<FlowRow>,
    /// Listening sockets.
    pub listens: Vec<ListenRow>,
    /// Kinds of sockets that were made or found open.
    pub sockets: Vec<SocketRow>,
    /// cgroups and the pods they stood for.
    pub cgroups: Vec<CgroupRow>,
    /// Network namespaces and the pods they belonged to.
    pub netns: Vec<NetnsRow>,
    /// Names and the addresses they stood for.
    pub names: Vec<NameRow>,
    /// Counters of the recorder.
    pub stats: Vec<StatsRow>,
    /// Rows of table `events`, which is read only where `flows` leaves more than one answer.
    pub events: u64,
    /// The files it stands in.
    pub samples: Vec<SampleFile>,
    /// Samples of the clocks, which no time depends on: those of each recording, which the node may have been restarted
    /// between.
    pub clock: BTreeMap<usize, Vec<ClockRow>>,
}

impl NodeTape {
    /// Whether nothing is known to be missing from its connections: it ended cleanly, with every hook, and lost and folded
    /// nothing.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let attached = |hook: &HookReport| matches!(hook.state, HookState::Attached | HookState::NotAskedFor);
        let clean = |recording: &NodeRecording| {
            recording.stop == Stop::Clean && recording.lost_edges == 0 && recording.hooks.iter().all(attached)
        };
        let blind = |row: &StatsRow| row.counter == Counter::BlindNanos || row.counter.loss() == Loss::Edges;
        // What another tool did not tell was not necessarily not there.
        let imported = self.flows.iter().any(|row| row.hook == Hook::Import);
        // Where a node was recorded again, nobody watched it in between.
        matches!(self.recordings.as_slice(), [only] if clean(only))
            && !self.stats.iter().any(blind)
            && !imported
            && !self.flows.iter().any(|row| row.remote_folded)
    }
}

/// Whether a recording is complete, and if not, why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why the recording is incomplete; empty if it is complete. Sentences without final full stop, sorted.
    pub reasons: BTreeSet<String>,
}

impl Health {
    /// Whether nothing is missing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// Opens directories as one tape: recordings, metadata, or both in any number and order.
///
/// Files with the same content in two recordings count once, so that a tape given twice is the same as given once.
pub fn open(paths: &[PathBuf], findings: &mut Findings) -> Result<Tape, TapeError> {
    let listed = paths.iter().map(|path| directory::list(path));
    let recordings = listed
        .map(|listing| recording::choose(listing?, findings))
        .collect::<Result<Vec<_>, _>>()?;
    let contents = read::contents(&recordings)?;
    let mut tape = unite::tape(&recordings, contents);
    health::judge(&mut tape, &recordings, findings);
    Ok(tape)
}
