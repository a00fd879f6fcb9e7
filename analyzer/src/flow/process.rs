//! Which processes are behind an edge, as far as samples tell.
//!
//! Counts do not know processes. A sample that has one is resolved as the row of `flows` that counts it would be, and belongs
//! to the edges of that client, that server or Service, and that port.

use std::collections::BTreeMap;

use flowtape_schemas::node::{EventKind, EventRow, FlowRow};
use flowtape_schemas::time::Time;

use super::activity::Samples;
use super::edge::{Edge, EdgeKey, ServiceUse, Side, Transport};
use super::sighting::{Sighting, sighting};
use crate::identity::Identity;
use crate::identity::cluster::Cluster;
use crate::identity::resolve::Resolver;
use crate::tape::{NodeTape, Tape, TapeError, samples};

/// Processes by the side that they were on and their name (`comm`).
pub type Processes = BTreeMap<(Side, String), Samples>;

/// The processes behind these edges; edges of which no sample names one are left out. Reads every sample.
pub fn processes(tape: &Tape, cluster: &Cluster, edges: &[&Edge]) -> Result<BTreeMap<EdgeKey, Processes>, TapeError> {
    let mut found: BTreeMap<EdgeKey, Processes> = BTreeMap::new();
    if edges.is_empty() {
        return Ok(found);
    }
    let resolver = Resolver::new(tape, cluster);
    let by_end = ByEnd::new(edges);
    for node in &tape.nodes {
        for (row, process) in sampled(node)? {
            let Some(sighting) = sighting(&node.name, &row, &resolver, cluster) else {
                continue;
            };
            let (side, edges) = by_end.of(&sighting, &resolver);
            let seen = Samples {
                count: row.count,
                first_seen: row.first_seen,
                last_seen: row.last_seen,
            };
            for edge in edges {
                let known = found.entry(edge.key.clone()).or_default();
                let known = known.entry((side, process.clone()));
                known.and_modify(|all| all.absorb(seen)).or_insert(seen);
            }
        }
    }
    Ok(found)
}

/// Edges by the peer whose socket a sample would be of.
struct ByEnd<'a> {
    clients: BTreeMap<Identity, Vec<&'a Edge>>,
    servers: BTreeMap<Identity, Vec<&'a Edge>>,
}

impl<'a> ByEnd<'a> {
    fn new(edges: &[&'a Edge]) -> Self {
        let mut all = Self {
            clients: BTreeMap::new(),
            servers: BTreeMap::new(),
        };
        for &edge in edges {
            let Edge { key, evidence: _ } = edge;
            all.clients.entry(key.from.identity.clone()).or_default().push(edge);
            all.servers.entry(key.to.identity.clone()).or_default().push(edge);
        }
        all
    }

    /// The edges that an operation belongs to, and the side of it.
    fn of(&self, sighting: &Sighting<'_>, resolver: &Resolver<'_>) -> (Side, Vec<&'a Edge>) {
        let (side, ends) = if sighting.is_server() {
            (Side::Server, &self.servers)
        } else {
            (Side::Client, &self.clients)
        };
        let own = resolver
            .identity(sighting.local)
            .and_then(|identity| ends.get(&identity));
        let other = resolver.identity(sighting.remote);
        let edges = own.into_iter().flatten().copied();
        let edges = edges.filter(|edge| is_of(sighting, other.as_ref(), edge));
        (side, edges.collect())
    }
}

/// Whether an operation of one of an edge's ends, with this one at the other, is one of that edge.
fn is_of(sighting: &Sighting<'_>, remote: Option<&Identity>, edge: &Edge) -> bool {
    let Edge { key, evidence } = edge;
    // What became of a datagram is only known from both sides.
    let same_outcome = key.protocol == Transport::UDP || sighting.outcome() == key.outcome;
    if sighting.protocol() != key.protocol || !same_outcome {
        return false;
    }
    let other = if sighting.is_server() { &key.from } else { &key.to };
    let is_other = remote == Some(&other.identity);
    if sighting.is_server() {
        // A node may have put its own address in the client's place.
        return sighting.port == key.port && (is_other || !evidence.translated.is_empty());
    }
    if sighting.met_server || sighting.services.is_empty() {
        return sighting.port == key.port && is_other;
    }
    let mut used = sighting.services.iter().map(|hit| ServiceUse::from(*hit));
    used.any(|service| evidence.services.contains(&service))
}

/// The samples of a node that name a process, those that a row of `flows` would count together as such a row.
fn sampled(node: &NodeTape) -> Result<Vec<(FlowRow, String)>, TapeError> {
    let mut all: BTreeMap<(FlowRow, String), Samples> = BTreeMap::new();
    for (key, seen) in samples(node, of_batch)?.into_iter().flatten() {
        all.entry(key).and_modify(|known| known.absorb(seen)).or_insert(seen);
    }
    let row = |((row, process), seen): ((FlowRow, String), Samples)| {
        let Samples {
            count,
            first_seen,
            last_seen,
        } = seen;
        let row = FlowRow {
            interval_start: first_seen,
            interval_end: last_seen,
            count,
            samples: count,
            first_seen,
            last_seen,
            ..row
        };
        (row, process)
    };
    Ok(all.into_iter().map(row).collect())
}

fn of_batch(rows: Vec<EventRow>) -> BTreeMap<(FlowRow, String), Samples> {
    let mut all: BTreeMap<(FlowRow, String), Samples> = BTreeMap::new();
    for event in rows {
        let Some(key) = key(&event) else { continue };
        let seen = Samples {
            count: 1,
            first_seen: event.time,
            last_seen: event.time,
        };
        all.entry(key).and_modify(|known| known.absorb(seen)).or_insert(seen);
    }
    all
}

/// The row that counts a sample, without its count and times, and the process; `None` if it has no process or no other side.
fn key(event: &EventRow) -> Option<(FlowRow, String)> {
    let service_port = match event.kind {
        EventKind::Connect | EventKind::ConnectFailed | EventKind::UdpOut => event.remote_port?,
        EventKind::Accept | EventKind::UdpIn => event.local_port?,
        EventKind::Socket | EventKind::Bind | EventKind::Listen | EventKind::Unlisten | EventKind::Snapshot => {
            return None;
        }
    };
    let row = FlowRow {
        interval_start: Time::MIN,
        interval_end: Time::MIN,
        direction: event.direction,
        protocol: event.protocol,
        local_ip: event.local_ip,
        remote_ip: event.remote_ip,
        remote_folded: false,
        service_port: Some(service_port),
        asked_ip: event.asked_ip,
        asked_port: event.asked_port,
        outcome: event.outcome?,
        cgroup_id: event.cgroup_id,
        netns: event.netns,
        count: 0,
        samples: 0,
        first_seen: Time::MIN,
        last_seen: Time::MIN,
        predates_window: false,
        hook: event.hook,
    };
    Some((row, event.process.clone()?))
}
