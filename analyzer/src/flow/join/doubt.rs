//! What counts leave open about a client that went to a Service.

use std::collections::BTreeMap;

use flowtape_schemas::address::Address;

use super::Views;
use super::candidate::{Candidate, Reached, several};
use super::hosts::servers;
use crate::flow::edge::Endpoint;
use crate::flow::host::host_of;
use crate::flow::sighting::Sighting;
use crate::identity::resolve::Party;

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
#[derive(Debug, Default)]
pub(super) struct Asks<'a> {
    by_client: BTreeMap<(Option<&'a str>, Option<Address>), Vec<&'a Sighting<'a>>>,
}

impl<'a> Asks<'a> {
    /// Collects the view of every client.
    pub(super) fn new(sightings: &'a [Sighting<'a>]) -> Self {
        let mut asks = Self::default();
        for sighting in sightings.iter().filter(|sighting| !sighting.is_server()) {
            asks.by_client.entry(client(sighting)).or_default().push(sighting);
        }
        asks
    }

    /// Whether something else that a client asked for at the time of one of its views is of a kind.
    fn any_beside(&self, sighting: &Sighting<'_>, mut is_of_kind: impl FnMut(&Sighting<'_>) -> bool) -> bool {
        let at = sighting.presence().tolerant();
        let is_other = |other: &&&Sighting<'_>| {
            let (asked, protocol) = (&sighting.services, sighting.protocol());
            other.protocol() == protocol && other.services != *asked && other.presence().overlaps(at)
        };
        let mut all = self.by_client.get(&client(sighting)).into_iter().flatten();
        all.any(|other| is_other(&other) && is_of_kind(other))
    }
}

/// Tells a client from others.
fn client<'a>(sighting: &Sighting<'a>) -> (Option<&'a str>, Option<Address>) {
    match &sighting.local {
        Party::Pod(pod) => (Some(&pod.uid), None),
        Party::Node(_) | Party::External(..) | Party::Loopback | Party::Group | Party::Unknown(..) => {
            (None, sighting.row.local_ip)
        }
    }
}

impl Views<'_> {
    /// Why the backends that saw a client may not be those that it reached.
    pub(super) fn doubts(&self, sighting: &Sighting<'_>, reached: &Reached<'_, '_>) -> Doubts {
        let Reached { seen, unrecorded } = reached;
        let neighbours = several(seen) && seen.iter().any(|one| self.has_neighbours(sighting, one));
        let by_node = |one: &&Candidate<'_>| one.translated().is_some() && !self.only_translates(sighting, one);
        let mistakable = (several(seen) || !unrecorded.is_empty()) && seen.iter().any(by_node);
        let forwarded =
            several(seen) && host_of(&sighting.local).is_some() && seen.iter().any(|one| self.is_published(one));
        Doubts {
            neighbours,
            mistakable,
            forwarded,
        }
    }

    /// Whether nodes lead clients to a backend that it sees with their addresses.
    fn is_published(&self, one: &Candidate<'_>) -> bool {
        let Party::Pod(pod) = &one.backend.party else {
            return false;
        };
        let mut ports = self.published.iter();
        ports.any(|published| published.workload == pod.workload && published.port == one.backend.port)
    }

    /// Whether single connections may tell more of a client than counts, which leave more than one answer.
    pub(super) fn is_open(&self, sighting: &Sighting<'_>, client: &Endpoint, all: &[Candidate<'_>]) -> bool {
        let reached = self.reached(sighting, client, all);
        let Reached { seen, unrecorded } = &reached;
        let to_itself = seen.len() > 1 && seen.iter().any(|one| one.endpoint() == *client);
        let open = self.doubts(sighting, &reached).any() || !unrecorded.is_empty() || to_itself;
        open || seen.iter().any(|one| one.rivalled)
    }

    /// Whether something else that the client asked for explains as well that a backend saw it.
    pub(super) fn has_rivals(&self, sighting: &Sighting<'_>, one: &Candidate<'_>) -> bool {
        let leads_there = |other: &Sighting<'_>| servers(other, self).contains(&(one.place(), one.backend.port));
        self.asks.any_beside(sighting, leads_there)
    }
}
