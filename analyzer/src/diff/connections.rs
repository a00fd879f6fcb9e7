//! What one side of a diff has: ports by pair of peers and protocol.

use std::collections::{BTreeMap, BTreeSet};

use crate::flow::edge::{Edge, EdgeKey, ServiceUse};
use crate::flow::governed::{Governed, governed};
use crate::policy::ports::{PortRange, PortSet};
use crate::semantics::eval::By;

use super::Recording;
use super::change::{Kind, Pair, Reason};
use super::peer::Peer;

/// What one side of a diff has.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    /// What the side is.
    pub(super) kind: Kind,
    /// Whether what is not here is not there.
    pub(super) complete: bool,
    /// Connections between peers that are known.
    pub(super) known: BTreeMap<Pair, Known>,
    /// Connections with a peer that is not known. No ports: the port is not known either.
    pub(super) open: BTreeMap<Pair, PortSet>,
    /// The known connections again, under the other names by which policies could allow them.
    pub(super) aliases: BTreeMap<Pair, PortSet>,
    /// Why ports of a pair are not here, where that is known.
    pub(super) absent: BTreeMap<Pair, Vec<Absence>>,
}

/// The ports of a pair of known peers, and what supports them.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The ports.
    pub(super) ports: PortSet,
    /// Those of them whose server is only supposed.
    pub(super) assumed: PortSet,
    /// Services through which clients reached a port.
    pub(super) services: BTreeMap<u16, BTreeSet<ServiceUse>>,
    /// The rules that name ports.
    pub(super) by: BTreeMap<By, PortSet>,
}

/// Why some ports of a pair are not on a side.
#[derive(Clone, Debug)]
pub(super) struct Absence {
    /// The ports.
    pub(super) ports: PortSet,
    /// Why.
    pub(super) reason: Reason,
    /// The policies behind it, sorted.
    pub(super) by: Vec<By>,
}

impl Connections {
    /// A side that has nothing.
    pub(super) const fn none(kind: Kind, complete: bool) -> Self {
        Self {
            kind,
            complete,
            known: BTreeMap::new(),
            open: BTreeMap::new(),
            aliases: BTreeMap::new(),
            absent: BTreeMap::new(),
        }
    }

    /// What a tape shows.
    pub(super) fn of_tape(recording: Recording<'_>) -> Self {
        let mut connections = Self::none(Kind::Tape, recording.complete);
        for edge in recording.flows.edges.iter().filter(|edge| is_compared(&edge.key)) {
            connections.add(edge);
        }
        connections
    }

    fn add(&mut self, edge: &Edge) {
        let (pair, port) = (pair(&edge.key), one(edge.key.port));
        if !(pair.from.is_known() && pair.to.is_known()) || port.is_empty() {
            let ports = self.open.entry(pair).or_default();
            *ports = ports.union(&port);
            return;
        }
        let known = self.known.entry(pair).or_default();
        // One edge that shows the server is enough, in whatever order they come.
        let shown = known.ports.contains(edge.key.port) && !known.assumed.contains(edge.key.port);
        known.ports = known.ports.union(&port);
        known.assumed = if edge.evidence.assumed && !shown {
            known.assumed.union(&port)
        } else {
            known.assumed.difference(&port)
        };
        let services = known.services.entry(edge.key.port).or_default();
        services.extend(edge.evidence.services.iter().cloned());
    }

    /// Ports of a pair by any name.
    pub(super) fn ports(&self, pair: &Pair) -> PortSet {
        let known = self.known.get(pair).map(|known| &known.ports);
        [known, self.aliases.get(pair)]
            .into_iter()
            .flatten()
            .fold(PortSet::empty(), |all, ports| all.union(ports))
    }
}

/// Who connects to whom in an edge.
pub(super) fn pair(key: &EdgeKey) -> Pair {
    Pair {
        from: Peer::from(&key.from.identity),
        to: Peer::from(&key.to.identity),
        protocol: key.protocol,
    }
}

/// The set of just this port; none for 0, which is no port.
pub(super) fn one(port: u16) -> PortSet {
    PortRange::single(port).into_iter().collect()
}

/// Whether policies are made of such an edge, or would be if its peers were known.
fn is_compared(key: &EdgeKey) -> bool {
    match governed(key) {
        Governed::Yes | Governed::Undecided => true,
        Governed::Exempt | Governed::NotEstablished => false,
    }
}
