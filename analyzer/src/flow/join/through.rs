//! The view of a client that went to a Service: which of its backends it reached.

use std::collections::BTreeSet;

use flowtape_schemas::node::Outcome;

use super::candidate::{Candidate, Reached, several, translator_key};
use super::doubt::Doubts;
use super::{Joined, Views, edge_key, port_name, service_use};
use crate::findings::Code;
use crate::flow::collect::Contribution;
use crate::flow::edge::{Endpoint, Peer, Transport};
use crate::flow::host::{node_of, same_node};
use crate::flow::role;
use crate::flow::sighting::{Sighting, endpoint};
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

impl Views<'_> {
    pub(super) fn service_view(&self, sighting: &Sighting<'_>, joined: &mut Joined<'_>) {
        let client = endpoint(&sighting.local, &sighting.row, true);
        // A node port of another node is translated there: what leaves the client still goes to that node.
        if let Party::Node(node) = &sighting.remote
            && node_of(&sighting.local) != Some(*node)
        {
            self.direct_view(sighting, joined);
        }
        let all = self.backends_of(sighting, &client);
        if all.is_empty() {
            self.without_backends(sighting, &client, joined);
            return;
        }
        let reached = self.reached(sighting, &client, &all);
        if !reached.seen.is_empty() {
            let doubts = self.doubts(sighting, &reached);
            joined.collector.open |= self.is_open(sighting, &client, &all);
            self.seen_view(sighting, &client, (&reached, doubts), joined);
            return;
        }
        let all: Vec<&Candidate<'_>> = all.iter().collect();
        let several = several(&all);
        let established = sighting.outcome() == Outcome::Established;
        if several && !established && sighting.protocol() != Transport::UDP {
            if let Some(hit) = sighting.services.first() {
                self.service_itself(sighting, hit, &client, joined);
            }
            return;
        }
        joined.collector.open |= several && sighting.spans_a_change(self.cluster);
        self.report_unseen(sighting, &all, several, joined);
        let share = Share {
            count: if several { 0 } else { sighting.row.count },
            supposed: several,
        };
        self.attach(sighting, &client, &all, share, joined);
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
        (reached, doubts): (&Reached<'_, '_>, Doubts),
        joined: &mut Joined<'_>,
    ) {
        let Reached { seen, unrecorded } = reached;
        let counted = sighting.row.count;
        let place = place(sighting);
        let mut report = |what: String| sighting.report(Code::BackendsAssumed, what, joined.findings);
        let Doubts {
            neighbours,
            mistakable,
            forwarded,
        } = doubts;
        if neighbours {
            report(format!(
                "several processes of one node reached backends of {place}; each is supposed to have reached all"
            ));
        }
        if mistakable {
            report(format!(
                "the node before {place} may have reached its backends by itself; those that saw it are supposed"
            ));
        }
        if forwarded {
            report(format!(
                "others may have reached backends of {place} through the client's node; those that saw it are supposed"
            ));
        }
        let established = sighting.outcome() == Outcome::Established || sighting.protocol() == Transport::UDP;
        let unrecorded = if established { unrecorded.as_slice() } else { &[] };
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
        let supposed = doubts.any();
        self.attach(sighting, client, seen, Share { count, supposed }, joined);
        let share = Share {
            count: 0,
            supposed: true,
        };
        self.attach(sighting, client, unrecorded, share, joined);
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
                    rivalled: candidate.rivalled || supposed,
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
                rivalled: false,
                node_port: sighting.node_port,
                translated: BTreeSet::new(),
                port_name: hit.port_name.clone(),
                assumed: sighting.supposed,
            },
        );
    }
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
