//! What workloads did besides their edges: the ports they waited on, and the processes that used sockets.

use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::address::Address;
use flowtape_schemas::node::EventRow;
use flowtape_schemas::time::Time;

use super::edge::Transport;
use crate::identity::cluster::Cluster;
use crate::identity::resolve::{Resolver, Socket};
use crate::identity::timeline::Span;
use crate::identity::{Identity, Workload};
use crate::tape::{NodeTape, Tape, TapeError, samples};

/// What a workload did besides its edges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Ports it waited on.
    pub listens: BTreeSet<(Transport, u16)>,
    /// Processes by name, as far as samples tell them.
    pub processes: BTreeMap<String, Samples>,
}

/// Samples of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Samples {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub first_seen: Time,
    /// The last of them.
    pub last_seen: Time,
}

impl Samples {
    pub(super) fn absorb(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.first_seen = self.first_seen.min(other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
    }
}

/// Whose socket it was, before anybody asks who that is, and the name of the process.
type Key = ((Option<u64>, Option<u32>, Option<Address>), String);

/// What each workload of a tape did besides its edges. Reads every sample.
pub fn activities(tape: &Tape, cluster: &Cluster) -> Result<BTreeMap<Workload, Activity>, TapeError> {
    let resolver = Resolver::new(tape, cluster);
    let mut activities: BTreeMap<Workload, Activity> = BTreeMap::new();
    for node in &tape.nodes {
        for row in &node.listens {
            let socket = Socket {
                cgroup_id: row.cgroup_id,
                netns: row.netns,
                address: row.local_ip,
                span: Span::of_validity(row.valid_from, row.valid_to),
            };
            if let Some(Identity::Workload(workload)) = resolver.identity(resolver.owner(&node.name, socket)) {
                let activity = activities.entry(workload).or_default();
                // Port 0 stands for those beyond the quota of a control group.
                if row.port != 0 {
                    activity.listens.insert((Transport(row.protocol), row.port));
                }
            }
        }
        for (((cgroup_id, netns, address), process), seen) in processes(node)? {
            let socket = Socket {
                cgroup_id,
                netns,
                address,
                span: Span {
                    first: seen.first_seen,
                    last: seen.last_seen,
                },
            };
            if let Some(Identity::Workload(workload)) = resolver.identity(resolver.owner(&node.name, socket)) {
                let known = &mut activities.entry(workload).or_default().processes;
                known.entry(process).and_modify(|all| all.absorb(seen)).or_insert(seen);
            }
        }
    }
    Ok(activities)
}

fn processes(node: &NodeTape) -> Result<BTreeMap<Key, Samples>, TapeError> {
    let mut processes: BTreeMap<Key, Samples> = BTreeMap::new();
    for (key, seen) in samples(node, of_batch)?.into_iter().flatten() {
        processes.entry(key).and_modify(|all| all.absorb(seen)).or_insert(seen);
    }
    Ok(processes)
}

fn of_batch(rows: Vec<EventRow>) -> BTreeMap<Key, Samples> {
    let mut processes: BTreeMap<Key, Samples> = BTreeMap::new();
    for row in rows {
        let Some(process) = row.process else { continue };
        let seen = Samples {
            count: 1,
            first_seen: row.time,
            last_seen: row.time,
        };
        // The address is asked for only where nothing better is known.
        let address = row.local_ip.filter(|_| row.cgroup_id.is_none());
        let key = ((row.cgroup_id, row.netns, address), process);
        processes.entry(key).and_modify(|all| all.absorb(seen)).or_insert(seen);
    }
    processes
}
