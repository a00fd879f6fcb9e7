//! The view of a client that went to a Service: which of its backends it reached.

use std::collections::BTreeSet;

use flowtape_schemas::address::Address;
use flowtape_schemas::node::Outcome;

use super::{Views, edge_key, port_name, service_use};
use crate::findings::{Code, Findings};
use crate::flow::collect::{Collector, Contribution};
use crate::flow::edge::{Endpoint, Peer, Transport};
use crate::flow::host::{host_of, node_of, same_node};
use crate::flow::role;
use crate::flow::sighting::{Sighting, endpoint, endpoint_of_pod};
use crate::identity::Identity;
use crate::identity::resolve::Party;
use crate::identity::service::ServiceHit;

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

/// A backend of a Service, resolved.
pub(super) struct Candidate<'a> {
    party: Party<'a>,
    address: Address,
    pub(super) port: u16,
}

impl Candidate<'_> {
    /// What it comes to in an edge.
    fn answer(&self) -> (Option<Identity>, u16) {
        (self.party.identity(), self.port)
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        match &self.party {
            Party::Pod(pod) => endpoint_of_pod(pod),
            Party::Node(_) | Party::External(_) | Party::Loopback | Party::Group | Party::Unknown(..) => {
                Endpoint::Address(self.address)
            }
        }
    }
}

impl<'a> Views<'a> {
    pub(super) fn service_view(&self, sighting: &Sighting<'_>, collector: &mut Collector, findings: &mut Findings) {
        let client = endpoint(&sighting.local, sighting.row, true);
        // A node port of another node is translated there: what leaves the client still goes to that node.
        if let Party::Node(node) = &sighting.remote
            && node_of(&sighting.local) != Some(*node)
        {
            self.direct_view(sighting, collector);
        }
        for hit in &sighting.services {
            let all = self.candidates(hit, sighting);
            if all.is_empty() {
                let message = format!("Service {} had no backends", service_use(hit));
                findings.report_many(Code::ServiceWithoutBackends, message, sighting.row.count);
                self.service_itself(sighting, hit, &client, collector);
                continue;
            }
            let served = |candidate: &&Candidate<'_>| self.was_served(&client, candidate, sighting);
            let (seen, others): (Vec<&Candidate<'_>>, Vec<&Candidate<'_>>) = all.iter().partition(served);
            if !seen.is_empty() {
                let answers = answers(&seen);
                let unrecorded =
                    |one: &&Candidate<'_>| !answers.contains(&one.answer()) && !self.was_recorded(one, sighting);
                let unrecorded: Vec<_> = others.into_iter().filter(unrecorded).collect();
                self.seen_view(sighting, hit, &client, (&seen, &unrecorded), collector, findings);
                continue;
            }
            let all: Vec<&Candidate<'_>> = all.iter().collect();
            let several = several(&all);
            if several && sighting.outcome() != Outcome::Established && sighting.protocol() != Transport::UDP {
                self.service_itself(sighting, hit, &client, collector);
                continue;
            }
            // Whoever may use the API server may use each of its endpoints: that they are several leaves no doubt.
            let api_server = all.iter().all(|one| self.is_api_server(one));
            if several && !api_server {
                let place = format!("Service {}", service_use(hit));
                let message =
                    format!("no server behind {place} was recorded; all its backends of that time are supposed");
                findings.report_many(Code::BackendsAssumed, message, sighting.row.count);
            }
            let share = Share {
                count: if several { 0 } else { sighting.row.count },
                supposed: several,
            };
            self.attach(sighting, hit, &client, &all, share, collector);
        }
    }

    /// Attaches the client to the backends that saw it, and to those of which nobody knows what they saw: of other
    /// workloads or ports, on nodes that were not recorded.
    fn seen_view(
        &self,
        sighting: &Sighting<'_>,
        hit: &ServiceHit,
        client: &Endpoint,
        (seen, unrecorded): (&[&Candidate<'_>], &[&Candidate<'_>]),
        collector: &mut Collector,
        findings: &mut Findings,
    ) {
        let counted = sighting.row.count;
        let mut report = |what: String| findings.report_many(Code::BackendsAssumed, what, counted);
        let supposed = several(seen) && seen.iter().any(|one| self.has_neighbours(sighting, one));
        if supposed {
            let place = format!("Service {}", service_use(hit));
            report(format!(
                "several processes of one node reached backends of {place}; each is supposed to have reached all"
            ));
        }
        let established = sighting.outcome() == Outcome::Established || sighting.protocol() == Transport::UDP;
        let unrecorded = if established { unrecorded } else { &[] };
        let count = if several(seen) || !unrecorded.is_empty() {
            0
        } else {
            counted
        };
        self.attach(sighting, hit, client, seen, Share { count, supposed }, collector);
        if unrecorded.iter().any(|one| !self.is_api_server(one)) {
            let place = format!("Service {}", service_use(hit));
            report(format!(
                "some backends of {place} were not recorded; they are supposed to have served as well"
            ));
        }
        let share = Share {
            count: 0,
            supposed: true,
        };
        self.attach(sighting, hit, client, unrecorded, share, collector);
    }

    /// Whether a backend's node was recorded at that time.
    fn was_recorded(&self, candidate: &Candidate<'_>, sighting: &Sighting<'_>) -> bool {
        node_of(&candidate.party).is_some_and(|node| self.resolver.was_recorded(node, sighting.span()))
    }

    fn is_api_server(&self, candidate: &Candidate<'_>) -> bool {
        self.api_server.contains(&(candidate.address, candidate.port))
    }

    pub(super) fn candidates(&self, hit: &ServiceHit, sighting: &Sighting<'_>) -> Vec<Candidate<'a>> {
        let protocol = sighting.protocol().to_string();
        let backends = self.cluster.services.backends(hit, &protocol, sighting.span());
        let candidate = |backend: &crate::identity::service::Backend| Candidate {
            party: self
                .resolver
                .backend(backend.pod_uid.as_deref(), backend.address, sighting.span()),
            address: backend.address,
            port: backend.port,
        };
        // A client reaches backends of its own family: a Service of two families has slices of both.
        let same_family = |address: Address| {
            sighting
                .row
                .remote_ip
                .is_none_or(|remote| remote.ip().is_ipv4() == address.ip().is_ipv4())
        };
        backends
            .iter()
            .filter(|backend| same_family(backend.address))
            .map(candidate)
            .collect()
    }

    /// Whether a server saw the client at that time; of a client on the network of a node, whether it saw the node.
    fn was_served(&self, client: &Endpoint, candidate: &Candidate<'_>, sighting: &Sighting<'_>) -> bool {
        let (server, protocol, port) = (candidate.endpoint(), sighting.protocol(), candidate.port);
        let spans = match host_of(&sighting.local) {
            Some(node) => self.served_hosts.get(&(node.to_owned(), server, protocol, port)),
            None => self.served.get(&(client.clone(), server, protocol, port)),
        };
        let mut spans = spans.into_iter().flatten();
        spans.any(|span| span.overlaps(sighting.presence().tolerant()))
    }

    /// Whether others on the network of the client's node reached this server too, so that it may not be the client that
    /// the server saw.
    fn has_neighbours(&self, sighting: &Sighting<'_>, candidate: &Candidate<'_>) -> bool {
        let Some(node) = host_of(&sighting.local) else {
            return false;
        };
        let key = (
            node.to_owned(),
            candidate.endpoint(),
            sighting.protocol(),
            candidate.port,
        );
        self.host_clients.get(&key).is_some_and(|clients| clients.len() > 1)
    }

    /// Adds the client's view to the edges of these backends.
    fn attach(
        &self,
        sighting: &Sighting<'_>,
        hit: &ServiceHit,
        client: &Endpoint,
        candidates: &[&Candidate<'_>],
        share: Share,
        collector: &mut Collector,
    ) {
        let Some(from) = sighting.local.identity() else { return };
        let Share { mut count, supposed } = share;
        for candidate in candidates {
            let server = candidate.endpoint();
            let Some(to) = candidate.party.identity() else { continue };
            if server == *client {
                collector.ignored.same_pod = collector.ignored.same_pod.saturating_add(std::mem::take(&mut count));
                continue;
            }
            let to = self.host_server(to, sighting.protocol(), candidate.port);
            let own_node = same_node(&sighting.local, &candidate.party);
            let from = role::client(from.clone(), &candidate.party, own_node, candidate.port);
            let to = role::server(to, Some(candidate.address), candidate.port, &self.api_server);
            collector.add(
                sighting,
                Contribution {
                    key: edge_key(sighting, from, to, candidate.port),
                    count: std::mem::take(&mut count),
                    pair: (client.clone(), server),
                    services: vec![service_use(hit)],
                    port_name: port_name(&candidate.party, candidate.port, sighting.protocol()),
                    assumed: supposed,
                },
            );
        }
    }

    /// An edge to the Service itself, where no backend can be named.
    fn service_itself(&self, sighting: &Sighting<'_>, hit: &ServiceHit, client: &Endpoint, collector: &mut Collector) {
        let Some(identity) = sighting.local.identity() else {
            return;
        };
        let service = Identity::Service {
            namespace: hit.namespace.clone(),
            name: hit.name.clone(),
        };
        let to = role::server(service, None, hit.port, &self.api_server);
        let server = sighting.row.remote_ip.map_or(Endpoint::Unknown, Endpoint::Address);
        collector.add(
            sighting,
            Contribution {
                key: edge_key(sighting, Peer { identity, role: None }, to, hit.port),
                count: sighting.row.count,
                pair: (client.clone(), server),
                services: vec![service_use(hit)],
                port_name: hit.port_name.clone(),
                assumed: false,
            },
        );
    }
}
