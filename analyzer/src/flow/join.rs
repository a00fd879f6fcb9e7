//! The client's and the server's view of the same traffic, joined.

mod candidate;
mod doubt;
mod hosts;
mod joined;
mod met;
mod pair;
mod part;
mod question;
mod served;
mod through;
mod timed;

use std::collections::BTreeSet;

use doubt::Asks;
use flowtape_schemas::node::Outcome;
use hosts::{HostClients, HostKey, Place};
use joined::{Joined, Told, side_by_side};
pub(super) use met::{Met, introduce};
pub use part::Divided;
pub(super) use part::{Partners, divide};
pub use question::Questions;
pub(super) use question::questions;
use served::Served;

use super::collect::{Collector, Contribution, Said, Seen};
use super::edge::{Translation, Transport};
use super::end::{EndpointRef, IdentityRef, Key, PeerRef};
use super::host::{HostServers, host_servers, node_of, same_node};
use super::role::{self, ApiServer};
use super::sighting::{Sighting, endpoint, server_endpoint};
use crate::findings::{Code, Findings};
use crate::identity::Role;
use crate::identity::cluster::Cluster;
use crate::identity::published::{PublishedPort, published};
use crate::identity::resolve::{Party, Resolver};

/// What both views are looked up by.
struct Views<'a> {
    cluster: &'a Cluster,
    resolver: &'a Resolver<'a>,
    api_server: ApiServer,
    served: Served<'a>,
    /// What clients asked for.
    asks: Asks<'a>,
    /// Where nodes lead clients of outside.
    published: BTreeSet<PublishedPort>,
    /// Workloads on the network of a node that connected to a server.
    host_clients: HostClients<'a>,
    /// Workloads on the network of a node that served a port, by node, protocol and port.
    host_servers: HostServers<'a>,
}

/// Turns sightings into edges: first the views of clients, side by side, and then those of servers, which depend on them.
pub(super) fn join<'a>(
    sightings: &'a [Sighting<'a>],
    resolver: &'a Resolver<'a>,
    cluster: &'a Cluster,
    findings: &mut Findings,
) -> Collector<'a> {
    let views = Views::new(sightings, resolver, cluster);
    let mut clients = side_by_side(sightings, false, |sighting, joined| {
        if sighting.services.is_empty() || sighting.met_server {
            views.direct_view(sighting, joined);
        } else {
            views.service_view(sighting, joined);
        }
    });
    let told = Told::by(&mut clients);
    let servers = side_by_side(sightings, true, |sighting, joined| {
        views.server_view(sighting, &told, joined);
    });
    clients.absorb(servers);
    findings.absorb(clients.findings);
    clients.collector
}

impl<'a> Views<'a> {
    fn new(sightings: &'a [Sighting<'a>], resolver: &'a Resolver<'a>, cluster: &'a Cluster) -> Self {
        let mut views = Self {
            cluster,
            resolver,
            api_server: cluster.services.api_endpoints(),
            served: Served::new(sightings),
            asks: Asks::new(sightings),
            published: published(cluster),
            host_clients: HostClients::default(),
            host_servers: host_servers(sightings, cluster),
        };
        views.host_clients = HostClients::new(sightings, &views);
        views
    }

    fn server_view(&self, sighting: &'a Sighting<'a>, told: &Told<'a>, joined: &mut Joined<'a>) {
        let row = &sighting.row;
        let (client, server) = (endpoint(sighting.remote, row, false), server_endpoint(sighting));
        if ignored(sighting, client, server, &mut joined.collector) {
            return;
        }
        let (Some(mut from), Some(to)) = (IdentityRef::of(sighting.remote), IdentityRef::of(sighting.local)) else {
            return;
        };
        let mut translated = BTreeSet::new();
        if let Party::Node(node) = sighting.remote {
            let place = Place::of_server(sighting);
            let key = (node, place, sighting.protocol(), sighting.port);
            if let Some(met) = &sighting.met {
                (from, translated) = client_at_node(met, from, sighting.local);
            } else {
                if self.are_witnessed(sighting, &key, to, told, &mut joined.collector) {
                    return;
                }
                joined.collector.open |= self.is_open_to_server(sighting);
                // Only a single candidate is an answer.
                if let Some(only) = self.host_clients.only(&key) {
                    from = only;
                }
                translated = told.translated.get(&key).cloned().unwrap_or_default();
            }
        }
        let key = (client, server, sighting.protocol(), sighting.port);
        let counted = sighting.met.is_some()
            || told.asked.binary_search(&key).is_ok()
            || !self.must_have_counted(sighting, std::iter::once(sighting.remote));
        if !counted {
            self.report_disagreement(sighting, from, to, &mut joined.findings);
        }
        self.add_pair(
            sighting,
            (from, client),
            (to, server),
            translated,
            &mut joined.collector,
        );
    }

    /// Whether all that a server saw of a node is what several clients there say, which then are what it saw.
    fn are_witnessed(
        &self,
        sighting: &'a Sighting<'a>,
        key: &HostKey<'a>,
        to: IdentityRef<'a>,
        told: &Told<'a>,
        collector: &mut Collector<'a>,
    ) -> bool {
        let Some(clients) = self
            .host_clients
            .all_seen(key, sighting)
            .filter(|_| self.host_clients.several(key))
        else {
            return false;
        };
        let own_node = same_node(sighting.remote, sighting.local);
        let to = role::server(to, sighting.row.local_ip, sighting.port, &self.api_server);
        let edge = |from: IdentityRef<'a>| {
            let from = role::client(from, sighting.local, own_node, sighting.port);
            edge_key(sighting, from, to, sighting.port)
        };
        let edges: Vec<Key<PeerRef<'a>>> = clients.map(edge).collect();
        if !edges.iter().all(|key| told.of_hosts.contains(key)) {
            return false;
        }
        let port_name = port_name(sighting.local, sighting.port, sighting.protocol());
        for key in edges {
            let said = Said::Witnessed { port_name };
            collector.add(Contribution { sighting, key, said });
        }
        true
    }

    fn direct_view(&self, sighting: &'a Sighting<'a>, joined: &mut Joined<'a>) {
        let row = &sighting.row;
        let (client, server) = (endpoint(sighting.local, row, true), server_endpoint(sighting));
        if ignored(sighting, client, server, &mut joined.collector) {
            return;
        }
        let (Some(from), Some(to)) = (IdentityRef::of(sighting.local), IdentityRef::of(sighting.remote)) else {
            return;
        };
        let to = self.host_server(to, sighting.protocol(), sighting.port);
        let key = (client, server, sighting.protocol(), sighting.port);
        let mut translated = BTreeSet::new();
        let place = Place::of_server(sighting);
        if !self.served.itself(&key, place, sighting)
            && self.must_have_counted(sighting, std::iter::once(sighting.remote))
        {
            let by_node = node_of(sighting.local).map(|node| (node, place, key.2, key.3));
            match by_node.filter(|key| self.served.host(key, sighting)) {
                Some(key) => {
                    translated.insert(Translation::Source);
                    if self.host_clients.none(&key) {
                        joined.translated.entry(key).or_default().insert(Translation::Source);
                    }
                }
                None => self.report_disagreement(sighting, from, to, &mut joined.findings),
            }
        }
        joined.asked.push(key);
        self.add_pair(
            sighting,
            (from, client),
            (to, server),
            translated,
            &mut joined.collector,
        );
    }

    /// Whether connections that one side counted were counted by the other, too, unless the recording is wrong somewhere:
    /// they were established, and each party at the other side is a pod of a node whose recording is whole at that time.
    fn must_have_counted<'p>(&self, sighting: &Sighting<'_>, mut others: impl Iterator<Item = Party<'p>>) -> bool {
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
        sighting: &'a Sighting<'a>,
        (from, client): (IdentityRef<'a>, EndpointRef<'a>),
        (to, server): (IdentityRef<'a>, EndpointRef<'a>),
        translated: BTreeSet<Translation>,
        collector: &mut Collector<'a>,
    ) {
        let (near, far) = (
            (sighting.local, sighting.row.local_ip),
            (sighting.remote, sighting.row.remote_ip),
        );
        let ((client_party, _), (server_party, address)) = if sighting.is_server() { (far, near) } else { (near, far) };
        let own_node = same_node(client_party, server_party);
        let from = role::client(from, server_party, own_node, sighting.port);
        let mut to = role::server(to, address, sighting.port, &self.api_server);
        if sighting.redirected {
            to.role = Some(Role::Redirected);
        }
        let asked = sighting.services.iter().filter(|_| sighting.met_server);
        let seen = Seen {
            count: sighting.row.count,
            pair: (client, server),
            services: asked.copied().collect(),
            rivalled: false,
            node_port: None,
            translated,
            port_name: port_name(server_party, sighting.port, sighting.protocol()),
            assumed: sighting.supposed,
        };
        collector.add(Contribution {
            sighting,
            key: edge_key(sighting, from, to, sighting.port),
            said: Said::Seen(seen),
        });
    }

    /// The workload on a node's network that serves this port, where there is exactly one.
    fn host_server(&self, to: IdentityRef<'a>, protocol: Transport, port: u16) -> IdentityRef<'a> {
        let IdentityRef::Node(name) = to else { return to };
        let servers = self.host_servers.get(&(name, protocol, port));
        let mut servers = servers.into_iter().flatten();
        match (servers.next(), servers.next()) {
            (Some(only), None) => IdentityRef::Workload(*only),
            (None | Some(_), _) => to,
        }
    }

    /// That one side counted connections that the other did not.
    fn report_disagreement(
        &self,
        sighting: &Sighting<'_>,
        from: IdentityRef<'_>,
        to: IdentityRef<'_>,
        findings: &mut Findings,
    ) {
        let peer = |identity| PeerRef { identity, role: None }.named(self.resolver);
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
}

/// Who it was that a server saw at the address of a node, and what the node did to that client's own: the node itself stands
/// for clients that it translated, because to the server's node the packets came from it.
fn client_at_node<'a>(
    met: &Met<'a>,
    node: IdentityRef<'a>,
    server: Party<'_>,
) -> (IdentityRef<'a>, BTreeSet<Translation>) {
    if !met.translated {
        return (IdentityRef::of(met.party).unwrap_or(node), BTreeSet::new());
    }
    let to_itself = match (met.party, server) {
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

fn edge_key<'a>(sighting: &Sighting<'_>, from: PeerRef<'a>, to: PeerRef<'a>, port: u16) -> Key<PeerRef<'a>> {
    Key {
        from,
        to,
        protocol: sighting.protocol(),
        port,
        outcome: sighting.outcome(),
    }
}

fn port_name(party: Party<'_>, port: u16, protocol: Transport) -> Option<&str> {
    match party {
        Party::Pod(pod) => pod.port_name(port, &protocol.name()),
        Party::Node(_) | Party::External(..) | Party::Loopback | Party::Group | Party::Unknown(..) => None,
    }
}

/// Counts and leaves out what no policy governs.
fn ignored(
    sighting: &Sighting<'_>,
    client: EndpointRef<'_>,
    server: EndpointRef<'_>,
    collector: &mut Collector<'_>,
) -> bool {
    let same = client == server && client != EndpointRef::Unknown;
    let counter = match sighting.remote {
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
