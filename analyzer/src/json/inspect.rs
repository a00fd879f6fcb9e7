//! The body of `flowtape.inspect/v1`.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use flowtape_schemas::manifest::{HookState, Stop, Window};
use flowtape_schemas::metadata::EachRows;
use flowtape_schemas::table::Row;
use serde::Serialize;

use super::peer::{Peer, PeerIdentity};
use crate::flow::Flows;
use crate::flow::edge::{Edge, Transport};
use crate::flow::governed::{Governed, governed};
use crate::identity::cluster::Cluster;
use crate::identity::{Identity, Workload};
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

/// What a workload was seen to do; refused and unanswered attempts are left out.
#[derive(Clone, Debug, Serialize)]
pub struct Activity {
    /// The workload.
    pub workload: Peer,
    /// Its own ports that somebody used, such as `3306/TCP`, by protocol and number.
    pub serves: Vec<String>,
    /// How many peers used them.
    pub clients: u64,
    /// How many peers it used itself.
    pub servers: u64,
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
    /// What is in a tape of this cluster and with these flows.
    #[must_use]
    pub fn of(tape: &Tape, cluster: &Cluster, flows: &Flows) -> Self {
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
            workloads: activities(cluster, &flows.edges),
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

#[derive(Default)]
struct Seen {
    serves: BTreeSet<(Transport, u16)>,
    clients: BTreeSet<Identity>,
    servers: BTreeSet<Identity>,
}

/// Every workload that has pods or traffic; one without traffic stands there with nothing.
fn activities(cluster: &Cluster, edges: &[Edge]) -> Vec<Activity> {
    let idle = cluster.pods.values().map(|pod| (pod.workload.clone(), Seen::default()));
    let mut seen: BTreeMap<Workload, Seen> = idle.collect();
    for Edge { key, .. } in edges
        .iter()
        .filter(|edge| governed(&edge.key) != Governed::NotEstablished)
    {
        if let Identity::Workload(client) = &key.from.identity {
            let client = seen.entry(client.clone()).or_default();
            client.servers.insert(key.to.identity.clone());
        }
        if let Identity::Workload(server) = &key.to.identity {
            let server = seen.entry(server.clone()).or_default();
            server.clients.insert(key.from.identity.clone());
            server.serves.insert((key.protocol, key.port));
        }
    }
    let activity = |(workload, seen): (Workload, Seen)| Activity {
        workload: Peer {
            identity: PeerIdentity::from(&Identity::Workload(workload)),
            role: None,
        },
        serves: seen
            .serves
            .iter()
            .map(|(protocol, port)| format!("{port}/{protocol}"))
            .collect(),
        clients: seen.clients.len() as u64,
        servers: seen.servers.len() as u64,
    };
    seen.into_iter().map(activity).collect()
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
