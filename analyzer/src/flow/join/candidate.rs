//! The backends of a Service that a client may have reached, and how each of them saw it.

use std::collections::BTreeSet;

use super::Views;
use super::hosts::{HostKey, Place};
use crate::flow::backend::ResolvedBackend;
use crate::flow::edge::Translation;
use crate::flow::end::{EndpointRef, IdentityRef};
use crate::flow::host::{host_of, node_of};
use crate::flow::sighting::Sighting;
use crate::identity::resolve::Party;
use crate::identity::service::ServiceHit;
use crate::identity::timeline::Span;

/// Whether backends are of more than one workload or port.
pub(super) fn several<'c, 'a: 'c>(candidates: impl IntoIterator<Item = &'c Candidate<'a>>) -> bool {
    let mut answers = candidates.into_iter().map(Candidate::answer);
    let first = answers.next();
    answers.any(|other| Some(other) != first)
}

/// How a backend saw a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    No,
    /// By its own address.
    Itself,
    /// By the address of a node that translated.
    Translated(Translation),
}

/// A backend of a Service, resolved.
pub(super) struct Candidate<'a> {
    pub(super) backend: ResolvedBackend<'a>,
    pub(super) service: ServiceHit<'a>,
    pub(super) seen: Seen,
    /// Whether something else that the client asked for explains as well that it did.
    pub(super) rivalled: bool,
}

impl<'a> Candidate<'a> {
    /// What it comes to in an edge.
    pub(super) fn answer(&self) -> (Option<IdentityRef<'a>>, u16) {
        (IdentityRef::of(self.backend.party), self.backend.port)
    }

    /// Where it is, as servers on the network of a node are seen by both sides.
    pub(super) fn place(&self) -> Place<'a> {
        Place::of(self.backend.party, self.endpoint())
    }

    pub(super) fn endpoint(&self) -> EndpointRef<'a> {
        self.backend.endpoint()
    }

    pub(super) fn translated(&self) -> Option<Translation> {
        match self.seen {
            Seen::Translated(translation) => Some(translation),
            Seen::No | Seen::Itself => None,
        }
    }
}

/// Those of the backends that a client's view comes to.
pub(super) struct Reached<'c, 'a> {
    /// Those that saw the client.
    pub(super) seen: Vec<&'c Candidate<'a>>,
    /// Where some saw it, those of which nobody knows what they saw: of other workloads or ports, on nodes that were not
    /// recorded.
    pub(super) unrecorded: Vec<&'c Candidate<'a>>,
}

impl<'a> Views<'a> {
    /// The backends that a client may have reached, each with how it saw the client.
    pub(super) fn backends_of(&self, sighting: &Sighting<'a>, client: EndpointRef<'a>) -> Vec<Candidate<'a>> {
        let met = self.met_backend(sighting, client);
        if !met.is_empty() {
            return met;
        }
        let mut all = self.candidates(sighting, client, sighting.when);
        if all.iter().all(|candidate| candidate.seen == Seen::No) {
            // Around a change, which backend was reached does not follow from when.
            all = self.candidates(sighting, client, sighting.when.tolerant());
        }
        // A Service with a single answer led to it in any case.
        if several(&all) && all.iter().any(|candidate| candidate.seen != Seen::No) {
            let elsewhere = self.led_elsewhere(sighting);
            for candidate in all.iter_mut().filter(|candidate| candidate.seen != Seen::No) {
                candidate.rivalled = elsewhere.contains(&(candidate.place(), candidate.backend.port));
            }
        }
        all
    }

    /// Divides these backends by what they saw.
    pub(super) fn reached<'c>(
        &self,
        sighting: &Sighting<'_>,
        client: EndpointRef<'_>,
        all: &'c [Candidate<'a>],
    ) -> Reached<'c, 'a> {
        let all: Vec<&Candidate<'_>> = all.iter().collect();
        let (seen, others) = divided(&all, client);
        let answers: BTreeSet<_> = seen.iter().map(|one| one.answer()).collect();
        let unrecorded = |one: &&Candidate<'_>| !answers.contains(&one.answer()) && !self.was_recorded(one, sighting);
        let unrecorded = others.into_iter().filter(|_| !seen.is_empty()).filter(unrecorded);
        Reached {
            unrecorded: unrecorded.collect(),
            seen,
        }
    }

    /// The backend whose own view was paired with the client's.
    fn met_backend(&self, sighting: &Sighting<'a>, client: EndpointRef<'a>) -> Vec<Candidate<'a>> {
        let Some(met) = &sighting.met else { return Vec::new() };
        let around = sighting.when.tolerant();
        let backends = sighting
            .backends_during(around, self.resolver, self.cluster)
            .into_iter();
        let candidate = |backend: ResolvedBackend<'a>| {
            let seen = match (met.translated, backend.endpoint() == client) {
                (false, _) => Seen::Itself,
                (true, false) => Seen::Translated(Translation::Source),
                (true, true) => Seen::Translated(Translation::Hairpin),
            };
            Candidate {
                service: backend.service,
                seen,
                rivalled: false,
                backend,
            }
        };
        let candidates = backends.map(candidate);
        let is_met = |one: &Candidate<'_>| one.place() == met.place && one.backend.port == met.port;
        candidates.filter(is_met).collect()
    }

    /// The backends of a time, each with how it saw the client.
    fn candidates(&self, sighting: &Sighting<'a>, client: EndpointRef<'a>, when: Span) -> Vec<Candidate<'a>> {
        let backends = sighting.backends_during(when, self.resolver, self.cluster).into_iter();
        let candidate = |backend: ResolvedBackend<'a>| Candidate {
            service: backend.service,
            seen: Seen::No,
            rivalled: false,
            backend,
        };
        let mut candidates: Vec<Candidate<'a>> = backends.map(candidate).collect();
        for candidate in &mut candidates {
            candidate.seen = self.seen(client, candidate, sighting);
        }
        candidates
    }

    /// Whether a backend's node was recorded at that time.
    pub(super) fn was_recorded(&self, candidate: &Candidate<'_>, sighting: &Sighting<'_>) -> bool {
        node_of(candidate.backend.party).is_some_and(|node| self.resolver.was_recorded(node, sighting.aligned))
    }

    pub(super) fn is_api_server(&self, candidate: &Candidate<'_>) -> bool {
        self.api_server
            .contains(&(candidate.backend.address, candidate.backend.port))
    }

    /// How a backend saw the client at that time; a client on the network of a node, as that node.
    fn seen(&self, client: EndpointRef<'_>, candidate: &Candidate<'_>, sighting: &Sighting<'_>) -> Seen {
        let (server, protocol, port) = (candidate.endpoint(), sighting.protocol(), candidate.backend.port);
        let key = (client, server, protocol, port);
        let itself = self.served.itself(&key, candidate.place(), sighting);
        // At the address of a node nobody but the node itself may be expected, unless its port was addressed.
        let expected = || sighting.node_port.is_some() || server == client || self.only_translates(sighting, candidate);
        let by_node =
            || translator_key(sighting, candidate).is_some_and(|key| self.served.host(&key, sighting)) && expected();
        match (itself, server == client) {
            (true, _) => Seen::Itself,
            (false, true) if by_node() => Seen::Translated(Translation::Hairpin),
            (false, false) if by_node() => Seen::Translated(Translation::Source),
            (false, _) => Seen::No,
        }
    }

    /// Whether a backend that saw the node before it saw clients whose address that node replaced, and none of the node's
    /// own.
    pub(super) fn only_translates(&self, sighting: &Sighting<'_>, candidate: &Candidate<'_>) -> bool {
        translator_key(sighting, candidate)
            .is_some_and(|key| self.host_clients.none(&key) && self.resolver.was_recorded(key.0, sighting.aligned))
    }

    /// Whether others on the network of the client's node reached this server too, so that it may not be the client that
    /// the server saw.
    pub(super) fn has_neighbours(&self, sighting: &Sighting<'_>, candidate: &Candidate<'_>) -> bool {
        let Some(node) = host_of(sighting.local) else {
            return false;
        };
        let key = (node, candidate.place(), sighting.protocol(), candidate.backend.port);
        self.host_clients.several(&key)
    }
}

/// The backends that saw the client, and the others. Where some saw its own address, an address of the node only leads
/// back to the client itself; that one stands last, so that the count is of an edge.
fn divided<'c, 'a>(
    all: &[&'c Candidate<'a>],
    client: EndpointRef<'_>,
) -> (Vec<&'c Candidate<'a>>, Vec<&'c Candidate<'a>>) {
    let any_itself = all.iter().any(|one| one.seen == Seen::Itself);
    let is_seen = |one: &&Candidate<'_>| match one.seen {
        Seen::Itself | Seen::Translated(Translation::Hairpin) => true,
        Seen::Translated(Translation::Source) => !any_itself,
        Seen::No => false,
    };
    let (mut seen, others): (Vec<_>, Vec<_>) = all.iter().copied().partition(is_seen);
    seen.sort_by_key(|one| one.endpoint() == client);
    (seen, others)
}

/// The node that puts its own address in the client's place where one does, as a backend sees it: the one whose port was
/// addressed, else the client's own.
pub(super) fn translator_key<'a>(sighting: &Sighting<'a>, candidate: &Candidate<'a>) -> Option<HostKey<'a>> {
    let node = match sighting.remote {
        Party::Node(node) => Some(node),
        Party::Pod(_) | Party::External(..) | Party::Loopback | Party::Group | Party::Unknown(..) => {
            node_of(sighting.local)
        }
    };
    Some((node?, candidate.place(), sighting.protocol(), candidate.backend.port))
}
