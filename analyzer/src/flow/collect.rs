//! Sightings of the same edge become one edge with evidence.

use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::node::Outcome;
use flowtape_schemas::time::Time;

use super::Ignored;
use super::edge::{Edge, EdgeKey, Endpoint, Evidence, ServiceUse, Side, Translation, Transport};
use super::sighting::Sighting;
use crate::findings::Samples;

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
    edges: BTreeMap<EdgeKey, Sum>,
    pub(super) ignored: Ignored,
    /// Whether single operations may tell more than counts did.
    pub(super) open: bool,
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
    seen_by: BTreeSet<Side>,
    predates_window: bool,
    confirmed: bool,
    nodes: BTreeSet<String>,
    services: BTreeSet<ServiceUse>,
    /// Those that nothing else explains as well.
    certain: BTreeSet<ServiceUse>,
    node_ports: BTreeSet<u16>,
    translated: BTreeSet<Translation>,
    port_names: BTreeSet<String>,
    pairs: BTreeSet<(Endpoint, Endpoint)>,
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
            seen_by: BTreeSet::new(),
            predates_window: false,
            confirmed: false,
            nodes: BTreeSet::new(),
            services: BTreeSet::new(),
            certain: BTreeSet::new(),
            node_ports: BTreeSet::new(),
            translated: BTreeSet::new(),
            port_names: BTreeSet::new(),
            pairs: BTreeSet::new(),
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
        let sum = self.edges.entry(key).or_default();
        if sighting.is_of_connected_sockets() {
            sum.connected = Some(sum.connected.unwrap_or(0).saturating_add(count));
        } else {
            sum.unconnected = true;
        }
        if sighting.is_server() {
            sum.server_count = sum.server_count.saturating_add(count);
            sum.seen_by.insert(Side::Server);
        } else {
            sum.client_count = sum.client_count.saturating_add(count);
            sum.seen_by.insert(Side::Client);
        }
        sum.first_seen = sum.first_seen.min(sighting.aligned.first);
        sum.last_seen = sum.last_seen.max(sighting.aligned.last);
        sum.predates_window |= sighting.row.predates_window;
        sum.confirmed |= !assumed;
        sum.nodes.insert(sighting.node.to_owned());
        sum.certain.extend(services.iter().filter(|_| !rivalled).cloned());
        sum.services.extend(services);
        sum.node_ports.extend(node_port);
        sum.translated.extend(translated);
        sum.port_names.extend(port_name);
        sum.pairs.insert(pair);
        sum.samples.add(sighting.node, sighting.recorded);
    }

    /// Notes that the server saw these edges as well, whose counts and times the clients' views have. Does nothing unless
    /// all of them are there.
    pub(super) fn witness(&mut self, sighting: &Sighting<'_>, edges: &[EdgeKey], port_name: Option<&str>) -> bool {
        let known = edges.iter().all(|key| self.edges.contains_key(key));
        for key in edges.iter().filter(|_| known) {
            if let Some(sum) = self.edges.get_mut(key) {
                sum.seen_by.insert(Side::Server);
                sum.confirmed = true;
                sum.nodes.insert(sighting.node.to_owned());
                sum.port_names.extend(port_name.map(str::to_owned));
                sum.samples.add(sighting.node, sighting.recorded);
            }
        }
        known
    }

    /// The edges, by key.
    pub(super) fn finish(mut self) -> (Vec<Edge>, Ignored) {
        self.judge_connected();
        self.confirm_datagrams();
        let edge = |(key, sum): (EdgeKey, Sum)| Edge {
            key,
            evidence: sum.evidence(),
        };
        (self.edges.into_iter().map(edge).collect(), self.ignored)
    }

    /// A connected socket learns of errors: its datagrams without any arrived. Where the edge had errors, each refusal
    /// answers one datagram; what is left of them may have arrived or not.
    fn judge_connected(&mut self) {
        let datagrams = |key: &EdgeKey| key.protocol == Transport::UDP && key.outcome == Outcome::Unknown;
        let judged = self
            .edges
            .iter()
            .filter(|(key, sum)| datagrams(key) && sum.connected.is_some());
        let keys: Vec<EdgeKey> = judged.map(|(key, _)| key.clone()).collect();
        for key in keys {
            let ended = |outcome| EdgeKey { outcome, ..key.clone() };
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
        let unconfirmed = |key: &EdgeKey| key.protocol == Transport::UDP && key.outcome == Outcome::Unknown;
        let keys: Vec<EdgeKey> = self.edges.keys().filter(|key| unconfirmed(key)).cloned().collect();
        for key in keys {
            let established = EdgeKey {
                outcome: Outcome::Established,
                ..key.clone()
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
        self.seen_by.extend(seen_by);
        self.predates_window |= predates_window;
        self.confirmed |= confirmed;
        self.nodes.extend(nodes);
        self.services.extend(services);
        self.certain.extend(certain);
        self.node_ports.extend(node_ports);
        self.translated.extend(translated);
        self.port_names.extend(port_names);
        self.pairs.extend(pairs);
        self.samples.merge(&samples);
    }

    fn evidence(self) -> Evidence {
        let mut port_names = self.port_names.into_iter();
        // Pods that name the port differently leave no single name.
        let port_name = port_names.next().filter(|_| port_names.next().is_none());
        Evidence {
            count: self.client_count.max(self.server_count),
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            seen_by: self.seen_by,
            predates_window: self.predates_window,
            nodes: self.nodes,
            // Where the server is supposed, everything is.
            rivalled: if self.confirmed {
                self.services.difference(&self.certain).cloned().collect()
            } else {
                BTreeSet::new()
            },
            services: self.services,
            node_ports: self.node_ports,
            translated: self.translated,
            port_name,
            assumed: !self.confirmed,
            pairs: self.pairs,
            samples: self.samples,
        }
    }
}
