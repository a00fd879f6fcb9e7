//! Sightings of the same edge become one edge with evidence.

use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::node::Outcome;
use flowtape_schemas::time::Time;

use super::Ignored;
use super::edge::{Edge, EdgeKey, Endpoint, Evidence, Peer, ServiceUse, Side, Translation, Transport};
use super::sighting::Sighting;
use crate::findings::Samples;
use crate::sorted::Gathered;

/// What one sighting contributes to an edge.
pub(super) struct Contribution {
    /// Which edge.
    pub(super) key: EdgeKey,
    /// Operations; 0 where they cannot be divided between several edges.
    pub(super) count: u64,
    /// The pods or addresses that talked.
    pub(super) pair: (Endpoint, Endpoint),
    /// The Services that the client addressed.
    pub(super) services: Vec<ServiceUse>,
    /// Whether that it went through them is supposed, because something else explains the server's view as well.
    pub(super) rivalled: bool,
    /// The port of a node through which it did.
    pub(super) node_port: Option<u16>,
    /// What a node did to the addresses.
    pub(super) translated: BTreeSet<Translation>,
    /// The name of the server's port.
    pub(super) port_name: Option<String>,
    /// Whether the server was supposed, not seen.
    pub(super) assumed: bool,
}

/// Adds up sightings. Addition, minimum, maximum and union only: the order of the input leaves no trace.
#[derive(Default)]
pub(super) struct Collector {
    /// Every peer of an edge, once, with its number.
    peers: BTreeMap<Peer, usize>,
    edges: BTreeMap<Key, Sum>,
    pub(super) ignored: Ignored,
    /// Whether single operations may tell more than counts did.
    pub(super) open: bool,
}

/// An edge's key with numbers in the place of its peers: an edge is looked up many times, and names take long to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    from: usize,
    to: usize,
    protocol: Transport,
    port: u16,
    outcome: Outcome,
}

struct Sum {
    client_count: u64,
    /// Datagrams among them that connected sockets sent, if any did; 0 where they cannot be divided.
    connected: Option<u64>,
    /// Whether it rests on anything else, too.
    unconnected: bool,
    server_count: u64,
    first_seen: Time,
    last_seen: Time,
    seen_by: Gathered<Side>,
    predates_window: bool,
    confirmed: bool,
    nodes: Gathered<String>,
    services: Gathered<ServiceUse>,
    /// Those that nothing else explains as well.
    certain: Gathered<ServiceUse>,
    node_ports: Gathered<u16>,
    translated: Gathered<Translation>,
    port_names: Gathered<String>,
    pairs: Gathered<(Endpoint, Endpoint)>,
    samples: Samples,
}

impl Default for Sum {
    fn default() -> Self {
        Self {
            client_count: 0,
            connected: None,
            unconnected: false,
            server_count: 0,
            first_seen: Time::MAX,
            last_seen: Time::MIN,
            seen_by: Gathered::default(),
            predates_window: false,
            confirmed: false,
            nodes: Gathered::default(),
            services: Gathered::default(),
            certain: Gathered::default(),
            node_ports: Gathered::default(),
            translated: Gathered::default(),
            port_names: Gathered::default(),
            pairs: Gathered::default(),
            samples: Samples::default(),
        }
    }
}

impl Collector {
    /// Adds what one sighting says.
    pub(super) fn add(&mut self, sighting: &Sighting<'_>, contribution: Contribution) {
        let Contribution {
            key,
            count,
            pair,
            services,
            rivalled,
            node_port,
            translated,
            port_name,
            assumed,
        } = contribution;
        let EdgeKey {
            from,
            to,
            protocol,
            port,
            outcome,
        } = key;
        let key = Key {
            from: self.number(from),
            to: self.number(to),
            protocol,
            port,
            outcome,
        };
        let sum = self.edges.entry(key).or_default();
        if sighting.is_of_connected_sockets() {
            sum.connected = Some(sum.connected.unwrap_or(0).saturating_add(count));
        } else {
            sum.unconnected = true;
        }
        if sighting.is_server() {
            sum.server_count = sum.server_count.saturating_add(count);
            sum.seen_by.add(Side::Server);
        } else {
            sum.client_count = sum.client_count.saturating_add(count);
            sum.seen_by.add(Side::Client);
        }
        sum.first_seen = sum.first_seen.min(sighting.aligned.first);
        sum.last_seen = sum.last_seen.max(sighting.aligned.last);
        sum.predates_window |= sighting.row.predates_window;
        sum.confirmed |= !assumed;
        sum.add_node(sighting.node);
        sum.certain.add_all(services.iter().filter(|_| !rivalled).cloned());
        sum.services.add_all(services);
        sum.node_ports.add_all(node_port);
        sum.translated.add_all(translated);
        sum.port_names.add_all(port_name);
        sum.pairs.add(pair);
        sum.samples.add(sighting.node, sighting.recorded);
    }

    /// The number of a peer, a new one if it has none.
    fn number(&mut self, peer: Peer) -> usize {
        let next = self.peers.len();
        *self.peers.entry(peer).or_insert(next)
    }

    /// The key of an edge in numbers, if its peers have any.
    fn known(&self, key: &EdgeKey) -> Option<Key> {
        let EdgeKey {
            from,
            to,
            protocol,
            port,
            outcome,
        } = key;
        Some(Key {
            from: *self.peers.get(from)?,
            to: *self.peers.get(to)?,
            protocol: *protocol,
            port: *port,
            outcome: *outcome,
        })
    }

    /// Notes that the server saw these edges as well, whose counts and times the clients' views have. Does nothing unless
    /// all of them are there.
    pub(super) fn witness(&mut self, sighting: &Sighting<'_>, edges: &[EdgeKey], port_name: Option<&str>) -> bool {
        let keys: Option<Vec<Key>> = edges.iter().map(|key| self.known(key)).collect();
        let Some(keys) = keys.filter(|keys| keys.iter().all(|key| self.edges.contains_key(key))) else {
            return false;
        };
        for key in keys {
            if let Some(sum) = self.edges.get_mut(&key) {
                sum.seen_by.add(Side::Server);
                sum.confirmed = true;
                sum.add_node(sighting.node);
                sum.port_names.add_all(port_name.map(str::to_owned));
                sum.samples.add(sighting.node, sighting.recorded);
            }
        }
        true
    }

    /// The edges, by key.
    pub(super) fn finish(mut self) -> (Vec<Edge>, Ignored) {
        self.judge_connected();
        self.confirm_datagrams();
        // In the order of the peers and not of their numbers, which they have as they came.
        let mut places = vec![0; self.peers.len()];
        for (place, number) in self.peers.values().enumerate() {
            places[*number] = place;
        }
        let peers: Vec<Peer> = self.peers.into_keys().collect();
        let in_order = |(key, sum): (Key, Sum)| {
            let (from, to) = (places[key.from], places[key.to]);
            (Key { from, to, ..key }, sum)
        };
        let mut edges: Vec<(Key, Sum)> = self.edges.into_iter().map(in_order).collect();
        edges.sort_unstable_by_key(|(key, _)| *key);
        let edge = |(key, sum): (Key, Sum)| Edge {
            key: EdgeKey {
                from: peers[key.from].clone(),
                to: peers[key.to].clone(),
                protocol: key.protocol,
                port: key.port,
                outcome: key.outcome,
            },
            evidence: sum.evidence(),
        };
        (edges.into_iter().map(edge).collect(), self.ignored)
    }

    /// A connected socket learns of errors: its datagrams without any arrived. Where the edge had errors, each refusal
    /// answers one datagram; what is left of them may have arrived or not.
    fn judge_connected(&mut self) {
        let datagrams = |key: &Key| key.protocol == Transport::UDP && key.outcome == Outcome::Unknown;
        let judged = self
            .edges
            .iter()
            .filter(|(key, sum)| datagrams(key) && sum.connected.is_some());
        let keys: Vec<Key> = judged.map(|(key, _)| *key).collect();
        for key in keys {
            let ended = |outcome| Key { outcome, ..key };
            let Some(mut sum) = self.edges.remove(&key) else {
                continue;
            };
            let Some(refused) = self.edges.get_mut(&ended(Outcome::Refused)) else {
                self.edges.entry(ended(Outcome::Established)).or_default().absorb(sum);
                continue;
            };
            let answered = sum.connected.unwrap_or(0).min(refused.client_count);
            sum.client_count = sum.client_count.saturating_sub(answered);
            if answered > 0 && sum.client_count == 0 && !sum.unconnected {
                refused.absorb(sum);
            } else {
                self.edges.insert(key, sum);
            }
        }
    }

    /// A datagram that the server's socket received confirms the client's, which alone could not know.
    fn confirm_datagrams(&mut self) {
        let unconfirmed = |key: &Key| key.protocol == Transport::UDP && key.outcome == Outcome::Unknown;
        let keys: Vec<Key> = self.edges.keys().filter(|key| unconfirmed(key)).copied().collect();
        for key in keys {
            let established = Key {
                outcome: Outcome::Established,
                ..key
            };
            if self.edges.contains_key(&established)
                && let Some(sum) = self.edges.remove(&key)
                && let Some(into) = self.edges.get_mut(&established)
            {
                into.absorb(sum);
            }
        }
    }
}

impl Sum {
    fn add_node(&mut self, node: &str) {
        if self.nodes.last().is_none_or(|last| last != node) {
            self.nodes.add(node.to_owned());
        }
    }

    fn absorb(&mut self, other: Self) {
        let Self {
            client_count,
            connected,
            unconnected,
            server_count,
            first_seen,
            last_seen,
            seen_by,
            ..
        } = other;
        let Self {
            predates_window,
            confirmed,
            nodes,
            services,
            certain,
            node_ports,
            translated,
            port_names,
            pairs,
            samples,
            ..
        } = other;
        self.client_count = self.client_count.saturating_add(client_count);
        let both = [self.connected, connected].into_iter().flatten();
        self.connected = both.reduce(u64::saturating_add);
        self.unconnected |= unconnected;
        self.server_count = self.server_count.saturating_add(server_count);
        self.first_seen = self.first_seen.min(first_seen);
        self.last_seen = self.last_seen.max(last_seen);
        self.seen_by.add_all(seen_by);
        self.predates_window |= predates_window;
        self.confirmed |= confirmed;
        self.nodes.add_all(nodes);
        self.services.add_all(services);
        self.certain.add_all(certain);
        self.node_ports.add_all(node_ports);
        self.translated.add_all(translated);
        self.port_names.add_all(port_names);
        self.pairs.add_all(pairs);
        self.samples.merge(&samples);
    }

    fn evidence(self) -> Evidence {
        let mut port_names = self.port_names.sorted().into_iter();
        // Pods that name the port differently leave no single name.
        let port_name = port_names.next().filter(|_| port_names.next().is_none());
        let (services, certain) = (self.services.sorted(), self.certain.sorted());
        // Where the server is supposed, everything is.
        let doubted = services
            .iter()
            .filter(|service| self.confirmed && !certain.contains(service));
        Evidence {
            rivalled: doubted.cloned().collect(),
            count: self.client_count.max(self.server_count),
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            seen_by: self.seen_by.sorted(),
            predates_window: self.predates_window,
            nodes: self.nodes.sorted(),
            services,
            node_ports: self.node_ports.sorted(),
            translated: self.translated.sorted(),
            port_name,
            assumed: !self.confirmed,
            pairs: self.pairs.sorted(),
            samples: self.samples,
        }
    }
}
