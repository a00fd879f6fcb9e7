//! Clients and servers on the network of a node, whom the other side knows by the node's addresses only.

use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::node::Outcome;

use super::Views;
use crate::flow::backend::ResolvedBackend;
use crate::flow::edge::Transport;
use crate::flow::end::{EndpointRef, IdentityRef};
use crate::flow::host::host_of;
use crate::flow::sighting::{Sighting, server_endpoint};
use crate::identity::resolve::Party;

/// Where a server is, as both sides see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place<'a> {
    /// On the network of this node, at whichever of its addresses.
    Host(&'a str),
    /// At an address of its own.
    Own(EndpointRef<'a>),
}

/// A node, a server it reached, the protocol and the server's port.
pub(super) type HostKey<'a> = (&'a str, Place<'a>, Transport, u16);

impl<'a> Place<'a> {
    /// That of the server of a sighting.
    pub(super) fn of_server(sighting: &Sighting<'a>) -> Self {
        let server = server_endpoint(sighting);
        let party = if sighting.is_server() {
            sighting.local
        } else {
            sighting.remote
        };
        // A pod that is an address answers at one that is not its node's.
        if matches!((party, server), (Party::Pod(_), EndpointRef::Address(_))) {
            return Self::Own(server);
        }
        Self::of(party, server)
    }

    /// That of a party, which is this endpoint where it has an address of its own.
    pub(super) fn of(party: Party<'a>, endpoint: EndpointRef<'a>) -> Self {
        host_of(party).map_or(Self::Own(endpoint), Self::Host)
    }
}

/// Who connected from the network of a node, by the server it reached.
#[derive(Debug, Default)]
pub(super) struct HostClients<'a> {
    tallies: BTreeMap<HostKey<'a>, Tally<'a>>,
}

/// What clients on one node and a server say of each other.
#[derive(Debug, Default)]
struct Tally<'a> {
    /// How many TCP connections each client counted.
    clients: BTreeMap<IdentityRef<'a>, u64>,
    /// Whether some of them may have gone to another server.
    divided: bool,
    /// How many the server counted.
    served: u64,
}

impl<'a> HostClients<'a> {
    /// Collects them from both views.
    pub(super) fn new(sightings: &[Sighting<'a>], views: &Views<'a>) -> Self {
        let mut tallies: BTreeMap<HostKey<'a>, Tally<'a>> = BTreeMap::new();
        for sighting in sightings {
            let counted = if is_counted_by_both(sighting) {
                sighting.row.count
            } else {
                0
            };
            if sighting.is_server() {
                if let Party::Node(node) = sighting.remote {
                    let place = Place::of_server(sighting);
                    let key = (node, place, sighting.protocol(), sighting.port);
                    let tally = tallies.entry(key).or_default();
                    tally.served = tally.served.saturating_add(counted);
                }
                continue;
            }
            let (Some(node), Some(identity)) = (host_of(sighting.local), IdentityRef::of(sighting.local)) else {
                continue;
            };
            let servers = servers(sighting, views);
            for (place, port) in &servers {
                let key = (node, *place, sighting.protocol(), *port);
                let tally = tallies.entry(key).or_default();
                let own = tally.clients.entry(identity).or_default();
                *own = own.saturating_add(counted);
                tally.divided |= servers.len() > 1;
            }
        }
        Self { tallies }
    }

    /// Whether none is known.
    pub(super) fn none(&self, key: &HostKey<'a>) -> bool {
        self.clients(key).next().is_none()
    }

    /// Whether there are several, any of which the server may have seen.
    pub(super) fn several(&self, key: &HostKey<'a>) -> bool {
        self.clients(key).nth(1).is_some()
    }

    /// The only one.
    pub(super) fn only(&self, key: &HostKey<'a>) -> Option<IdentityRef<'a>> {
        self.clients(key).next().filter(|_| !self.several(key))
    }

    /// All of them, if what the server counted of their node is what they counted together, to the last connection: each
    /// of theirs is then one that the server saw.
    pub(super) fn all_seen(
        &self,
        key: &HostKey<'a>,
        sighting: &Sighting<'_>,
    ) -> Option<impl Iterator<Item = IdentityRef<'a>>> {
        let tally = self.tallies.get(key)?;
        let counted: u64 = tally.clients.values().fold(0, |sum, count| sum.saturating_add(*count));
        let exact = !tally.divided && counted == tally.served && is_counted_by_both(sighting);
        exact.then(|| tally.clients.keys().copied())
    }

    fn clients(&self, key: &HostKey<'a>) -> impl Iterator<Item = IdentityRef<'a>> {
        let tally = self.tallies.get(key).into_iter();
        tally.flat_map(|tally| tally.clients.keys().copied())
    }
}

/// Whether both sides count the same of it: a datagram that was sent is not always received.
fn is_counted_by_both(sighting: &Sighting<'_>) -> bool {
    sighting.protocol() == Transport::TCP && sighting.outcome() == Outcome::Established
}

/// The servers that a client may have reached.
pub(super) fn servers<'a>(sighting: &Sighting<'a>, views: &Views<'a>) -> BTreeSet<(Place<'a>, u16)> {
    if sighting.services.is_empty() || sighting.met_server {
        return [(Place::of_server(sighting), sighting.port)].into();
    }
    let backends = sighting.backends(views.resolver, views.cluster).into_iter();
    let place = |one: ResolvedBackend<'a>| (Place::of(one.party, one.endpoint()), one.port);
    backends.map(place).collect()
}
