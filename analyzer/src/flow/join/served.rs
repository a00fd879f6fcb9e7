//! What servers saw of clients, by which a client's view is looked up.

use std::collections::BTreeMap;

use super::hosts::{HostKey, Place};
use crate::flow::edge::{Endpoint, Transport};
use crate::flow::host::host_of;
use crate::flow::sighting::{Sighting, endpoint, server_endpoint};
use crate::identity::resolve::Party;
use crate::identity::timeline::Span;

/// A client, its server, the protocol and the server's port.
pub(super) type PairKey = (Endpoint, Endpoint, Transport, u16);

/// When servers saw whom.
#[derive(Debug, Default)]
pub(super) struct Served {
    pairs: BTreeMap<PairKey, Vec<Span>>,
    /// The same for nodes, by whatever address.
    hosts: BTreeMap<HostKey, Vec<Span>>,
}

impl Served {
    /// Collects the view of every server.
    pub(super) fn new(sightings: &[Sighting<'_>]) -> Self {
        let mut seen = Self::default();
        for sighting in sightings.iter().filter(|sighting| sighting.is_server()) {
            let client = endpoint(&sighting.remote, &sighting.row, false);
            let server = server_endpoint(sighting);
            if let Party::Node(node) = &sighting.remote {
                let place = Place::of_server(sighting);
                let key = ((*node).to_owned(), place, sighting.protocol(), sighting.port);
                seen.hosts.entry(key).or_default().push(sighting.presence());
            }
            let key = (client, server, sighting.protocol(), sighting.port);
            seen.pairs.entry(key).or_default().push(sighting.presence());
        }
        seen
    }

    /// Whether a server saw this client at that time; one on the network of a node, as that node.
    pub(super) fn itself(&self, key: &PairKey, server: &Place, sighting: &Sighting<'_>) -> bool {
        match host_of(&sighting.local) {
            Some(node) => self.host(&(node.to_owned(), server.clone(), key.2, key.3), sighting),
            None => overlaps(self.pairs.get(key), sighting),
        }
    }

    /// Whether a server saw this node at that time.
    pub(super) fn host(&self, key: &HostKey, sighting: &Sighting<'_>) -> bool {
        overlaps(self.hosts.get(key), sighting)
    }
}

fn overlaps(spans: Option<&Vec<Span>>, sighting: &Sighting<'_>) -> bool {
    let asked = sighting.presence().tolerant();
    spans.into_iter().flatten().any(|span| span.overlaps(asked))
}
