//! Connections beside recorded ones: alike but for one end, the port or the protocol. Nobody recorded them, so a tight set
//! denies them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::ends::{End, Ends, Kind, kind};
use super::proof::Stated;
use super::soundness::same_family;
use super::world::OTHER_POD;
use crate::policy::model::Direction;
use crate::policy::ports::Protocol;
use crate::semantics::eval::{Basis, Connection};
use crate::semantics::index::{Index, Judged};
use crate::semantics::world::{Endpoint, Pod, World};
use crate::sorted::Sorted;

/// Of so many recorded edges the neighbours are asked for, spread evenly over all.
const EDGES: usize = 1_000;

/// Addresses that nobody has: TEST-NET-1 of RFC 5737, and the documentation prefix of RFC 3849.
const NOBODY: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// What the set says to connections beside recorded ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// How many were asked for.
    pub asked: u64,
    /// Denied, as they should be.
    pub denied: u64,
    /// Allowed by a named addition and by nothing else.
    pub added: u64,
    /// Allowed because selectors overlap, which is reported.
    pub overlapping: u64,
    /// Governed by no policy of the set: no end is a pod that it isolates, or the API exempts it.
    pub ungoverned: u64,
    /// Allowed by rules of one end, and nobody says why.
    pub allowed: Vec<Neighbour>,
}

/// A connection that was never recorded, and that the rules of one end allow all the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neighbour {
    /// Who would open it: a pod as `namespace/name`, or an address.
    pub from: String,
    /// Who would accept it.
    pub to: String,
    /// The protocol.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
    /// Whose rules allow it: those of the client for egress, of the server for ingress.
    pub direction: Direction,
}

/// Asks for the neighbours of some recorded connections.
pub(super) fn ask(
    recorded: &[Connection<'_>],
    world: &World,
    index: &Index<'_>,
    ends: &Ends<'_>,
    kinds: &Sorted<Kind>,
    stated: Stated<'_>,
) -> Neighbours {
    let around = Around::new(world, ends);
    let mut asking = Asking {
        index,
        ends,
        kinds,
        stated,
        found: Neighbours::default(),
        known: BTreeSet::new(),
    };
    let stride = recorded.len().div_ceil(EDGES).max(1);
    for connection in recorded.iter().step_by(stride) {
        for neighbour in around.of(connection) {
            asking.one(&neighbour);
        }
    }
    asking.found.allowed.sort();
    asking.found
}

/// What one end of a neighbour says to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Denied,
    Ungoverned,
    /// By named additions only.
    Added,
    Allowed,
}

struct Asking<'a> {
    index: &'a Index<'a>,
    ends: &'a Ends<'a>,
    kinds: &'a Sorted<Kind>,
    stated: Stated<'a>,
    found: Neighbours,
    /// What was asked for already.
    known: BTreeSet<Kind>,
}

impl Asking<'_> {
    fn one(&mut self, connection: &Connection<'_>) {
        let kind = kind(self.ends, connection);
        if self.kinds.contains(&kind) {
            return;
        }
        if !matches!(kind, (End::Nobody, _, _, _) | (_, End::Nobody, _, _)) && !self.known.insert(kind) {
            return;
        }
        self.found.asked += 1;
        let sides =
            [Direction::Egress, Direction::Ingress].map(|direction| (direction, self.side(connection, direction)));
        let overlaps = sides.iter().any(|(_, side)| *side == Side::Allowed) && self.overlaps(kind);
        let is = |wanted: Side| sides.iter().any(|(_, side)| *side == wanted);
        let found = &mut self.found;
        if is(Side::Allowed) && !overlaps {
            let unexplained = sides.iter().filter(|(_, side)| *side == Side::Allowed);
            found.allowed.extend(unexplained.map(|(direction, _)| Neighbour {
                from: connection.from.to_string(),
                to: connection.to.to_string(),
                protocol: connection.protocol,
                port: connection.port,
                direction: *direction,
            }));
        } else if is(Side::Denied) {
            found.denied += 1;
        } else if is(Side::Added) {
            found.added += 1;
        } else if is(Side::Allowed) {
            found.overlapping += 1;
        } else {
            found.ungoverned += 1;
        }
    }

    /// What one end says. Each is asked by itself: a rule that allows too much is too wide also where the other end denies.
    fn side(&self, connection: &Connection<'_>, direction: Direction) -> Side {
        let Judged {
            basis,
            parts,
            of_cluster: _,
        } = self.index.side(connection, direction);
        match basis {
            Basis::NoRule | Basis::DenyRule => Side::Denied,
            Basis::NotSubject | Basis::SamePod | Basis::OwnNode | Basis::NotIsolated => Side::Ungoverned,
            Basis::Rule if parts.iter().all(|part| self.stated.added.contains(part)) => Side::Added,
            Basis::Rule => Side::Allowed,
        }
    }

    /// Whether a recorded connection of workloads whose selectors also select these pods allows it.
    fn overlaps(&self, (from, to, protocol, port): Kind) -> bool {
        let selecting = |end: End| {
            let own = self.ends.workload(end);
            let others = self.stated.overlaps.iter();
            let others = others.filter(move |(_, selected)| own == Some(selected));
            let others = others.filter_map(|(workload, _)| self.ends.of_workload(workload));
            std::iter::once(end).chain(others).collect::<Vec<End>>()
        };
        let servers = selecting(to);
        selecting(from).into_iter().any(|from| {
            let mut servers = servers.iter();
            servers.any(|to| self.kinds.contains(&(from, *to, protocol, port)))
        })
    }
}

/// Finds what lies beside a connection.
struct Around<'a> {
    world: &'a World,
    /// Pods that policies can select, by namespace and name, so that what is near is alike.
    pods: Vec<&'a Pod>,
    places: BTreeMap<(&'a str, &'a str), usize>,
    ends: &'a Ends<'a>,
}

impl<'a> Around<'a> {
    fn new(world: &'a World, ends: &'a Ends<'a>) -> Self {
        let pods: Vec<&Pod> = world.pods().filter(|pod| !pod.host_network).collect();
        let place = |(at, pod): (usize, &&'a Pod)| (pod.full_name(), at);
        Self {
            world,
            places: pods.iter().enumerate().map(place).collect(),
            pods,
            ends,
        }
    }

    fn of(&self, connection: &Connection<'a>) -> Vec<Connection<'a>> {
        let Connection {
            from,
            to,
            protocol,
            port,
        } = *connection;
        let other_port = if port == u16::MAX { port - 1 } else { port + 1 };
        let other_protocol = if protocol == Protocol::Tcp {
            Protocol::Udp
        } else {
            Protocol::Tcp
        };
        let mut around = vec![
            Connection {
                port: other_port,
                ..*connection
            },
            Connection {
                protocol: other_protocol,
                ..*connection
            },
            Connection {
                from: to,
                to: from,
                protocol,
                port,
            },
        ];
        let clients = self
            .beside(from)
            .into_iter()
            .map(|from| Connection { from, ..*connection });
        around.extend(clients);
        around.extend(self.beside(to).into_iter().map(|to| Connection { to, ..*connection }));
        around.retain(|one| same_family(one.from, one.to));
        around
    }

    /// Other ends: the next pod of another workload, the pod of the namespace that no label selects, and an address that
    /// nobody has; for an address the one beside it.
    fn beside(&self, end: Endpoint<'a>) -> Vec<Endpoint<'a>> {
        let mut beside: Vec<Endpoint<'a>> = NOBODY.into_iter().map(Endpoint::Address).collect();
        match end {
            Endpoint::Pod { pod, address: _ } => {
                let own = self.ends.of(end);
                let place = self.places.get(&pod.full_name());
                let start = place.map_or(0, |place| place + 1);
                let others = self.pods[start..].iter().chain(&self.pods[..start]);
                let is_other =
                    |other: &&&Pod| other.name != OTHER_POD && self.ends.of(self.world.endpoint(other)) != own;
                let next = others.copied().find(|other| is_other(&other));
                let unlabelled = self.world.pod(&pod.namespace, OTHER_POD);
                beside.extend(next.into_iter().chain(unlabelled).map(|pod| self.world.endpoint(pod)));
            }
            Endpoint::Address(address) => {
                let next = next_to(address.to_canonical());
                if !self.ends.is_node(address.to_canonical()) && !self.ends.is_node(next) {
                    beside.push(self.world.endpoint_at(next));
                }
            }
        }
        beside
    }
}

/// The address that differs in the last bit.
fn next_to(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() ^ 1).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() ^ 1).into()),
    }
}
