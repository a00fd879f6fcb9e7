//! A tape, opened and checked: rows of every table a later stage needs, and how healthy the recording is.
//!
//! With `cli`, this module is the only door to the file system. A [`Tape`] exists only if its version, columns, hashes
//! and row counts were right; everything less grave is a reason in [`Health`] or a finding.

use std::collections::BTreeSet;

use flowtape_schemas::manifest::Window;
use flowtape_schemas::metadata::ClusterRows;
use flowtape_schemas::node::{CgroupRow, FlowRow, ListenRow, NetnsRow, StatsRow};

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
    /// Counted flows.
    pub flows: Vec<FlowRow>,
    /// Listening sockets.
    pub listens: Vec<ListenRow>,
    /// cgroups and the pods they stood for.
    pub cgroups: Vec<CgroupRow>,
    /// Network namespaces and the pods they belonged to.
    pub netns: Vec<NetnsRow>,
    /// Counters of the recorder.
    pub stats: Vec<StatsRow>,
    /// Rows of table `events`, which is read only where `flows` leaves more than one answer.
    pub events: u64,
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
