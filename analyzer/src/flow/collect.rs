//! Sightings of the same edge become one edge with evidence.

use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::node::{FlowRow, Outcome};
use flowtape_schemas::time::Time;
use rayon::iter::{IndexedParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _};
use rayon::slice::{ParallelSlice as _, ParallelSliceMut as _};

use super::Ignored;
use super::edge::{Edge, Evidence, Peer, ServiceUse, Side, Translation, Transport};
use super::end::{EndpointRef, Key, PeerRef};
use super::sighting::Sighting;
use crate::findings::Samples;
use crate::identity::resolve::Resolver;
use crate::identity::service::ServiceHit;
use crate::sorted::Gathered;

/// What one sighting contributes to an edge.
pub(super) struct Contribution<'a> {
    /// What was seen.
    pub(super) sighting: &'a Sighting<'a>,
    /// Which edge.
    pub(super) key: Key<PeerRef<'a>>,
    /// What it says of it.
    pub(super) said: Said<'a>,
}

/// What a sighting says of an edge.
pub(super) enum Said<'a> {
    /// That it is there.
    Seen(Seen<'a>),
    /// That the server saw it as well, whose counts and times the clients' views have.
    Witnessed {
        /// The name of the server's port.
        port_name: Option<&'a str>,
    },
}

/// What was seen of an edge.
pub(super) struct Seen<'a> {
    /// Operations; 0 where they cannot be divided between several edges.
    pub(super) count: u64,
    /// The pods or addresses that talked.
    pub(super) pair: (EndpointRef<'a>, EndpointRef<'a>),
    /// The Services that the client addressed.
    pub(super) services: Vec<ServiceHit<'a>>,
    /// Whether that it went through them is supposed, because something else explains the server's view as well.
    pub(super) rivalled: bool,
    /// The port of a node through which it did.
    pub(super) node_port: Option<u16>,
    /// What a node did to the addresses.
    pub(super) translated: BTreeSet<Translation>,
    /// The name of the server's port.
    pub(super) port_name: Option<&'a str>,
    /// Whether the server was supposed, not seen.
    pub(super) assumed: bool,
}

/// Collects contributions. They are added up with addition, minimum, maximum and union only: the order of the input leaves
/// no trace.
#[derive(Default)]
pub(super) struct Collector<'a> {
    contributions: Vec<Contribution<'a>>,
    pub(super) ignored: Ignored,
    /// Whether single operations may tell more than counts did.
    pub(super) open: bool,
}

impl<'a> Collector<'a> {
    /// Adds what one sighting says.
    pub(super) fn add(&mut self, contribution: Contribution<'a>) {
        self.contributions.push(contribution);
    }

    /// Adds what was collected elsewhere.
    pub(super) fn absorb(&mut self, other: Self) {
        let Self {
            contributions,
            ignored,
            open,
        } = other;
        self.contributions.extend(contributions);
        self.ignored.absorb(ignored);
        self.open |= open;
    }

    /// What was contributed until now.
    pub(super) fn contributions(&self) -> impl Iterator<Item = &Contribution<'a>> {
        self.contributions.iter()
    }

    /// The edges, by key. Peers are put in order once, so that edges are in order by the places of theirs.
    pub(super) fn edges(&self, resolver: &Resolver<'_>) -> Vec<Edge> {
        let ends = self.contributions.par_iter();
        let ends = ends.flat_map_iter(|one| [one.key.from, one.key.to]);
        let mut peers: Vec<PeerRef<'a>> = ends.collect();
        peers.par_sort_unstable();
        peers.dedup();
        let place = |peer: PeerRef<'a>| peers.partition_point(|known| *known < peer);
        let keys = self.contributions.par_iter().enumerate();
        let mut order: Vec<(Key<usize>, usize)> = keys.map(|(at, one)| (one.key.map(place), at)).collect();
        order.par_sort_unstable();
        let named: Vec<Peer> = peers.par_iter().map(|peer| peer.named(resolver)).collect();
        let attempts = order.par_chunk_by(|(a, _), (b, _)| a.attempt() == b.attempt());
        let edges = attempts.flat_map_iter(|attempts| self.of_attempts(attempts, &named));
        edges.collect()
    }

    /// The edges between two peers on one port, by how the attempts ended.
    fn of_attempts(&self, attempts: &[(Key<usize>, usize)], peers: &[Peer]) -> Vec<Edge> {
        let Some((key, _)) = attempts.first() else {
            return Vec::new();
        };
        let ended_alike = attempts.chunk_by(|(a, _), (b, _)| a.outcome == b.outcome);
        let sum = |alike: &[(Key<usize>, usize)]| {
            let mut sum = Sum::default();
            for (_, at) in alike {
                sum.add(&self.contributions[*at]);
            }
            Some((alike.first()?.0.outcome, sum))
        };
        let sums = ended_alike.filter_map(sum);
        let edge = |(outcome, sum): (Outcome, Sum<'a>)| Edge {
            key: Key { outcome, ..*key }.map(|peer| peers[peer].clone()).into(),
            evidence: sum.evidence(),
        };
        if key.protocol != Transport::UDP {
            return sums.map(edge).collect();
        }
        let mut sums: BTreeMap<Outcome, Sum<'a>> = sums.collect();
        judge_connected(&mut sums);
        confirm_datagrams(&mut sums);
        sums.into_iter().map(edge).collect()
    }
}

/// A connected socket learns of errors: its datagrams without any arrived. Where the edge had errors, each refusal
/// answers one datagram; what is left of them may have arrived or not.
fn judge_connected(sums: &mut BTreeMap<Outcome, Sum<'_>>) {
    let Some(mut sum) = sums.remove(&Outcome::Unknown) else {
        return;
    };
    let Some(connected) = sum.connected else {
        sums.insert(Outcome::Unknown, sum);
        return;
    };
    let Some(refused) = sums.get_mut(&Outcome::Refused) else {
        sums.entry(Outcome::Established).or_default().absorb(sum);
        return;
    };
    let answered = connected.min(refused.client_count);
    sum.client_count = sum.client_count.saturating_sub(answered);
    if answered > 0 && sum.client_count == 0 && !sum.unconnected {
        refused.absorb(sum);
    } else {
        sums.insert(Outcome::Unknown, sum);
    }
}

/// A datagram that the server's socket received confirms the client's, which alone could not know.
fn confirm_datagrams(sums: &mut BTreeMap<Outcome, Sum<'_>>) {
    if sums.contains_key(&Outcome::Established)
        && let Some(unconfirmed) = sums.remove(&Outcome::Unknown)
        && let Some(established) = sums.get_mut(&Outcome::Established)
    {
        established.absorb(unconfirmed);
    }
}

/// What contributions to one edge come to.
struct Sum<'a> {
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
    nodes: Gathered<&'a str>,
    services: Gathered<ServiceHit<'a>>,
    /// Those that nothing else explains as well.
    certain: Gathered<ServiceHit<'a>>,
    node_ports: Gathered<u16>,
    translated: Gathered<Translation>,
    port_names: Gathered<&'a str>,
    pairs: Gathered<(EndpointRef<'a>, EndpointRef<'a>)>,
    rows: Vec<(&'a str, &'a FlowRow)>,
}

impl Default for Sum<'_> {
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
            rows: Vec::new(),
        }
    }
}

impl<'a> Sum<'a> {
    fn add(&mut self, contribution: &Contribution<'a>) {
        let Contribution { sighting, key: _, said } = contribution;
        self.nodes.add(sighting.node);
        self.rows.push((sighting.node, sighting.recorded));
        match said {
            Said::Seen(seen) => self.add_seen(sighting, seen),
            Said::Witnessed { port_name } => {
                self.seen_by.add(Side::Server);
                self.confirmed = true;
                self.port_names.add_all(*port_name);
            }
        }
    }

    fn add_seen(&mut self, sighting: &Sighting<'a>, seen: &Seen<'a>) {
        let Seen {
            count,
            pair,
            services,
            rivalled,
            node_port,
            translated,
            port_name,
            assumed,
        } = seen;
        if sighting.is_of_connected_sockets() {
            self.connected = Some(self.connected.unwrap_or(0).saturating_add(*count));
        } else {
            self.unconnected = true;
        }
        if sighting.is_server() {
            self.server_count = self.server_count.saturating_add(*count);
            self.seen_by.add(Side::Server);
        } else {
            self.client_count = self.client_count.saturating_add(*count);
            self.seen_by.add(Side::Client);
        }
        self.first_seen = self.first_seen.min(sighting.aligned.first);
        self.last_seen = self.last_seen.max(sighting.aligned.last);
        self.predates_window |= sighting.row.predates_window;
        self.confirmed |= !assumed;
        // It is one Service, whatever the name of its port.
        let unnamed = |hit: &ServiceHit<'a>| ServiceHit {
            port_name: None,
            ..*hit
        };
        self.certain.add_all(services.iter().filter(|_| !rivalled).map(unnamed));
        self.services.add_all(services.iter().map(unnamed));
        self.node_ports.add_all(*node_port);
        self.translated.add_all(translated.iter().copied());
        self.port_names.add_all(*port_name);
        self.pairs.add(*pair);
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
            rows,
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
        self.rows.extend(rows);
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
            rivalled: doubted.copied().map(ServiceUse::from).collect(),
            count: self.client_count.max(self.server_count),
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            seen_by: self.seen_by.sorted(),
            predates_window: self.predates_window,
            nodes: self.nodes.sorted().into_iter().map(str::to_owned).collect(),
            services: services.iter().copied().map(ServiceUse::from).collect(),
            node_ports: self.node_ports.sorted(),
            translated: self.translated.sorted(),
            port_name: port_name.map(str::to_owned),
            assumed: !self.confirmed,
            pairs: self
                .pairs
                .sorted()
                .into_iter()
                .map(|(client, server)| (client.named(), server.named()))
                .collect(),
            samples: Samples::of_rows(self.rows),
        }
    }
}
