//! The body of `flowtape.inspect/v1`.

use std::collections::BTreeMap;

use flowtape_schemas::manifest::{HookState, Stop, Window};
use serde::Serialize;

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
    /// `fallback` or `unavailable`.
    pub state: HookState,
    /// Why.
    pub reason: Option<String>,
}

impl Inspect {
    /// What is in a tape.
    #[must_use]
    pub fn of(tape: &Tape) -> Self {
        let nodes: Vec<Node> = tape.nodes.iter().map(node).collect();
        let cluster = cluster(tape);
        let mut tables = cluster.clone();
        for (table, rows) in nodes.iter().flat_map(|node| &node.rows) {
            *tables.entry(table).or_default() += rows;
        }
        Self {
            window: tape.window,
            nodes,
            cluster,
            tables,
        }
    }
}

fn cluster(tape: &Tape) -> BTreeMap<&'static str, u64> {
    let rows = &tape.cluster;
    [
        ("pods", rows.pods.len()),
        ("containers", rows.containers.len()),
        ("services", rows.services.len()),
        ("endpoint_slices", rows.endpoint_slices.len()),
        ("namespaces", rows.namespaces.len()),
        ("nodes", rows.nodes.len()),
        ("workloads", rows.workloads.len()),
        ("network_policies", rows.network_policies.len()),
    ]
    .map(|(table, rows)| (table, rows as u64))
    .into()
}

fn node(node: &NodeTape) -> Node {
    let NodeTape {
        name,
        window,
        recordings,
        flows,
        listens,
        cgroups,
        netns,
        stats,
        events,
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
        ("cgroups", cgroups.len() as u64),
        ("netns", netns.len() as u64),
        ("stats", stats.len() as u64),
        ("clock", *clock),
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
