//! The view of a client that went to a Service: which of its backends it reached.

use std::collections::BTreeSet;

use flowtape_schemas::node::Outcome;

use super::hosts::{HostKey, Place};
use super::{Joined, Views, edge_key, port_name, service_use};
use crate::findings::Code;
use crate::flow::backend::ResolvedBackend;
use crate::flow::collect::Contribution;
use crate::flow::edge::{Endpoint, Peer, ServiceUse, Translation, Transport};
use crate::flow::host::{host_of, node_of, same_node};
use crate::flow::role;
use crate::flow::sighting::{Sighting, endpoint};
use crate::identity::Identity;
use crate::identity::resolve::Party;
use crate::identity::service::ServiceHit;
use crate::identity::timeline::Span;

/// What backends have of the traffic of a client.
#[derive(Clone, Copy, Debug)]
struct Share {
    /// Operations; 0 where they cannot be divided, and the servers counted their part.
    count: u64,
    /// Whether it is supposed, not seen.
    supposed: bool,
}

/// Whether backends are of more than one workload or port.
fn several(candidates: &[&Candidate<'_>]) -> bool {
    answers(candidates).len() > 1
}

fn answers(candidates: &[&Candidate<'_>]) -> BTreeSet<(Option<Identity>, u16)> {
    candidates.iter().map(|candidate| candidate.answer()).collect()
}

/// How a backend saw a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    No,
    /// By its own address.
    Itself,
    /// By the address of a node that translated.
    Translated(Translation),
}

/// A backend of a Service, resolved.
pub(super) struct Candidate<'a> {
    backend: ResolvedBackend<'a>,
    service: ServiceUse,
    seen: Seen,
}

impl Candidate<'_> {
    /// What it comes to in an edge.
    fn answer(&self) -> (Option<Identity>, u16) {
        (self.backend.party.identity(), self.backend.port)
    }

    /// Where it is, as servers on the network of a node are seen by both sides.
    fn place(&self) -> Place {
        Place::of(&self.backend.party, self.endpoint())
    }

    fn endpoint(&self) -> Endpoint {
        self.backend.endpoint()
    }

    fn translated(&self) -> Option<Translation> {
        match self.seen {
            Seen::Translated(translation) => Some(translation),
            Seen::No | Seen::Itself => None,
        }
    }
}

impl<'a> Views<'a> {
    pub(super) fn service_view(&self, sighting: &Sighting<'_>, joined: &mut Joined<'_>) {
        let client = endpoint(&sighting.local, &sighting.row, true);
        // A node port of another node is translated there: what leaves the client still goes to that node.
        if let Party::Node(node) = &sighting.remote
            && node_of(&sighting.local) != Some(*node)
        {
            self.direct_view(sighting, joined);
        }
        let mut all = self.candidates(sighting, &client, sighting.when);
        if all.iter().all(|candidate| candidate.seen == Seen::No) {
            // Around a change, which backend was reached does not follow from when.
            all = self.candidates(sighting, &client, sighting.when.tolerant());
        }
        if all.is_empty() {
            self.without_backends(sighting, &client, joined);
            return;
        }
        let all: Vec<&Candidate<'_>> = all.iter().collect();
        let (seen, others) = divided(&all, &client);
        if !seen.is_empty() {
            let answers = answers(&seen);
            let unrecorded =
                |one: &&Candidate<'_>| !answers.contains(&one.answer()) && !self.was_recorded(one, sighting);
            let unrecorded: Vec<_> = others.into_iter().filter(unrecorded).collect();
            joined.collector.divisible |= !unrecorded.is_empty() && sighting.spans_a_change(self.cluster);
            self.seen_view(sighting, &client, (&seen, &unrecorded), joined);
            return;
        }
        let several = several(&all);
        let established = sighting.outcome() == Outcome::Established;
        if several && !established && sighting.protocol() != Transport::UDP {
            if let Some(hit) = sighting.services.first() {
                self.service_itself(sighting, hit, &client, joined);
            }
            return;
        }
        joined.collector.divisible |= several && sighting.spans_a_change(self.cluster);
        self.report_unseen(sighting, &all, several, joined);
        let share = Share {
            count: if several { 0 } else { sighting.row.count },
            supposed: several,
        };
        self.attach(sighting, &client, &all, share, joined);
    }

    /// The backends of a time, each with how it saw the client.
    fn candidates(&self, sighting: &Sighting<'a>, client: &Endpoint, when: Span) -> Vec<Candidate<'a>> {
        let backends = sighting.backends_during(when, self.resolver, self.cluster).into_iter();
        let candidate = |backend: ResolvedBackend<'a>| Candidate {
            service: service_use(&backend.service),
            seen: Seen::No,
            backend,
        };
        let mut candidates: Vec<Candidate<'a>> = backends.map(candidate).collect();
        for candidate in &mut candidates {
            candidate.seen = self.seen(client, candidate, sighting);
        }
        candidates
    }

    /// That no backend saw the client: nobody recorded them, or what was recorded does not agree.
    fn report_unseen(&self, sighting: &Sighting<'_>, all: &[&Candidate<'_>], several: bool, joined: &mut Joined<'_>) {
        let place = place(sighting);
        let servers = all.iter().map(|candidate| &candidate.backend.party);
        if self.must_have_counted(sighting, servers) {
            let client = sighting.local.identity().map(|identity| Peer { identity, role: None });
            if let Some(client) = client {
                let message = format!(
                    "{client} -> {place}: the client counted connections that none of its recorded servers did"
                );
                sighting.report(Code::ViewsDisagree, message, joined.findings);
            }
        } else if several && !all.iter().all(|one| self.is_api_server(one)) {
            // Whoever may use the API server may use each of its endpoints: that they are several leaves no doubt.
            let message = format!("no server behind {place} was recorded; all its backends of that time are supposed");
            sighting.report(Code::BackendsAssumed, message, joined.findings);
        }
    }

    fn without_backends(&self, sighting: &Sighting<'_>, client: &Endpoint, joined: &mut Joined<'_>) {
        let message = format!("{} had no backends", place(sighting));
        sighting.report(Code::ServiceWithoutBackends, message, joined.findings);
        if let Some(hit) = sighting.services.first() {
            self.service_itself(sighting, hit, client, joined);
        }
    }

    /// Attaches the client to the backends that saw it, and to those of which nobody knows what they saw: of other
    /// workloads or ports, on nodes that were not recorded.
    fn seen_view(
        &self,
        sighting: &Sighting<'_>,
        client: &Endpoint,
        (seen, unrecorded): (&[&Candidate<'_>], &[&Candidate<'_>]),
        joined: &mut Joined<'_>,
    ) {
        let counted = sighting.row.count;
        let place = place(sighting);
        let mut report = |what: String| sighting.report(Code::BackendsAssumed, what, joined.findings);
        let neighbours = several(seen) && seen.iter().any(|one| self.has_neighbours(sighting, one));
        if neighbours {
            report(format!(
                "several processes of one node reached backends of {place}; each is supposed to have reached all"
            ));
        }
        let mistakable = (several(seen) || !unrecorded.is_empty())
            && seen
                .iter()
                .any(|one| one.translated().is_some() && !self.only_translates(sighting, one));
        if mistakable {
            report(format!(
                "the node before {place} may have reached its backends by itself; those that saw it are supposed"
            ));
        }
        let established = sighting.outcome() == Outcome::Established || sighting.protocol() == Transport::UDP;
        let unrecorded = if established { unrecorded } else { &[] };
        if unrecorded.iter().any(|one| !self.is_api_server(one)) {
            report(format!(
                "some backends of {place} were not recorded; they are supposed to have served as well"
            ));
        }
        for one in seen {
            if let (Some(translation), true) = (one.translated(), self.only_translates(sighting, one))
                && let Some(key) = translator_key(sighting, one)
            {
                joined.translated.entry(key).or_default().insert(translation);
            }
        }
        let count = if several(seen) || !unrecorded.is_empty() {
            0
        } else {
            counted
        };
        let supposed = neighbours || mistakable;
        self.attach(sighting, client, seen, Share { count, supposed }, joined);
        let share = Share {
            count: 0,
            supposed: true,
        };
        self.attach(sighting, client, unrecorded, share, joined);
    }

    /// Whether a backend's node was recorded at that time.
    fn was_recorded(&self, candidate: &Candidate<'_>, sighting: &Sighting<'_>) -> bool {
        node_of(&candidate.backend.party).is_some_and(|node| self.resolver.was_recorded(node, sighting.aligned))
    }

    fn is_api_server(&self, candidate: &Candidate<'_>) -> bool {
        self.api_server
            .contains(&(candidate.backend.address, candidate.backend.port))
    }

    /// How a backend saw the client at that time; a client on the network of a node, as that node.
    fn seen(&self, client: &Endpoint, candidate: &Candidate<'_>, sighting: &Sighting<'_>) -> Seen {
        let (server, protocol, port) = (candidate.endpoint(), sighting.protocol(), candidate.backend.port);
        let key = (client.clone(), server.clone(), protocol, port);
        let itself = self.served.itself(&key, &candidate.place(), sighting);
        // At the address of a node nobody but the node itself may be expected, unless its port was addressed.
        let expected =
            || sighting.node_port.is_some() || server == *client || self.only_translates(sighting, candidate);
        let by_node =
            || translator_key(sighting, candidate).is_some_and(|key| self.served.host(&key, sighting)) && expected();
        match (itself, server == *client) {
            (true, _) => Seen::Itself,
            (false, true) if by_node() => Seen::Translated(Translation::Hairpin),
            (false, false) if by_node() => Seen::Translated(Translation::Source),
            (false, _) => Seen::No,
        }
    }

    /// Whether a backend that saw the node before it saw clients whose address that node replaced, and none of the node's
    /// own.
    fn only_translates(&self, sighting: &Sighting<'_>, candidate: &Candidate<'_>) -> bool {
        translator_key(sighting, candidate)
            .is_some_and(|key| self.host_clients.none(&key) && self.resolver.was_recorded(&key.0, sighting.aligned))
    }

    /// Whether others on the network of the client's node reached this server too, so that it may not be the client that
    /// the server saw.
    fn has_neighbours(&self, sighting: &Sighting<'_>, candidate: &Candidate<'_>) -> bool {
        let Some(node) = host_of(&sighting.local) else {
            return false;
        };
        let key = (
            node.to_owned(),
            candidate.place(),
            sighting.protocol(),
            candidate.backend.port,
        );
        self.host_clients.several(&key)
    }

    /// Adds the client's view to the edges of these backends.
    fn attach(
        &self,
        sighting: &Sighting<'_>,
        client: &Endpoint,
        candidates: &[&Candidate<'_>],
        share: Share,
        joined: &mut Joined<'_>,
    ) {
        let Some(from) = sighting.local.identity() else { return };
        let Share { mut count, supposed } = share;
        for candidate in candidates {
            let server = candidate.endpoint();
            let Some(to) = candidate.backend.party.identity() else {
                continue;
            };
            let key = (
                client.clone(),
                server.clone(),
                sighting.protocol(),
                candidate.backend.port,
            );
            joined.asked.insert(key);
            if server == *client {
                let same = &mut joined.collector.ignored.same_pod;
                *same = same.saturating_add(std::mem::take(&mut count));
                continue;
            }
            let to = self.host_server(to, sighting.protocol(), candidate.backend.port);
            let own_node = same_node(&sighting.local, &candidate.backend.party);
            let from = role::client(from.clone(), &candidate.backend.party, own_node, candidate.backend.port);
            let to = role::server(
                to,
                Some(candidate.backend.address),
                candidate.backend.port,
                &self.api_server,
            );
            joined.collector.add(
                sighting,
                Contribution {
                    key: edge_key(sighting, from, to, candidate.backend.port),
                    count: std::mem::take(&mut count),
                    pair: (client.clone(), server),
                    services: vec![candidate.service.clone()],
                    node_port: sighting.node_port,
                    translated: candidate.translated().into_iter().collect(),
                    port_name: port_name(&candidate.backend.party, candidate.backend.port, sighting.protocol()),
                    assumed: supposed || sighting.supposed,
                },
            );
        }
    }

    /// An edge to the Service itself, where no backend can be named.
    fn service_itself(&self, sighting: &Sighting<'_>, hit: &ServiceHit, client: &Endpoint, joined: &mut Joined<'_>) {
        let Some(identity) = sighting.local.identity() else {
            return;
        };
        let service = Identity::Service {
            namespace: hit.namespace.clone(),
            name: hit.name.clone(),
        };
        let to = role::server(service, None, hit.port, &self.api_server);
        let server = sighting.row.remote_ip.map_or(Endpoint::Unknown, Endpoint::Address);
        joined.collector.add(
            sighting,
            Contribution {
                key: edge_key(sighting, Peer { identity, role: None }, to, hit.port),
                count: sighting.row.count,
                pair: (client.clone(), server),
                services: vec![service_use(hit)],
                node_port: sighting.node_port,
                translated: BTreeSet::new(),
                port_name: hit.port_name.clone(),
                assumed: sighting.supposed,
            },
        );
    }
}

/// The backends that saw the client, and the others. Where some saw its own address, an address of the node only leads
/// back to the client itself; that one stands last, so that the count is of an edge.
fn divided<'c, 'a>(all: &[&'c Candidate<'a>], client: &Endpoint) -> (Vec<&'c Candidate<'a>>, Vec<&'c Candidate<'a>>) {
    let any_itself = all.iter().any(|one| one.seen == Seen::Itself);
    let is_seen = |one: &&Candidate<'_>| match one.seen {
        Seen::Itself | Seen::Translated(Translation::Hairpin) => true,
        Seen::Translated(Translation::Source) => !any_itself,
        Seen::No => false,
    };
    let (mut seen, others): (Vec<_>, Vec<_>) = all.iter().copied().partition(is_seen);
    seen.sort_by_key(|one| one.endpoint() == *client);
    (seen, others)
}

/// The Services in question, for a message.
fn place(sighting: &Sighting<'_>) -> String {
    let services: BTreeSet<String> = sighting
        .services
        .iter()
        .map(|hit| format!("Service {}", service_use(hit)))
        .collect();
    services.into_iter().collect::<Vec<_>>().join(" or ")
}

/// The node that puts its own address in the client's place where one does, as a backend sees it: the one whose port was
/// addressed, else the client's own.
fn translator_key(sighting: &Sighting<'_>, candidate: &Candidate<'_>) -> Option<HostKey> {
    let node = match &sighting.remote {
        Party::Node(node) => Some(*node),
        Party::Pod(_) | Party::External(..) | Party::Loopback | Party::Group | Party::Unknown(..) => {
            node_of(&sighting.local)
        }
    };
    Some((
        node?.to_owned(),
        candidate.place(),
        sighting.protocol(),
        candidate.backend.port,
    ))
}
