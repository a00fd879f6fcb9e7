//! The client's and the server's view of the same traffic, joined.

mod through;

use std::collections::{BTreeMap, BTreeSet};

use super::collect::{Collector, Contribution};
use super::edge::{EdgeKey, Endpoint, Peer, ServiceUse, Transport};
use super::host::{host_of, host_servers, same_node};
use super::role::{self, ApiServer};
use super::sighting::{Sighting, endpoint};
use crate::findings::Findings;
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
    /// When a server saw a node, by whatever address, by node, server, protocol and port.
    served_hosts: BTreeMap<(String, Endpoint, Transport, u16), Vec<Span>>,
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
        served_hosts: BTreeMap::new(),
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

impl Views<'_> {
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
            let spans = self.served_hosts.entry(key.clone()).or_default();
            spans.push(sighting.presence());
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
