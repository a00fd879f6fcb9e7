//! What servers saw of clients, by which a client's view is looked up.

use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

use super::hosts::{HostKey, Place};
use crate::flow::edge::Transport;
use crate::flow::end::EndpointRef;
use crate::flow::host::host_of;
use crate::flow::sighting::{Sighting, endpoint, server_endpoint};
use crate::identity::resolve::Party;
use crate::identity::timeline::Span;
use crate::sorted::Multimap;

/// A client, its server, the protocol and the server's port.
pub(super) type PairKey<'a> = (EndpointRef<'a>, EndpointRef<'a>, Transport, u16);

/// When servers saw whom.
#[derive(Debug)]
pub(super) struct Served<'a> {
    pairs: Multimap<PairKey<'a>, Span>,
    /// The same for nodes, by whatever address.
    hosts: Multimap<HostKey<'a>, Span>,
}

impl<'a> Served<'a> {
    /// Collects the view of every server.
    pub(super) fn new(sightings: &[Sighting<'a>]) -> Self {
        let of_servers = || sightings.par_iter().filter(|sighting| sighting.is_server());
        let pair = |sighting: &Sighting<'a>| {
            let client = endpoint(sighting.remote, &sighting.row, false);
            let key = (client, server_endpoint(sighting), sighting.protocol(), sighting.port);
            (key, sighting.presence())
        };
        let host = |sighting: &Sighting<'a>| {
            let Party::Node(node) = sighting.remote else {
                return None;
            };
            let key = (node, Place::of_server(sighting), sighting.protocol(), sighting.port);
            Some((key, sighting.presence()))
        };
        let pairs: Vec<(PairKey<'a>, Span)> = of_servers().map(pair).collect();
        let hosts: Vec<(HostKey<'a>, Span)> = of_servers().filter_map(host).collect();
        Self {
            pairs: pairs.into(),
            hosts: hosts.into(),
        }
    }

    /// Whether a server saw this client at that time; one on the network of a node, as that node.
    pub(super) fn itself(&self, key: &PairKey<'_>, server: Place<'_>, sighting: &Sighting<'_>) -> bool {
        match host_of(sighting.local) {
            Some(node) => self.host(&(node, server, key.2, key.3), sighting),
            None => overlaps(self.pairs.of(key), sighting),
        }
    }

    /// Whether a server saw this node at that time.
    pub(super) fn host(&self, key: &HostKey<'_>, sighting: &Sighting<'_>) -> bool {
        overlaps(self.hosts.of(key), sighting)
    }
}

fn overlaps<'s>(mut spans: impl Iterator<Item = &'s Span>, sighting: &Sighting<'_>) -> bool {
    let asked = sighting.presence().tolerant();
    spans.any(|span| span.overlaps(asked))
}
