//! The client's and the server's view of the same traffic, joined.

use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::address::Address;
use flowtape_schemas::node::Outcome;

use super::collect::{Collector, Contribution};
use super::edge::{EdgeKey, Endpoint, Peer, ServiceUse, Transport};
use super::host::{host_of, host_servers, node_of, same_node};
use super::role::{self, ApiServer};
use super::sighting::{Sighting, endpoint, endpoint_of_pod};
use crate::findings::{Code, Findings};
use crate::identity::cluster::Cluster;
use crate::identity::resolve::{Party, Resolver};
use crate::identity::service::ServiceHit;
use crate::identity::timeline::Span;
use crate::identity::{Identity, Workload};

/// What both views are looked up by.
struct Views<'a> {
    cluster: &'a Cluster,
    resolver: &'a Resolver<'a>,
    api_server: ApiServer,
    /// When a server saw a client, by client, server, protocol and port.
    served: BTreeMap<(Endpoint, Endpoint, Transport, u16), Vec<Span>>,
    /// Workloads on the network of a node that connected to a server, by node, server, protocol and port.
    host_clients: BTreeMap<(String, Endpoint, Transport, u16), BTreeSet<Identity>>,
    /// Workloads on the network of a node that served a port.
    host_servers: BTreeMap<(String, Transport, u16), BTreeSet<Workload>>,
}

/// Turns sightings into edges.
pub(super) fn join(
    sightings: &[Sighting<'_>],
    resolver: &Resolver<'_>,
    cluster: &Cluster,
    collector: &mut Collector,
    findings: &mut Findings,
) {
    let mut views = Views {
        cluster,
        resolver,
        api_server: api_server(cluster),
        served: BTreeMap::new(),
        host_clients: BTreeMap::new(),
        host_servers: host_servers(sightings, cluster),
    };
    views.host_clients = host_clients(sightings, &views);
    for sighting in sightings.iter().filter(|sighting| sighting.is_server()) {
        views.server_view(sighting, collector);
    }
    for sighting in sightings.iter().filter(|sighting| !sighting.is_server()) {
        if sighting.services.is_empty() || sighting.balanced {
            views.direct_view(sighting, collector);
        } else {
            views.service_view(sighting, collector, findings);
        }
    }
}

/// A backend of a Service, resolved.
struct Candidate<'a> {
    party: Party<'a>,
    address: Address,
    port: u16,
}

impl Candidate<'_> {
    fn endpoint(&self) -> Endpoint {
        match &self.party {
            Party::Pod(pod) => endpoint_of_pod(pod),
            Party::Node(_) | Party::External(_) | Party::Loopback | Party::Group | Party::Unknown(..) => {
                Endpoint::Address(self.address)
            }
        }
    }
}

impl<'a> Views<'a> {
    fn server_view(&mut self, sighting: &Sighting<'_>, collector: &mut Collector) {
        let row = sighting.row;
        let (client, server) = (
            endpoint(&sighting.remote, row, false),
            endpoint(&sighting.local, row, true),
        );
        if ignored(sighting, &sighting.remote, &client, &server, collector) {
            return;
        }
        let (Some(mut from), Some(to)) = (sighting.remote.identity(), sighting.local.identity()) else {
            return;
        };
        if let Party::Node(node) = &sighting.remote {
            let key = ((*node).to_owned(), server.clone(), sighting.protocol(), sighting.port);
            let clients: Vec<&Identity> = self.host_clients.get(&key).into_iter().flatten().collect();
            // Only a single candidate is an answer.
            if let [only] = clients.as_slice() {
                from = (*only).clone();
            }
        }
        let key = (client.clone(), server.clone(), sighting.protocol(), sighting.port);
        self.served.entry(key).or_default().push(sighting.presence());
        self.add_pair(sighting, (from, client), (to, server), collector);
    }

    fn direct_view(&self, sighting: &Sighting<'_>, collector: &mut Collector) {
        let row = sighting.row;
        let (client, server) = (
            endpoint(&sighting.local, row, true),
            endpoint(&sighting.remote, row, false),
        );
        if ignored(sighting, &sighting.remote, &client, &server, collector) {
            return;
        }
        let (Some(from), Some(to)) = (sighting.local.identity(), sighting.remote.identity()) else {
            return;
        };
        let to = self.host_server(to, sighting.protocol(), sighting.port);
        self.add_pair(sighting, (from, client), (to, server), collector);
    }

    /// Adds an edge between the two ends of a sighting, client first.
    fn add_pair(
        &self,
        sighting: &Sighting<'_>,
        (from, client): (Identity, Endpoint),
        (to, server): (Identity, Endpoint),
        collector: &mut Collector,
    ) {
        let (near, far) = (
            (&sighting.local, sighting.row.local_ip),
            (&sighting.remote, sighting.row.remote_ip),
        );
        let ((client_party, _), (server_party, address)) = if sighting.is_server() { (far, near) } else { (near, far) };
        let own_node = same_node(client_party, server_party);
        let from = role::client(from, server_party, own_node, sighting.port);
        let to = role::server(to, address, sighting.port, &self.api_server);
        let balanced = sighting.services.iter().filter(|_| sighting.balanced);
        collector.add(
            sighting,
            Contribution {
                key: edge_key(sighting, from, to, sighting.port),
                count: sighting.row.count,
                pair: (client, server),
                services: balanced.map(service_use).collect(),
                port_name: port_name(server_party, sighting.port, sighting.protocol()),
                assumed: false,
            },
        );
    }

    fn service_view(&self, sighting: &Sighting<'_>, collector: &mut Collector, findings: &mut Findings) {
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
            let seen: Vec<&Candidate<'_>> = all.iter().filter(served).collect();
            if !seen.is_empty() {
                self.attach(sighting, hit, &client, &seen, false, collector);
                continue;
            }
            let answers: BTreeSet<(Option<Identity>, u16)> = all
                .iter()
                .map(|candidate| (candidate.party.identity(), candidate.port))
                .collect();
            let several = answers.len() > 1;
            if several && sighting.outcome() != Outcome::Established && sighting.protocol() != Transport::UDP {
                self.service_itself(sighting, hit, &client, collector);
                continue;
            }
            // Whoever may use the API server may use each of its endpoints: that they are several leaves no doubt.
            let api_server = all.iter().all(|one| self.api_server.contains(&(one.address, one.port)));
            if several && !api_server {
                let place = format!("Service {}", service_use(hit));
                let message =
                    format!("no server behind {place} was recorded; all its backends of that time are supposed");
                findings.report_many(Code::BackendsAssumed, message, sighting.row.count);
            }
            self.attach(
                sighting,
                hit,
                &client,
                &all.iter().collect::<Vec<_>>(),
                several,
                collector,
            );
        }
    }

    fn candidates(&self, hit: &ServiceHit, sighting: &Sighting<'_>) -> Vec<Candidate<'a>> {
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

    fn was_served(&self, client: &Endpoint, candidate: &Candidate<'_>, sighting: &Sighting<'_>) -> bool {
        let key = (
            client.clone(),
            candidate.endpoint(),
            sighting.protocol(),
            candidate.port,
        );
        let spans = self.served.get(&key).map_or(&[][..], Vec::as_slice);
        spans.iter().any(|span| span.overlaps(sighting.presence().tolerant()))
    }

    /// Adds the client's view to the edges of these backends.
    fn attach(
        &self,
        sighting: &Sighting<'_>,
        hit: &ServiceHit,
        client: &Endpoint,
        candidates: &[&Candidate<'_>],
        assumed: bool,
        collector: &mut Collector,
    ) {
        let Some(from) = sighting.local.identity() else { return };
        // What went through the Service cannot be divided between several edges; the servers counted their part.
        let answers: BTreeSet<_> = candidates.iter().map(|one| (one.party.identity(), one.port)).collect();
        let mut count = if answers.len() == 1 { sighting.row.count } else { 0 };
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
                    assumed,
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

    /// The workload on a node's network that serves this port, where there is exactly one.
    fn host_server(&self, to: Identity, protocol: Transport, port: u16) -> Identity {
        let Identity::Node { name } = &to else { return to };
        let servers: Vec<&Workload> = self
            .host_servers
            .get(&(name.clone(), protocol, port))
            .into_iter()
            .flatten()
            .collect();
        match servers.as_slice() {
            [only] => Identity::Workload((*only).clone()),
            [] | [_, ..] => to,
        }
    }
}

fn edge_key(sighting: &Sighting<'_>, from: Peer, to: Peer, port: u16) -> EdgeKey {
    EdgeKey {
        from,
        to,
        protocol: sighting.protocol(),
        port,
        outcome: sighting.outcome(),
    }
}

fn service_use(hit: &ServiceHit) -> ServiceUse {
    ServiceUse {
        namespace: hit.namespace.clone(),
        name: hit.name.clone(),
        port: hit.port,
    }
}

fn port_name(party: &Party<'_>, port: u16, protocol: Transport) -> Option<String> {
    match party {
        Party::Pod(pod) => pod.port_name(port, &protocol.to_string()).map(str::to_owned),
        Party::Node(_) | Party::External(_) | Party::Loopback | Party::Group | Party::Unknown(..) => None,
    }
}

/// Counts and leaves out what no policy governs.
fn ignored(
    sighting: &Sighting<'_>,
    remote: &Party<'_>,
    client: &Endpoint,
    server: &Endpoint,
    collector: &mut Collector,
) -> bool {
    let same = client == server && *client != Endpoint::Unknown;
    let counter = match remote {
        Party::Loopback => &mut collector.ignored.loopback,
        Party::Group => &mut collector.ignored.group,
        Party::Pod(_) | Party::Node(_) if same => &mut collector.ignored.same_pod,
        Party::Pod(_) | Party::Node(_) | Party::External(_) | Party::Unknown(..) => return false,
    };
    // Both ends of such traffic are sockets of one host; the client's count stands for both.
    if !sighting.is_server() {
        *counter = counter.saturating_add(sighting.row.count);
    }
    true
}

fn api_server(cluster: &Cluster) -> ApiServer {
    let always = Span::of_validity(None, None);
    let kubernetes = |port_name: Option<String>| ServiceHit {
        namespace: "default".to_owned(),
        name: "kubernetes".to_owned(),
        port: 443,
        port_name,
    };
    let names = [None, Some("https".to_owned())];
    let backends = names
        .into_iter()
        .flat_map(|name| cluster.services.backends(&kubernetes(name), "TCP", always));
    backends.map(|backend| (backend.address, backend.port)).collect()
}

/// Who connected from the network of a node, by the server it reached.
fn host_clients(
    sightings: &[Sighting<'_>],
    views: &Views<'_>,
) -> BTreeMap<(String, Endpoint, Transport, u16), BTreeSet<Identity>> {
    let mut clients: BTreeMap<_, BTreeSet<Identity>> = BTreeMap::new();
    for sighting in sightings.iter().filter(|sighting| !sighting.is_server()) {
        let (Some(node), Some(identity)) = (host_of(&sighting.local), sighting.local.identity()) else {
            continue;
        };
        let mut servers = Vec::new();
        let direct = sighting.services.is_empty() || sighting.balanced;
        if direct {
            servers.push((endpoint(&sighting.remote, sighting.row, false), sighting.port));
        }
        for hit in sighting.services.iter().filter(|_| !direct) {
            let backends = views.candidates(hit, sighting);
            servers.extend(backends.iter().map(|candidate| (candidate.endpoint(), candidate.port)));
        }
        for (server, port) in servers {
            let key = (node.to_owned(), server, sighting.protocol(), port);
            clients.entry(key).or_default().insert(identity.clone());
        }
    }
    clients
}
