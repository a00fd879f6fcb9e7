//! What counts leave open about a client that went to a Service.

use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::address::Address;

use super::Views;
use super::candidate::{Candidate, Reached, several};
use super::hosts::{Place, servers};
use super::timed::Timed;
use crate::flow::end::EndpointRef;
use crate::flow::host::host_of;
use crate::flow::sighting::Sighting;
use crate::identity::resolve::Party;
use crate::identity::timeline::Span;

/// Why the backends that saw a client may not be those that it reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubts {
    /// Several processes on the network of the client's node reached them, whom they cannot tell apart.
    pub(super) neighbours: bool,
    /// The node that put its own address in the client's place may have reached them by itself.
    pub(super) mistakable: bool,
    /// The client is on the network of its node, and others may have reached them through that node.
    pub(super) forwarded: bool,
}

impl Doubts {
    /// Whether there is any.
    pub(super) fn any(self) -> bool {
        let Self {
            neighbours,
            mistakable,
            forwarded,
        } = self;
        neighbours || mistakable || forwarded
    }
}

/// What the views of clients asked for, by their pods, else their addresses.
#[derive(Debug)]
pub(super) struct Asks<'a> {
    by_client: BTreeMap<Client, Timed<&'a Sighting<'a>>>,
}

/// The number of a client's pod, by its UID, else its address.
type Client = (Option<u32>, Option<Address>);

impl<'a> Asks<'a> {
    /// Collects the view of every client.
    pub(super) fn new(sightings: &'a [Sighting<'a>]) -> Self {
        let mut views: BTreeMap<Client, Vec<(Span, &'a Sighting<'a>)>> = BTreeMap::new();
        for sighting in sightings.iter().filter(|sighting| !sighting.is_server()) {
            let of_client = views.entry(client(sighting)).or_default();
            of_client.push((sighting.presence(), sighting));
        }
        let timed = |(client, views)| (client, Timed::new(views));
        Self {
            by_client: views.into_iter().map(timed).collect(),
        }
    }

    /// What else a client asked for at the time of one of its views, as far as a server may have seen that instead.
    fn beside<'s>(&'s self, sighting: &'s Sighting<'_>) -> impl Iterator<Item = &'s Sighting<'a>> {
        let at = sighting.presence().tolerant();
        let all = self.by_client.get(&client(sighting));
        let near = all.into_iter().flat_map(move |views| views.during(at)).copied();
        near.filter(|other| {
            let may_be_it = other.may_be_accepted() || other.outcome() == sighting.outcome();
            may_be_it && other.protocol() == sighting.protocol() && other.services != sighting.services
        })
    }
}

/// Tells a client from others.
fn client(sighting: &Sighting<'_>) -> Client {
    match sighting.local {
        Party::Pod(pod) => (Some(pod.numbers.uid), None),
        Party::Node(_) | Party::External(..) | Party::Loopback | Party::Group | Party::Unknown(..) => {
            (None, sighting.row.local_ip)
        }
    }
}

impl<'a> Views<'a> {
    /// Why the backends that saw a client may not be those that it reached.
    pub(super) fn doubts(&self, sighting: &Sighting<'_>, reached: &Reached<'_, '_>) -> Doubts {
        let Reached { seen, unrecorded } = reached;
        let neighbours = several(seen.iter().copied()) && seen.iter().any(|one| self.has_neighbours(sighting, one));
        let by_node = |one: &&Candidate<'_>| one.translated().is_some() && !self.only_translates(sighting, one);
        let mistakable = (several(seen.iter().copied()) || !unrecorded.is_empty()) && seen.iter().any(by_node);
        let forwarded = several(seen.iter().copied())
            && host_of(sighting.local).is_some()
            && seen.iter().any(|one| self.is_published(sighting, one));
        Doubts {
            neighbours,
            mistakable,
            forwarded,
        }
    }

    /// Whether nodes lead clients to a backend that it sees with their addresses.
    fn is_published(&self, sighting: &Sighting<'_>, one: &Candidate<'_>) -> bool {
        let Party::Pod(pod) = one.backend.party else {
            return false;
        };
        let (protocol, port) = (sighting.protocol().name(), one.backend.port);
        let mut ports = self.published.iter().filter(|published| published.port == port);
        ports.any(|published| published.protocol == protocol && published.workload == pod.workload)
    }

    /// Whether single connections may tell more of a client than counts, which leave more than one answer.
    pub(super) fn is_open(&self, sighting: &Sighting<'_>, client: EndpointRef<'_>, all: &[Candidate<'_>]) -> bool {
        let reached = self.reached(sighting, client, all);
        let Reached { seen, unrecorded } = &reached;
        let to_itself = seen.len() > 1 && seen.iter().any(|one| one.endpoint() == client);
        let open = self.doubts(sighting, &reached).any() || !unrecorded.is_empty() || to_itself;
        open || seen.iter().any(|one| one.rivalled)
    }

    /// Where else the client may have been led at that time, which explains as well that a backend saw it.
    pub(super) fn led_elsewhere(&self, sighting: &Sighting<'_>) -> BTreeSet<(Place<'a>, u16)> {
        let others = self.asks.beside(sighting);
        others.flat_map(|other| servers(other, self)).collect()
    }
}
