//! The view of a client that went to a Service: which of its backends it reached.

use std::collections::BTreeSet;

use flowtape_schemas::node::Outcome;

use super::candidate::{Candidate, Reached, several, translator_key};
use super::doubt::Doubts;
use super::{Joined, Views, edge_key, port_name};
use crate::findings::Code;
use crate::flow::collect::{Contribution, Said, Seen};
use crate::flow::edge::Transport;
use crate::flow::end::{EndpointRef, IdentityRef, PeerRef};
use crate::flow::host::{node_of, same_node};
use crate::flow::role;
use crate::flow::sighting::{Sighting, endpoint};
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

impl<'a> Views<'a> {
    pub(super) fn service_view(&self, sighting: &'a Sighting<'a>, joined: &mut Joined<'a>) {
        let client = endpoint(sighting.local, &sighting.row, true);
        // A node port of another node is translated there: what leaves the client still goes to that node.
        if let Party::Node(node) = sighting.remote
            && node_of(sighting.local) != Some(node)
        {
            self.direct_view(sighting, joined);
        }
        let all = self.backends_of(sighting, client);
        if all.is_empty() {
            self.without_backends(sighting, client, joined);
            return;
        }
        let reached = self.reached(sighting, client, &all);
        if !reached.seen.is_empty() {
            let doubts = self.doubts(sighting, &reached);
            joined.collector.open |= self.is_open(sighting, client, &all);
            self.seen_view(sighting, client, (&reached, doubts), joined);
            return;
        }
        let all: Vec<&Candidate<'a>> = all.iter().collect();
        let several = several(all.iter().copied());
        let established = sighting.outcome() == Outcome::Established;
        if several && !established && sighting.protocol() != Transport::UDP {
            if let Some(hit) = sighting.services.first() {
                self.service_itself(sighting, *hit, client, joined);
            }
            return;
        }
        joined.collector.open |= several && sighting.spans_a_change(self.cluster);
        self.report_unseen(sighting, &all, several, joined);
        let share = Share {
            count: if several { 0 } else { sighting.row.count },
            supposed: several,
        };
        self.attach(sighting, client, &all, share, joined);
    }

    /// That no backend saw the client: nobody recorded them, or what was recorded does not agree.
    fn report_unseen(&self, sighting: &Sighting<'_>, all: &[&Candidate<'_>], several: bool, joined: &mut Joined<'a>) {
        let place = place(sighting);
        let servers = all.iter().map(|candidate| candidate.backend.party);
        if self.must_have_counted(sighting, servers) {
            if let Some(identity) = IdentityRef::of(sighting.local) {
                let client = PeerRef { identity, role: None }.named(self.resolver);
                let message = format!(
                    "{client} -> {place}: the client counted connections that none of its recorded servers did"
                );
                sighting.report(Code::ViewsDisagree, message, &mut joined.findings);
            }
        } else if several && !all.iter().all(|one| self.is_api_server(one)) {
            // Whoever may use the API server may use each of its endpoints: that they are several leaves no doubt.
            let message = format!("no server behind {place} was recorded; all its backends of that time are supposed");
            sighting.report(Code::BackendsAssumed, message, &mut joined.findings);
        }
    }

    fn without_backends(&self, sighting: &'a Sighting<'a>, client: EndpointRef<'a>, joined: &mut Joined<'a>) {
        let message = format!("{} had no backends", place(sighting));
        sighting.report(Code::ServiceWithoutBackends, message, &mut joined.findings);
        if let Some(hit) = sighting.services.first() {
            self.service_itself(sighting, *hit, client, joined);
        }
    }

    /// Attaches the client to the backends that saw it, and to those of which nobody knows what they saw: of other
    /// workloads or ports, on nodes that were not recorded.
    fn seen_view(
        &self,
        sighting: &'a Sighting<'a>,
        client: EndpointRef<'a>,
        (reached, doubts): (&Reached<'_, 'a>, Doubts),
        joined: &mut Joined<'a>,
    ) {
        let Reached { seen, unrecorded } = reached;
        let counted = sighting.row.count;
        let place = || place(sighting);
        let mut report = |what: String| sighting.report(Code::BackendsAssumed, what, &mut joined.findings);
        let Doubts {
            neighbours,
            mistakable,
            forwarded,
        } = doubts;
        if neighbours {
            report(format!(
                "several processes of one node reached backends of {}; each is supposed to have reached all",
                place()
            ));
        }
        if mistakable {
            report(format!(
                "the node before {} may have reached its backends by itself; those that saw it are supposed",
                place()
            ));
        }
        if forwarded {
            report(format!(
                "others may have reached backends of {} through the client's node; those that saw it are supposed",
                place()
            ));
        }
        let established = sighting.outcome() == Outcome::Established || sighting.protocol() == Transport::UDP;
        let unrecorded = if established { unrecorded.as_slice() } else { &[] };
        if unrecorded.iter().any(|one| !self.is_api_server(one)) {
            report(format!(
                "some backends of {} were not recorded; they are supposed to have served as well",
                place()
            ));
        }
        for one in seen {
            if let (Some(translation), true) = (one.translated(), self.only_translates(sighting, one))
                && let Some(key) = translator_key(sighting, one)
            {
                joined.translated.entry(key).or_default().insert(translation);
            }
        }
        let count = if several(seen.iter().copied()) || !unrecorded.is_empty() {
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
        sighting: &'a Sighting<'a>,
        client: EndpointRef<'a>,
        candidates: &[&Candidate<'a>],
        share: Share,
        joined: &mut Joined<'a>,
    ) {
        let Some(from) = IdentityRef::of(sighting.local) else {
            return;
        };
        let Share { mut count, supposed } = share;
        for candidate in candidates {
            let server = candidate.endpoint();
            let Some(to) = IdentityRef::of(candidate.backend.party) else {
                continue;
            };
            joined
                .asked
                .push((client, server, sighting.protocol(), candidate.backend.port));
            if server == client {
                let same = &mut joined.collector.ignored.same_pod;
                *same = same.saturating_add(std::mem::take(&mut count));
                continue;
            }
            let to = self.host_server(to, sighting.protocol(), candidate.backend.port);
            let own_node = same_node(sighting.local, candidate.backend.party);
            let from = role::client(from, candidate.backend.party, own_node, candidate.backend.port);
            let to = role::server(
                to,
                Some(candidate.backend.address),
                candidate.backend.port,
                &self.api_server,
            );
            let seen = Seen {
                count: std::mem::take(&mut count),
                pair: (client, server),
                services: vec![candidate.service],
                rivalled: candidate.rivalled || supposed,
                node_port: sighting.node_port,
                translated: candidate.translated().into_iter().collect(),
                port_name: port_name(candidate.backend.party, candidate.backend.port, sighting.protocol()),
                assumed: supposed || sighting.supposed,
            };
            joined.collector.add(Contribution {
                sighting,
                key: edge_key(sighting, from, to, candidate.backend.port),
                said: Said::Seen(seen),
            });
        }
    }

    /// An edge to the Service itself, where no backend can be named.
    fn service_itself(
        &self,
        sighting: &'a Sighting<'a>,
        hit: ServiceHit<'a>,
        client: EndpointRef<'a>,
        joined: &mut Joined<'a>,
    ) {
        let Some(identity) = IdentityRef::of(sighting.local) else {
            return;
        };
        let service = IdentityRef::Service {
            namespace: hit.namespace,
            name: hit.name,
        };
        let to = role::server(service, None, hit.port, &self.api_server);
        let server = sighting.row.remote_ip;
        let server = server.map_or(EndpointRef::Unknown, EndpointRef::Address);
        let seen = Seen {
            count: sighting.row.count,
            pair: (client, server),
            services: vec![hit],
            rivalled: false,
            node_port: sighting.node_port,
            translated: BTreeSet::new(),
            port_name: hit.port_name,
            assumed: sighting.supposed,
        };
        joined.collector.add(Contribution {
            sighting,
            key: edge_key(sighting, PeerRef { identity, role: None }, to, hit.port),
            said: Said::Seen(seen),
        });
    }
}

/// The Services in question, for a message.
fn place(sighting: &Sighting<'_>) -> String {
    let services: BTreeSet<String> = sighting
        .services
        .iter()
        .map(|hit| format!("Service {}/{}:{}", hit.namespace, hit.name, hit.port))
        .collect();
    services.into_iter().collect::<Vec<_>>().join(" or ")
}
