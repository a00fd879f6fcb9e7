//! The body of `flowtape.inspect/v1`.

use std::collections::BTreeMap;
use std::convert::Infallible;

use flowtape_schemas::manifest::{HookState, Stop, Window};
use flowtape_schemas::metadata::EachRows;
use flowtape_schemas::table::Row;
use serde::Serialize;

use super::activity::{Activity, activities};
use super::peer::{Peer, PeerIdentity};
use crate::flow::Flows;
use crate::flow::activity::Activity as Besides;
use crate::identity::Workload;
use crate::identity::cluster::Cluster;
use crate::tape::{NodeTape, Tape};

/// Body of `flowtape.inspect/v1`.
#[derive(Clone, Debug, Serialize)]
pub struct Inspect {
    /// The time covered; null for metadata without a recording.
    pub window: Option<Window>,
    /// What each node recorded, by name.
    pub nodes: Vec<Node>,
    /// Rows of each metadata table: versions, of which an object can have several.
    pub cluster: BTreeMap<&'static str, u64>,
    /// Rows of each table, all nodes together.
    pub tables: BTreeMap<&'static str, u64>,
    /// What each workload was seen to do, by namespace, kind and name.
    pub workloads: Vec<Activity>,
    /// Sockets whose traffic is in no edge, by owner and kind.
    pub sockets: Vec<UnseenSockets>,
}

/// Sockets of one kind whose traffic is in no edge.
#[derive(Clone, Debug, Serialize)]
pub struct UnseenSockets {
    /// Who had them.
    pub owner: Peer,
    /// `packet`, `xdp`, `raw`, `icmp`, `sctp`, or `IP-` and the number of the protocol.
    pub kind: String,
    /// How many were made in the window; 0 if they were only found open.
    pub count: u64,
}

/// What one node recorded.
#[derive(Clone, Debug, Serialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// The time it covers; null where its recording has no manifest.
    pub window: Option<Window>,
    /// Kernel releases of its recordings.
    pub kernels: Vec<String>,
    /// Whether all its recordings stopped cleanly; null where there is no manifest.
    pub clean_stop: Option<bool>,
    /// Hooks that were not available or had a stand-in, and why.
    pub hooks: Vec<Hook>,
    /// Rows of each table.
    pub rows: BTreeMap<&'static str, u64>,
    /// Operations counted in `flows`: connections and datagrams, as each side saw them.
    pub operations: u64,
    /// Sums of the recorder's counters, by hook and counter; those that are zero are left out.
    pub counters: BTreeMap<String, BTreeMap<String, u64>>,
}

/// A hook that was not simply attached.
#[derive(Clone, Debug, Serialize)]
pub struct Hook {
    /// Its name.
    pub hook: String,
    /// `fallback`, `unavailable` or `not-asked-for`.
    pub state: HookState,
    /// Why.
    pub reason: Option<String>,
}

impl Inspect {
    /// What is in a tape of this cluster, with these flows and what workloads did besides.
    #[must_use]
    pub fn of(tape: &Tape, cluster: &Cluster, flows: &Flows, besides: &BTreeMap<Workload, Besides>) -> Self {
        let nodes: Vec<Node> = tape.nodes.iter().map(node).collect();
        let metadata = metadata(tape);
        let mut tables = metadata.clone();
        for (table, rows) in nodes.iter().flat_map(|node| &node.rows) {
            *tables.entry(table).or_default() += rows;
        }
        Self {
            window: tape.window,
            nodes,
            cluster: metadata,
            tables,
            workloads: activities(cluster, &flows.edges, besides),
            sockets: flows.unseen.iter().map(sockets).collect(),
        }
    }
}

fn metadata(tape: &Tape) -> BTreeMap<&'static str, u64> {
    struct Counts(BTreeMap<&'static str, u64>);

    impl EachRows for Counts {
        type Error = Infallible;

        fn rows<R: Row>(&mut self, rows: &[R]) -> Result<(), Infallible> {
            self.0.insert(R::TABLE, rows.len() as u64);
            Ok(())
        }
    }

    let mut counts = Counts(BTreeMap::new());
    let Ok(()) = tape.cluster.each(&mut counts);
    counts.0
}

fn sockets(unseen: &crate::flow::socket::UnseenSockets) -> UnseenSockets {
    let crate::flow::socket::UnseenSockets { owner, kind, count } = unseen;
    UnseenSockets {
        owner: Peer {
            identity: PeerIdentity::from(owner),
            role: None,
        },
        kind: kind.to_string(),
        count: *count,
    }
}

fn node(node: &NodeTape) -> Node {
    let NodeTape {
        name,
        window,
        recordings,
        flows,
        listens,
        sockets,
        cgroups,
        netns,
        names,
        stats,
        events,
        samples: _,
        clock,
    } = node;
    let mut kernels: Vec<String> = recordings.iter().map(|recording| recording.kernel.clone()).collect();
    kernels.sort();
    kernels.dedup();
    let mut counters: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for row in stats.iter().filter(|row| row.value > 0) {
        let counter = counters.entry(row.hook.to_string()).or_default();
        let sum = counter.entry(row.counter.to_string()).or_default();
        *sum = sum.saturating_add(row.value);
    }
    let rows = [
        ("flows", flows.len() as u64),
        ("events", *events),
        ("listens", listens.len() as u64),
        ("sockets", sockets.len() as u64),
        ("cgroups", cgroups.len() as u64),
        ("netns", netns.len() as u64),
        ("names", names.len() as u64),
        ("stats", stats.len() as u64),
        ("clock", clock.values().map(|samples| samples.len() as u64).sum()),
    ];
    let reports = recordings.iter().flat_map(|recording| &recording.hooks);
    let hook = |report: &flowtape_schemas::manifest::HookReport| Hook {
        hook: report.hook.clone(),
        state: report.state,
        reason: report.reason.clone(),
    };
    Node {
        name: name.clone(),
        window: *window,
        kernels,
        clean_stop: (!recordings.is_empty()).then(|| recordings.iter().all(|one| one.stop == Stop::Clean)),
        hooks: reports
            .filter(|report| report.state != HookState::Attached)
            .map(hook)
            .collect(),
        rows: rows.into(),
        operations: flows.iter().fold(0, |sum, row| sum.saturating_add(row.count)),
        counters,
    }
}
