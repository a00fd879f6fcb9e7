//! Edges and their evidence: who was the client of whom, on which port of the server.
//!
//! The client's and the server's view are joined on what was counted, which is never lost: a server row is an edge in
//! itself; a client row that went to a Service attaches to the edges of those backends whose server rows show this
//! client at that time. Only where no server row shows it, the Service's backends of that time stand for the server,
//! and where they are several, a finding says so.

pub mod activity;
mod backend;
mod collect;
pub mod edge;
mod end;
pub mod filter;
pub mod governed;
mod host;
mod join;
pub mod process;
mod proxy;
mod role;
pub mod share;
mod sighting;
pub mod socket;

use crate::findings::{Code, Findings, Samples};
use crate::identity::clock::Clocks;
use crate::identity::cluster::Cluster;
use crate::identity::resolve::Resolver;
use crate::identity::{Identity, Reason};
use crate::tape::{Operations, Tape};
use edge::{Edge, Peer, Transport};
use flowtape_schemas::node::{Direction, Outcome};
use join::Partners;
pub use join::{Divided, Questions};
use share::Shares;
use socket::UnseenSockets;

/// Every edge of a tape.
#[derive(Clone, Debug, Default)]
pub struct Flows {
    /// Edges by key.
    pub edges: Vec<Edge>,
    /// Operations that no policy governs.
    pub ignored: Ignored,
    /// Sockets whose traffic is in no edge, by owner and kind.
    pub unseen: Vec<UnseenSockets>,
    /// How much of it all has a peer that is not known.
    pub shares: Shares,
    /// Whether single operations may tell more than counts did.
    pub open: bool,
}

impl Flows {
    /// Whether a side of some edge may be either of two, and single operations may tell which.
    #[must_use]
    pub fn are_unclear(&self) -> bool {
        let is_unclear = |peer: &Peer| {
            matches!(
                peer.identity,
                Identity::Unknown {
                    reason: Reason::Ambiguous,
                    ..
                }
            )
        };
        let mut keys = self.edges.iter().map(|edge| &edge.key);
        self.open || keys.any(|key| is_unclear(&key.from) || is_unclear(&key.to))
    }
}

/// Operations that no policy governs, counted and left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    /// Within a host, over the loopback interface.
    pub loopback: u64,
    /// From a pod to itself.
    pub same_pod: u64,
    /// To a multicast or broadcast address.
    pub group: u64,
}

impl Ignored {
    /// Adds those of others.
    fn absorb(&mut self, other: Self) {
        let Self {
            loopback,
            same_pod,
            group,
        } = other;
        self.loopback = self.loopback.saturating_add(loopback);
        self.same_pod = self.same_pod.saturating_add(same_pod);
        self.group = self.group.saturating_add(group);
    }
}

/// Derives the edges of a tape, of counts alone.
pub fn edges(tape: &Tape, cluster: &Cluster, findings: &mut Findings) -> Flows {
    joined(tape, &Partners::default(), cluster, findings)
}

/// What counts leave open: one of two pods on one address, backends of a Service that changed, one of several Services
/// before a backend, or clients behind the address of a node.
#[must_use]
pub fn questions(tape: &Tape, cluster: &Cluster) -> Questions {
    let resolver = Resolver::new(tape, cluster);
    let sightings = sighting::sightings(tape, &resolver, cluster);
    join::questions(&sightings, &resolver, cluster)
}

/// The tape with parts of rows where single operations answer these questions.
#[must_use]
pub fn divide(tape: &Tape, cluster: &Cluster, questions: &Questions, operations: &Operations) -> Divided {
    let clocks = Clocks::new(tape, &cluster.services);
    join::divide(tape, &clocks, questions, operations)
}

/// Derives the edges of a tape that was divided by single operations.
pub fn edges_of_divided(divided: &Divided, cluster: &Cluster, findings: &mut Findings) -> Flows {
    joined(&divided.tape, &divided.partners, cluster, findings)
}

fn joined(tape: &Tape, partners: &Partners, cluster: &Cluster, findings: &mut Findings) -> Flows {
    let resolver = Resolver::new(tape, cluster);
    let mut sightings = sighting::sightings(tape, &resolver, cluster);
    join::introduce(&mut sightings, partners);
    let (sightings, mesh) = proxy::unfold(sightings, &resolver, cluster, findings);
    let collector = join::join(&sightings, &resolver, cluster, findings);
    let unseen = socket::unseen(tape, &resolver, findings);
    resolver.report_ranges(findings);
    resolver.clocks().report(findings);
    let partial = report_partial(tape, findings);
    let open = collector.open;
    let ignored = collector.ignored;
    let edges = collector.edges(&resolver);
    let edges = role::with_published(role::with_dns(edges, cluster), cluster);
    let edges = proxy::with_mesh(edges, &mesh, findings);
    report(&edges, ignored, findings);
    let shares = Shares::of(&edges, partial);
    Flows {
        edges,
        ignored,
        unseen,
        shares,
        open,
    }
}

/// Rows that can be no edge, because the recorder folded their port away or could not tell the direction: counted by node,
/// never dropped in silence. Gives the number of their operations.
fn report_partial(tape: &Tape, findings: &mut Findings) -> u64 {
    let mut all = 0_u64;
    for node in &tape.nodes {
        for row in &node.flows {
            let operations = row.count.max(1);
            let directed = matches!(row.direction, Direction::In | Direction::Out);
            if !directed || row.service_port.is_none() {
                all = all.saturating_add(operations);
            }
            if !directed {
                let message = format!(
                    "node `{}`: operations whose direction is not known make no edge",
                    node.name
                );
                findings.report_rows(Code::UnknownPeer, message, operations, &Samples::of(&node.name, row));
            } else if row.service_port.is_none() {
                let message = format!(
                    "node `{}`: operations folded without their port make no edge",
                    node.name
                );
                findings.report_rows(Code::RemotesFolded, message, operations, &Samples::of(&node.name, row));
            }
        }
    }
    all
}

fn report(edges: &[Edge], ignored: Ignored, findings: &mut Findings) {
    let Ignored {
        loopback,
        same_pod,
        group,
    } = ignored;
    for (count, what) in [
        (loopback, "loopback"),
        (same_pod, "from a pod to itself"),
        (group, "multicast or broadcast"),
    ] {
        if count > 0 {
            findings.report_many(
                Code::TrafficIgnored,
                format!("{what} traffic is governed by no policy"),
                count,
            );
        }
    }
    for edge in edges {
        for peer in [&edge.key.from, &edge.key.to] {
            role::report_unknown(peer, edge, findings);
        }
        for service in &edge.evidence.rivalled {
            let message = format!("{edge}: Service {service} may have led there, and another may have instead");
            findings.report_rows(
                Code::ServiceSupposed,
                message,
                edge.evidence.count,
                &edge.evidence.samples,
            );
        }
        if edge.key.protocol == Transport::UDP && edge.key.outcome == Outcome::Unknown {
            let message = format!("{edge}: nothing shows that the server received anything");
            findings.report_rows(
                Code::UdpUnconfirmed,
                message,
                edge.evidence.count,
                &edge.evidence.samples,
            );
        }
    }
}
