//! The client's and the server's view of the same traffic, joined.

mod candidate;
mod doubt;
mod hosts;
mod met;
mod pair;
mod part;
mod question;
mod served;
mod through;
mod timed;

use std::collections::{BTreeMap, BTreeSet};

use doubt::Asks;
use flowtape_schemas::node::Outcome;
use hosts::{HostClients, HostKey, Place};
pub(super) use met::{Met, introduce};
pub use part::Divided;
pub(super) use part::{Partners, divide};
pub use question::Questions;
pub(super) use question::questions;
use served::{PairKey, Served};

use super::collect::{Collector, Contribution};
use super::edge::{EdgeKey, Endpoint, Peer, ServiceUse, Translation, Transport};
use super::host::{host_servers, node_of, same_node};
use super::role::{self, ApiServer};
use super::sighting::{Sighting, endpoint, server_endpoint};
use crate::findings::{Code, Findings};
use crate::identity::cluster::Cluster;
use crate::identity::published::{PublishedPort, published};
use crate::identity::resolve::{Party, Resolver};
use crate::identity::service::ServiceHit;
use crate::identity::timeline::Span;
use crate::identity::{Identity, Role, Workload};

/// What both views are looked up by.
struct Views<'a> {
    cluster: &'a Cluster,
    resolver: &'a Resolver<'a>,
    api_server: ApiServer,
    served: Served,
    /// What clients asked for.
    asks: Asks<'a>,
    /// Where nodes lead clients of outside.
    published: BTreeSet<PublishedPort>,
    /// Workloads on the network of a node that connected to a server.
    host_clients: HostClients,
    /// Workloads on the network of a node that served a port, by node, protocol and port.
    host_servers: BTreeMap<(String, Transport, u16), BTreeSet<Workload>>,
}

/// What the join comes to.
struct Joined<'f> {
    collector: &'f mut Collector,
    findings: &'f mut Findings,
    /// Whom clients say they reached.
    asked: BTreeSet<PairKey>,
    /// What servers saw of a node that was not the node's own.
    translated: BTreeMap<HostKey, BTreeSet<Translation>>,
}

/// Turns sightings into edges.
pub(super) fn join(
    sightings: &[Sighting<'_>],
    resolver: &Resolver<'_>,
    cluster: &Cluster,
    collector: &mut Collector,
    findings: &mut Findings,
) {
    let views = Views::new(sightings, resolver, cluster);
    let mut joined = Joined {
        collector,
        findings,
        asked: BTreeSet::new(),
        translated: BTreeMap::new(),
    };
    for sighting in sightings.iter().filter(|sighting| !sighting.is_server()) {
        if sighting.services.is_empty() || sighting.met_server {
            views.direct_view(sighting, &mut joined);
        } else {
            views.service_view(sighting, &mut joined);
        }
    }
    for sighting in sightings.iter().filter(|sighting| sighting.is_server()) {
        views.server_view(sighting, &mut joined);
    }
}

impl<'a> Views<'a> {
    fn new(sightings: &'a [Sighting<'a>], resolver: &'a Resolver<'a>, cluster: &'a Cluster) -> Self {
        let mut views = Self {
            cluster,
            resolver,
            api_server: api_server(cluster),
            served: Served::new(sightings),
            asks: Asks::new(sightings),
            published: published(cluster),
            host_clients: HostClients::default(),
            host_servers: host_servers(sightings, cluster),
        };
        views.host_clients = HostClients::new(sightings, &views);
        views
    }
}

impl Views<'_> {
    fn server_view(&self, sighting: &Sighting<'_>, joined: &mut Joined<'_>) {
        let row = &sighting.row;
        let (client, server) = (endpoint(&sighting.remote, row, false), server_endpoint(sighting));
        if ignored(sighting, &sighting.remote, &client, &server, joined.collector) {
            return;
        }
        let (Some(mut from), Some(to)) = (sighting.remote.identity(), sighting.local.identity()) else {
            return;
        };
        let mut translated = BTreeSet::new();
        if let Party::Node(node) = &sighting.remote {
            let place = Place::of_server(sighting);
            let key = ((*node).to_owned(), place, sighting.protocol(), sighting.port);
            if let Some(met) = &sighting.met {
                (from, translated) = client_at_node(met, from, &sighting.local);
            } else {
                if self.are_witnessed(sighting, &key, &to, joined.collector) {
                    return;
                }
                joined.collector.open |= self.is_open_to_server(sighting);
                // Only a single candidate is an answer.
                if let Some(only) = self.host_clients.only(&key) {
                    from = only.clone();
                }
                translated = joined.translated.get(&key).cloned().unwrap_or_default();
            }
        }
        let key = (client.clone(), server.clone(), sighting.protocol(), sighting.port);
        let counted = sighting.met.is_some()
            || joined.asked.contains(&key)
            || !self.must_have_counted(sighting, std::iter::once(&sighting.remote));
        if !counted {
            report_disagreement(sighting, &from, &to, joined.findings);
        }
        self.add_pair(sighting, (from, client), (to, server), translated, joined.collector);
    }

    /// Whether all that a server saw of a node is what several clients there say, which then are what it saw.
    fn are_witnessed(&self, sighting: &Sighting<'_>, key: &HostKey, to: &Identity, collector: &mut Collector) -> bool {
        let Some(clients) = self
            .host_clients
            .all_seen(key, sighting)
            .filter(|_| self.host_clients.several(key))
        else {
            return false;
        };
        let own_node = same_node(&sighting.remote, &sighting.local);
        let to = role::server(to.clone(), sighting.row.local_ip, sighting.port, &self.api_server);
        let edge = |from: &Identity| {
            let from = role::client(from.clone(), &sighting.local, own_node, sighting.port);
            edge_key(sighting, from, to.clone(), sighting.port)
        };
        let edges: Vec<EdgeKey> = clients.map(edge).collect();
        let port_name = port_name(&sighting.local, sighting.port, sighting.protocol());
        collector.witness(sighting, &edges, port_name.as_deref())
    }

    fn direct_view(&self, sighting: &Sighting<'_>, joined: &mut Joined<'_>) {
        let row = &sighting.row;
        let (client, server) = (endpoint(&sighting.local, row, true), server_endpoint(sighting));
        if ignored(sighting, &sighting.remote, &client, &server, joined.collector) {
            return;
        }
        let (Some(from), Some(to)) = (sighting.local.identity(), sighting.remote.identity()) else {
            return;
        };
        let to = self.host_server(to, sighting.protocol(), sighting.port);
        let key = (client.clone(), server.clone(), sighting.protocol(), sighting.port);
        let mut translated = BTreeSet::new();
        let place = Place::of_server(sighting);
        if !self.served.itself(&key, &place, sighting)
            && self.must_have_counted(sighting, std::iter::once(&sighting.remote))
        {
            let by_node = node_of(&sighting.local).map(|node| (node.to_owned(), place, key.2, key.3));
            match by_node.filter(|key| self.served.host(key, sighting)) {
                Some(key) => {
                    translated.insert(Translation::Source);
                    if self.host_clients.none(&key) {
                        joined.translated.entry(key).or_default().insert(Translation::Source);
                    }
                }
                None => report_disagreement(sighting, &from, &to, joined.findings),
            }
        }
        joined.asked.insert(key);
        self.add_pair(sighting, (from, client), (to, server), translated, joined.collector);
    }

    /// Whether connections that one side counted were counted by the other, too, unless the recording is wrong somewhere:
    /// they were established, and each party at the other side is a pod of a node whose recording is whole at that time.
    fn must_have_counted<'p>(&self, sighting: &Sighting<'_>, mut others: impl Iterator<Item = &'p Party<'p>>) -> bool {
        let countable = sighting.protocol() == Transport::TCP
            && sighting.outcome() == Outcome::Established
            && sighting.row.count > 0
            && !sighting.row.predates_window;
        countable
            && others.all(|party| {
                let Party::Pod(pod) = party else { return false };
                let node = pod.node.as_deref().filter(|_| !pod.host_network);
                node.is_some_and(|node| self.resolver.saw_all(node, sighting.aligned))
            })
    }

    /// Adds an edge between the two ends of a sighting, client first.
    fn add_pair(
        &self,
        sighting: &Sighting<'_>,
        (from, client): (Identity, Endpoint),
        (to, server): (Identity, Endpoint),
        translated: BTreeSet<Translation>,
        collector: &mut Collector,
    ) {
        let (near, far) = (
            (&sighting.local, sighting.row.local_ip),
            (&sighting.remote, sighting.row.remote_ip),
        );
        let ((client_party, _), (server_party, address)) = if sighting.is_server() { (far, near) } else { (near, far) };
        let own_node = same_node(client_party, server_party);
        let from = role::client(from, server_party, own_node, sighting.port);
        let mut to = role::server(to, address, sighting.port, &self.api_server);
        if sighting.redirected {
            to.role = Some(Role::Redirected);
        }
        let asked = sighting.services.iter().filter(|_| sighting.met_server);
        collector.add(
            sighting,
            Contribution {
                key: edge_key(sighting, from, to, sighting.port),
                count: sighting.row.count,
                pair: (client, server),
                services: asked.map(service_use).collect(),
                rivalled: false,
                node_port: None,
                translated,
                port_name: port_name(server_party, sighting.port, sighting.protocol()),
                assumed: sighting.supposed,
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

/// Who it was that a server saw at the address of a node, and what the node did to that client's own: the node itself stands
/// for clients that it translated, because to the server's node the packets came from it.
fn client_at_node(met: &Met<'_>, node: Identity, server: &Party<'_>) -> (Identity, BTreeSet<Translation>) {
    if !met.translated {
        return (met.party.identity().unwrap_or(node), BTreeSet::new());
    }
    let to_itself = match (&met.party, server) {
        (Party::Pod(client), Party::Pod(server)) => client.uid == server.uid,
        (
            Party::Pod(_) | Party::Node(_) | Party::External(..) | Party::Loopback | Party::Group | Party::Unknown(..),
            _,
        ) => false,
    };
    let translation = if to_itself {
        Translation::Hairpin
    } else {
        Translation::Source
    };
    (node, [translation].into())
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
        Party::Node(_) | Party::External(..) | Party::Loopback | Party::Group | Party::Unknown(..) => None,
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
        Party::Pod(_) | Party::Node(_) | Party::External(..) | Party::Unknown(..) => return false,
    };
    // Both ends of such traffic are sockets of one host; the client's count stands for both.
    if !sighting.is_server() {
        *counter = counter.saturating_add(sighting.row.count);
    }
    true
}

/// That one side counted connections that the other did not.
fn report_disagreement(sighting: &Sighting<'_>, from: &Identity, to: &Identity, findings: &mut Findings) {
    let peer = |identity: &Identity| Peer {
        identity: identity.clone(),
        role: None,
    };
    let (here, there) = if sighting.is_server() {
        ("server", "client")
    } else {
        ("client", "server")
    };
    let (port, protocol) = (sighting.port, sighting.protocol());
    let message = format!(
        "{} -> {} {port}/{protocol}: the {here} counted connections that the recorded {there} did not",
        peer(from),
        peer(to)
    );
    sighting.report(Code::ViewsDisagree, message, findings);
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
