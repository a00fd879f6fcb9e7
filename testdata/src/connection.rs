//! The single connections and datagrams of a scenario, each with the addresses that both of its sides saw.
//!
//! Translation of addresses follows kube-proxy (iptables and nftables modes, Kubernetes 1.36): a cluster address is
//! translated on the client's node and the client's address kept, except for a pod that reaches itself; a node port,
//! load balancer or external address is translated on the node it arrives at, which puts its own address in the
//! client's place unless `externalTrafficPolicy` is `Local`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::layout::Layout;
use crate::model::{Client, Offset, Outcome, Protocol, Scenario, Traffic};
use crate::problem::{Problem, Problems};

mod client;
mod server;

/// Address and port.
pub type Endpoint = (IpAddr, u16);

/// First port that Linux gives to clients (`net.ipv4.ip_local_port_range`).
const FIRST_EPHEMERAL: u16 = 32_768;

/// Last port that Linux gives to clients.
const LAST_EPHEMERAL: u16 = 60_999;

/// First port that netfilter chooses among where it does not keep the client's (`nf_nat_l4proto_unique_tuple` of
/// `net/netfilter/nf_nat_core.c`, Linux 6.12).
const FIRST_CHOSEN: u16 = 1024;

/// One TCP connection or UDP datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The line it comes from: place in [`Scenario::traffic`].
    pub traffic: usize,
    /// Its place among the connections of that line, from 0.
    pub nth: u32,
    /// When it was made.
    pub at: Offset,
    /// Protocol.
    pub protocol: Protocol,
    /// What became of it.
    pub outcome: Outcome,
    /// Whether it was there before the window.
    pub predates: bool,
    /// The client's own view of its address.
    pub client: Endpoint,
    /// What the client asked for.
    pub dialed: Endpoint,
    /// Where that led: differs from `dialed` if an address was translated.
    pub backend: Endpoint,
    /// The server's view of the client.
    pub source: Endpoint,
    /// Whose socket the client's is; none outside the cluster.
    pub client_socket: Option<Socket>,
    /// Whose socket the server's is; none outside the cluster, and none if nobody took the connection.
    pub server_socket: Option<Socket>,
}

/// Whose socket it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Socket {
    /// Node: place in [`Scenario::nodes`].
    pub node: usize,
    /// Pod: place in [`Layout::pods`]; none for a process of the node itself.
    pub pod: Option<usize>,
}

/// All connections of a scenario, line by line.
pub fn connections(scenario: &Scenario, layout: &Layout) -> Result<Vec<Connection>, Problems> {
    let (connections, problems) = resolve(scenario, layout);
    if problems.is_empty() {
        return Ok(connections);
    }
    Err(Problems(problems))
}

/// A port that somebody waits at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// Whose socket it is.
    pub socket: Socket,
    /// Protocol.
    pub protocol: Protocol,
    /// Port.
    pub port: u16,
}

/// Who waits where: at every port that some traffic reaches, and at every declared container port that no traffic
/// finds closed.
#[must_use]
pub fn listeners(scenario: &Scenario, layout: &Layout, connections: &[Connection]) -> BTreeSet<Listener> {
    let mut listeners = BTreeSet::new();
    for (place, pod) in layout.pods.iter().enumerate() {
        let ports = scenario
            .workloads
            .get(pod.workload)
            .map(|workload| workload.ports.as_slice());
        listeners.extend(ports.unwrap_or_default().iter().map(|port| Listener {
            socket: Socket {
                node: pod.node,
                pod: Some(place),
            },
            protocol: port.protocol,
            port: port.port,
        }));
    }
    for refused in connections
        .iter()
        .filter(|connection| connection.outcome == Outcome::Refused)
    {
        listeners.retain(|listener| {
            let here = listener.socket.pod.and_then(|pod| layout.pods.get(pod));
            let reached = here.is_some_and(|pod| pod.addresses.contains(&refused.backend.0));
            !(reached && listener.port == refused.backend.1 && listener.protocol == refused.protocol)
        });
    }
    listeners.extend(connections.iter().filter_map(|connection| {
        Some(Listener {
            socket: connection.server_socket?,
            protocol: connection.protocol,
            port: connection.backend.1,
        })
    }));
    listeners
}

/// Where else a connection could have led, had another backend's turn come: each place with the server's view of the
/// client. A live cluster shares the turns between all clients of a node, so that it can take any of them.
#[must_use]
pub fn alternatives(scenario: &Scenario, layout: &Layout, connection: &Connection) -> BTreeSet<(Endpoint, IpAddr)> {
    let Some(traffic) = scenario.traffic.get(connection.traffic) else {
        return BTreeSet::new();
    };
    // No Service has more backends than there are pods and listed endpoints.
    let listed = scenario
        .services
        .iter()
        .map(|service| service.endpoints.len())
        .sum::<usize>();
    let turns = u32::try_from(layout.pods.len() + listed).unwrap_or(u32::MAX).max(1);
    let answer = |turn: u32| {
        let question = Question {
            scenario,
            layout,
            traffic,
            nth: connection.nth,
            turn: Some(turn),
            at: connection.at,
        };
        let answer = question.answer(connection.traffic, &mut Ports::default()).ok()?;
        Some((answer.backend, answer.source.0))
    };
    (0..turns).filter_map(answer).collect()
}

/// Resolves as much as possible; a line that fails is reported once.
pub(crate) fn resolve(scenario: &Scenario, layout: &Layout) -> (Vec<Connection>, Vec<Problem>) {
    let mut connections = Vec::new();
    let mut problems = Vec::new();
    let mut ports = Ports::default();
    for (place, traffic) in scenario.traffic.iter().enumerate() {
        for nth in 0..traffic.count {
            let question = Question {
                scenario,
                layout,
                traffic,
                nth,
                turn: None,
                at: instant(traffic, nth),
            };
            match question.answer(place, &mut ports) {
                Ok(connection) => connections.push(connection),
                Err(message) => {
                    problems.push(Problem {
                        line: traffic.line,
                        column: 1,
                        message,
                    });
                    break;
                }
            }
        }
    }
    (connections, problems)
}

/// When the `nth` connection of a line is made.
fn instant(traffic: &Traffic, nth: u32) -> Offset {
    if traffic.predates {
        return Offset(0);
    }
    let steps = i128::from(traffic.count.saturating_sub(1).max(1));
    let length = i128::from(traffic.at.last.0) - i128::from(traffic.at.first.0);
    let passed = length * i128::from(nth) / steps;
    Offset(traffic.at.first.0 + i64::try_from(passed).unwrap_or(0))
}

/// The next port of each address: given to a client, and chosen by a node that translates.
#[derive(Default)]
struct Ports {
    clients: BTreeMap<IpAddr, u16>,
    nodes: BTreeMap<IpAddr, u16>,
    /// What servers saw so far.
    taken: BTreeSet<(Endpoint, Endpoint)>,
}

impl Ports {
    fn of_client(&mut self, address: IpAddr) -> u16 {
        let port = self.clients.entry(address).or_insert(FIRST_EPHEMERAL);
        let given = *port;
        *port = if given == LAST_EPHEMERAL {
            FIRST_EPHEMERAL
        } else {
            given + 1
        };
        given
    }

    /// The client's port, unless the server saw it at that address already.
    fn kept(&mut self, source: Endpoint, server: Endpoint) -> Endpoint {
        if self.taken.contains(&(source, server)) {
            (source.0, self.chosen(source.0))
        } else {
            source
        }
    }

    /// In order and not at random, so that none is a client's by chance before 31,744 of them are taken.
    fn chosen(&mut self, address: IpAddr) -> u16 {
        let port = self.nodes.entry(address).or_insert(FIRST_CHOSEN);
        let chosen = *port;
        *port = chosen.checked_add(1).unwrap_or(FIRST_CHOSEN);
        chosen
    }
}

/// One connection to be resolved.
struct Question<'s> {
    scenario: &'s Scenario,
    layout: &'s Layout,
    traffic: &'s Traffic,
    nth: u32,
    /// Whose turn it is among backends, where that is not to follow from `nth`.
    turn: Option<u32>,
    at: Offset,
}

impl Question<'_> {
    fn answer(&self, place: usize, ports: &mut Ports) -> Result<Connection, String> {
        let (client_address, client_socket) = self.client()?;
        let target = self.server(client_address, client_socket)?;
        let client = (client_address, ports.of_client(client_address));
        let source = match target.translated_source {
            Some(node) if self.chooses_ports(node) => (node, ports.chosen(node)),
            Some(node) => ports.kept((node, client.1), target.backend),
            None => client,
        };
        ports.taken.insert((source, target.backend));
        let taken = self.traffic.outcome == Outcome::Established;
        Ok(Connection {
            traffic: place,
            nth: self.nth,
            at: self.at,
            protocol: self.traffic.server.protocol(),
            outcome: self.traffic.outcome,
            predates: self.traffic.predates,
            client,
            dialed: target.dialed,
            backend: target.backend,
            source,
            client_socket,
            server_socket: target.socket.filter(|_| taken),
        })
    }

    /// Whether the node at an address puts ports of its own in the clients' place.
    fn chooses_ports(&self, address: IpAddr) -> bool {
        let mut nodes = self.scenario.nodes.iter();
        nodes.any(|node| node.random_ports && node.addresses.contains(&address))
    }

    /// Chooses one of several in turn.
    fn in_turn<T>(turn: u32, choices: &[T]) -> Option<&T> {
        choices.get(usize::try_from(turn).ok()?.checked_rem(choices.len())?)
    }

    /// An address of the family that the line uses.
    fn family(&self, addresses: &[IpAddr], whose: &str) -> Result<IpAddr, String> {
        let wanted = if self.traffic.ipv6 { "IPv6" } else { "IPv4" };
        let found = addresses
            .iter()
            .copied()
            .find(|address| address.is_ipv6() == self.traffic.ipv6);
        found.ok_or_else(|| {
            let hint = if self.traffic.ipv6 {
                ""
            } else {
                "; say `ipv6` if that is meant"
            };
            format!("{whose} has no {wanted} address{hint}")
        })
    }

    /// Whether the client is outside the cluster.
    const fn outside_client(&self) -> bool {
        matches!(self.traffic.client, Client::External(_) | Client::Address(_))
    }
}
