//! Flows and events: what one node's recorder saw of the connections.

use std::collections::BTreeMap;

use flowtape_schemas::address::Address;
use flowtape_schemas::node::{Direction, DirectionSource, EventKind, EventRow, FlowRow, Hook, Outcome};
use flowtape_schemas::time::Time;

use super::View;
use super::proxy::Proxies;
use crate::connection::{Connection, Endpoint, Socket};
use crate::layout::HOST_NETNS;
use crate::model::{self, ClientSocket, FoldedSide, Folding, Offset, Protocol, SeenBy};

/// One side's view of one connection.
#[derive(Clone)]
pub(super) struct Sight<'c> {
    pub(super) connection: &'c Connection,
    pub(super) direction: Direction,
    pub(super) outcome: model::Outcome,
    pub(super) local: Endpoint,
    pub(super) remote: Endpoint,
    /// What the program asked for, where a load balancer in its socket put `remote` in place.
    pub(super) asked: Option<Endpoint>,
    pub(super) folding: Option<Folding>,
    pub(super) cgroup: u64,
    pub(super) netns: u32,
}

/// What flows are counted by.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    interval: (Offset, Offset),
    direction: Direction,
    protocol: u8,
    local: Option<Address>,
    remote: Option<Address>,
    folded: bool,
    port: Option<u16>,
    asked: Option<(Address, u16)>,
    outcome: Outcome,
    cgroup: u64,
    netns: u32,
    predates: bool,
}

/// What is counted.
struct Count {
    operations: u64,
    samples: u64,
    first: Time,
    last: Time,
}

/// The flows and events of one node, sorted.
pub(super) fn rows(view: &View<'_>) -> (Vec<FlowRow>, Vec<EventRow>) {
    let mut counts: BTreeMap<Key, Count> = BTreeMap::new();
    let mut events = Vec::new();
    for connection in view.connections {
        for sight in sights(view, connection) {
            let at = view.time(connection.at);
            let count = counts.entry(sight.key(view)).or_insert(Count {
                operations: 0,
                samples: 0,
                first: at,
                last: at,
            });
            count.operations += u64::from(!connection.predates);
            count.first = count.first.min(at);
            count.last = count.last.max(at);
            let traffic = view.scenario.traffic.get(connection.traffic);
            if traffic.is_none_or(|traffic| traffic.samples == model::Samples::All) {
                count.samples += 1;
                events.push(sight.event(at, view));
            }
        }
    }
    events.sort_by_cached_key(|event| {
        let port = if event.direction == Direction::In {
            event.local_port
        } else {
            event.remote_port
        };
        (
            event.cgroup_id,
            event.direction,
            event.protocol,
            event.remote_ip,
            port,
            event.outcome,
            event.clone(),
        )
    });
    (
        counts
            .into_iter()
            .map(|(key, count)| flow(view, &key, &count))
            .collect(),
        events,
    )
}

/// The views that sockets of this node had of a connection: none, one or both.
fn sights<'c>(view: &View<'_>, connection: &'c Connection) -> Vec<Sight<'c>> {
    let blind =
        |gap: &&model::Gap| gap.node == view.node.name && gap.at.first <= connection.at && connection.at <= gap.at.last;
    if view.scenario.gaps.iter().any(|gap| blind(&gap)) {
        return Vec::new();
    }
    let traffic = view.scenario.traffic.get(connection.traffic);
    let seen_by = traffic.map_or(SeenBy::Both, |traffic| traffic.seen_by);
    let balanced = traffic.is_some_and(|traffic| traffic.socket == ClientSocket::Balanced);
    let folding = |side| {
        let folded = traffic.and_then(|traffic| traffic.folded);
        folded.filter(|(folded, _)| *folded == side).map(|(_, folding)| folding)
    };
    let sight = |socket: Option<Socket>, direction, local, remote, folding| {
        let socket = socket.filter(|socket| socket.node == view.place)?;
        let pod = socket.pod.and_then(|pod| view.layout.pods.get(pod));
        let machine = view.layout.machines.get(view.place)?;
        Some(Sight {
            connection,
            direction,
            outcome: connection.outcome,
            local,
            remote,
            asked: (balanced && direction == Direction::Out).then_some(connection.dialed),
            folding,
            cgroup: pod.map_or(machine.cgroup.id, |pod| pod.container_cgroup.id),
            netns: pod.map_or(HOST_NETNS, |pod| pod.netns),
        })
    };
    let client = sight(
        connection.client_socket,
        Direction::Out,
        connection.client,
        if balanced {
            connection.backend
        } else {
            connection.dialed
        },
        folding(FoldedSide::Client),
    );
    let server = sight(
        connection.server_socket,
        Direction::In,
        connection.backend,
        if balanced { connection.client } else { connection.source },
        folding(FoldedSide::Server),
    );
    let client = client.filter(|_| seen_by != SeenBy::Server);
    let server = server.filter(|_| seen_by != SeenBy::Client);
    let proxies = Proxies::of(view, connection);
    let client = client.map(|sight| proxies.at_client(sight)).into_iter().flatten();
    let server = server.map(|sight| proxies.at_server(sight)).into_iter().flatten();
    client.chain(server).collect()
}

impl Sight<'_> {
    fn key(&self, view: &View<'_>) -> Key {
        let port = if self.direction == Direction::In {
            self.local.1
        } else {
            self.remote.1
        };
        let folded = self.folding.is_some();
        Key {
            interval: view.interval(self.connection.at),
            direction: self.direction,
            protocol: self.connection.protocol.number(),
            local: (!folded).then(|| self.local.0.into()),
            remote: (!folded).then(|| self.remote.0.into()),
            folded,
            port: (self.folding != Some(Folding::PeersAndPorts)).then_some(port),
            asked: self.asked.filter(|_| !folded).map(|(ip, port)| (ip.into(), port)),
            outcome: outcome(self.outcome),
            cgroup: self.cgroup,
            netns: self.netns,
            predates: self.connection.predates,
        }
    }

    fn event(&self, time: Time, view: &View<'_>) -> EventRow {
        let (kind, direction_source) = self.kind();
        EventRow {
            time,
            kind,
            direction: self.direction,
            direction_source,
            protocol: self.connection.protocol.number(),
            family: None,
            socket_type: None,
            local_ip: Some(self.local.0.into()),
            local_port: Some(self.local.1),
            remote_ip: Some(self.remote.0.into()),
            remote_port: Some(self.remote.1),
            asked_ip: self.asked.map(|(ip, _)| ip.into()),
            asked_port: self.asked.map(|(_, port)| port),
            outcome: Some(outcome(self.outcome)),
            errno: errno(self.outcome),
            cgroup_id: Some(self.cgroup),
            netns: Some(self.netns),
            // On the server's side the current task is not the one that acts.
            task_cgroup_id: (self.direction == Direction::Out).then_some(self.cgroup),
            socket_cookie: None,
            pid: None,
            process: self.process(view),
            hook: Hook::Synthetic,
        }
    }

    /// The process, which on the server's side is not the current task.
    fn process(&self, view: &View<'_>) -> Option<String> {
        let traffic = view.scenario.traffic.get(self.connection.traffic)?;
        traffic.process.clone().filter(|_| self.direction == Direction::Out)
    }

    /// What happened, and how its direction is known.
    fn kind(&self) -> (EventKind, DirectionSource) {
        let established = self.outcome == model::Outcome::Established;
        match (self.connection.predates, self.connection.protocol, self.direction) {
            (true, Protocol::Udp, _) => (EventKind::Snapshot, DirectionSource::BindFlag),
            (true, Protocol::Tcp | Protocol::Sctp, _) => (EventKind::Snapshot, DirectionSource::Backlog),
            (false, Protocol::Udp, Direction::In) => (EventKind::UdpIn, DirectionSource::BindFlag),
            (false, Protocol::Udp, _) => (EventKind::UdpOut, DirectionSource::FirstPacket),
            (false, _, Direction::In) => (EventKind::Accept, DirectionSource::State),
            (false, _, _) if established => (EventKind::Connect, DirectionSource::State),
            (false, _, _) => (EventKind::ConnectFailed, DirectionSource::State),
        }
    }
}

fn flow(view: &View<'_>, key: &Key, count: &Count) -> FlowRow {
    FlowRow {
        interval_start: view.time(key.interval.0),
        interval_end: view.time(key.interval.1),
        direction: key.direction,
        protocol: key.protocol,
        local_ip: key.local,
        remote_ip: key.remote,
        remote_folded: key.folded,
        service_port: key.port,
        asked_ip: key.asked.map(|(ip, _)| ip),
        asked_port: key.asked.map(|(_, port)| port),
        outcome: key.outcome,
        cgroup_id: Some(key.cgroup),
        netns: Some(key.netns),
        count: count.operations,
        samples: count.samples,
        first_seen: count.first,
        last_seen: count.last,
        predates_window: key.predates,
        hook: Hook::Synthetic,
    }
}

const fn outcome(outcome: model::Outcome) -> Outcome {
    match outcome {
        model::Outcome::Established => Outcome::Established,
        model::Outcome::Refused => Outcome::Refused,
        model::Outcome::Timeout => Outcome::Timeout,
        model::Outcome::Unreachable => Outcome::Unreachable,
        model::Outcome::Unknown => Outcome::Unknown,
    }
}

/// The Linux errno behind an outcome (`include/uapi/asm-generic/errno.h`).
const fn errno(outcome: model::Outcome) -> Option<i32> {
    match outcome {
        model::Outcome::Refused => Some(111),
        model::Outcome::Timeout => Some(110),
        model::Outcome::Unreachable => Some(113),
        model::Outcome::Established | model::Outcome::Unknown => None,
    }
}
