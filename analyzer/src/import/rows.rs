//! Contacts, listeners and names to the rows of a tape, node by node.

use std::collections::BTreeMap;

use flowtape_schemas::address::Address;
use flowtape_schemas::cluster::Bound;
use flowtape_schemas::manifest::Window;
use flowtape_schemas::metadata::ClusterRows;
use flowtape_schemas::node::{
    CgroupRow, Counter, Direction, FlowRow, Hook, ListenRow, NameRow, NetnsRow, Outcome, StatsRow,
};
use flowtape_schemas::time::Time;

use super::cast::Cast;
use super::record::{Contact, Listener, Name, View, Who};

/// Rows of all tables together. A recording of a large cluster has some hundred thousand edges.
const ROWS: usize = 1 << 21;

/// Nodes that a source may name.
const NODES: usize = 1 << 13;

/// Length of an interval: an address that passes to another pod is told apart by it.
const INTERVAL_NANOS: i64 = 60_000_000_000;

/// Stands for the network namespace of a node; sources do not tell it.
const HOST_NETNS: u32 = 1;

/// What a node's recording consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeRows {
    /// Name of the node.
    pub name: String,
    /// From its first row to its last.
    pub window: Option<Window>,
    /// Table `flows`.
    pub flows: Vec<FlowRow>,
    /// Table `listens`.
    pub listens: Vec<ListenRow>,
    /// Table `names`.
    pub names: Vec<NameRow>,
    /// Table `cgroups`.
    pub cgroups: Vec<CgroupRow>,
    /// Table `netns`.
    pub netns: Vec<NetnsRow>,
    /// Table `stats`.
    pub stats: Vec<StatsRow>,
    /// Operations that the source says it lost.
    pub lost: u64,
}

/// Collects rows.
#[derive(Debug)]
pub(super) struct Rows {
    /// The node of what names none.
    node: String,
    cast: Cast,
    nodes: BTreeMap<String, Counts>,
    rows: usize,
}

#[derive(Debug, Default)]
struct Counts {
    flows: BTreeMap<FlowKey, Count>,
    /// Operations whose end was told after they were counted as established.
    retold: BTreeMap<FlowKey, u64>,
    listens: BTreeMap<ListenKey, Option<Time>>,
    names: BTreeMap<(String, Address, Option<Address>), NameCount>,
    lost: BTreeMap<i64, u64>,
    window: Option<Window>,
    has_host: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FlowKey {
    interval: i64,
    direction: Direction,
    protocol: u8,
    local: Option<Address>,
    remote: Option<Address>,
    port: Option<u16>,
    asked: Option<(Address, u16)>,
    outcome: Outcome,
    cgroup: Option<u64>,
    netns: Option<u32>,
    predates: bool,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    operations: u64,
    first: Time,
    last: Time,
}

#[derive(Debug)]
struct NameCount {
    first: Time,
    last: Time,
    ttl: Option<u32>,
    answers: u64,
}

/// Protocol, address, port, control group and network namespace of a listener.
type ListenKey = (u8, Option<Address>, u16, Option<u64>, Option<u32>);

impl Rows {
    /// Of pods that this metadata knows, on this node where a record names none.
    pub(super) fn new(node: String, metadata: &ClusterRows) -> Self {
        Self {
            node,
            cast: Cast::new(metadata),
            nodes: BTreeMap::new(),
            rows: 0,
        }
    }

    /// Adds a contact; false if there are too many rows already.
    pub(super) fn contact(&mut self, contact: &Contact) -> bool {
        let Some(name) = self.node_name(contact.node.as_deref()) else {
            return false;
        };
        let (out, into) = match contact.view {
            View::Client => (true, false),
            View::Server => (false, true),
            View::Between => self.ends_on(contact, &name),
        };
        (!out || self.seen_from(contact, &name, Direction::Out))
            && (!into || self.seen_from(contact, &name, Direction::In))
    }

    /// Which ends of a contact are on the node where it was seen: who stands there sees it as they do. Elsewhere it is
    /// seen as the client does.
    fn ends_on(&self, contact: &Contact, node: &str) -> (bool, bool) {
        let times = (contact.first, contact.last);
        let has_server = contact.server.port.is_some() && self.cast.is_on(&contact.server, node, times);
        let has_client = self.cast.is_on(&contact.client, node, times);
        (has_client || !has_server, has_server)
    }

    /// Adds a contact as an end of it sees it, on this node.
    fn seen_from(&mut self, contact: &Contact, name: &str, direction: Direction) -> bool {
        let Contact {
            first,
            last,
            node: _,
            protocol,
            client,
            server,
            asked,
            view: _,
            outcome,
            count,
            retold,
        } = contact;
        let times = (*first, (*last).max(*first));
        let (near, far) = if direction == Direction::In {
            (server, client)
        } else {
            (client, server)
        };
        let cgroup = self.cast.meet(near, Some(name), times);
        self.cast.meet(far, None, times);
        let (local, remote) = (self.cast.address(near), self.cast.address(far));
        let port = server.port;
        let room = self.rows < ROWS;
        let counts = self.nodes.entry(name.to_owned()).or_default();
        let is_host = near.who == Who::Host;
        counts.has_host |= is_host;
        let direction = if port.is_none() { Direction::Unknown } else { direction };
        let key = FlowKey {
            interval: first.0.div_euclid(INTERVAL_NANOS),
            direction,
            protocol: *protocol,
            local,
            remote,
            port,
            asked: asked.filter(|_| direction == Direction::Out),
            outcome: *outcome,
            cgroup,
            netns: is_host.then_some(HOST_NETNS),
            predates: *count == 0,
        };
        if !counts.flows.contains_key(&key) {
            if !room {
                return false;
            }
            self.rows += 1;
        }
        let sum = counts.flows.entry(key.clone()).or_insert(Count {
            operations: 0,
            first: times.0,
            last: times.1,
        });
        sum.operations = sum.operations.saturating_add(*count);
        sum.first = sum.first.min(times.0);
        sum.last = sum.last.max(times.1);
        if *retold {
            let outcome = Outcome::Established;
            let sum = counts.retold.entry(FlowKey { outcome, ..key }).or_default();
            *sum = sum.saturating_add(*count);
        }
        counts.seen(times);
        true
    }

    /// Adds a listener; false if there are too many rows already.
    pub(super) fn listener(&mut self, listener: &Listener) -> bool {
        let Listener {
            since,
            node,
            protocol,
            end,
        } = listener;
        let Some(name) = self.node_name(node.as_deref()) else {
            return false;
        };
        let Some(port) = end.port.filter(|_| self.rows < ROWS) else {
            return end.port.is_none();
        };
        let time = since.unwrap_or(Time::MAX);
        let cgroup = since.and_then(|_| self.cast.meet(end, Some(&name), (time, time)));
        let counts = self.nodes.entry(name).or_default();
        let is_host = end.who == Who::Host;
        counts.has_host |= is_host;
        let netns = is_host.then_some(HOST_NETNS);
        let address = end.address.filter(|address| !address.ip().is_unspecified());
        let known = counts
            .listens
            .entry((*protocol, address, port, cgroup, netns))
            .or_insert_with(|| {
                self.rows += 1;
                *since
            });
        *known = (*known).min(*since);
        if since.is_some() {
            counts.seen((time, time));
        }
        true
    }

    /// Adds a name; false if there are too many rows already.
    pub(super) fn name(&mut self, told: &Name) -> bool {
        let Name {
            time,
            node,
            name,
            address,
            client,
            ttl_seconds,
            answered,
        } = told;
        let Some(node) = self.node_name(node.as_deref()) else {
            return false;
        };
        let Some(name) = host_name(name) else { return true };
        let counts = self.nodes.entry(node).or_default();
        let key = (name, *address, *client);
        if !counts.names.contains_key(&key) {
            if self.rows >= ROWS {
                return false;
            }
            self.rows += 1;
        }
        let known = counts.names.entry(key).or_insert(NameCount {
            first: *time,
            last: *time,
            ttl: *ttl_seconds,
            answers: 0,
        });
        known.first = known.first.min(*time);
        known.last = known.last.max(*time);
        known.ttl = known.ttl.max(*ttl_seconds);
        known.answers += u64::from(*answered);
        counts.seen((*time, *time));
        true
    }

    /// Adds a loss.
    pub(super) fn loss(&mut self, node: Option<&str>, time: Time, count: u64) {
        if let Some(name) = self.node_name(node) {
            let counts = self.nodes.entry(name).or_default();
            let sum = counts.lost.entry(time.0.div_euclid(INTERVAL_NANOS)).or_default();
            *sum = sum.saturating_add(count);
            counts.seen((time, time));
        }
    }

    /// The rows of every node, and the pods that the metadata does not know added to it, with their number.
    pub(super) fn finish(self, cluster: &mut ClusterRows) -> (Vec<NodeRows>, u64) {
        let Self { cast, nodes, .. } = self;
        let rows = nodes
            .into_iter()
            .map(|(name, counts)| counts.rows(name, &cast))
            .collect();
        let named = cast.join(cluster);
        (rows, named)
    }

    /// The name of a node as its directory can have it. Some sources put the name of the cluster before it.
    fn node_name(&self, name: Option<&str>) -> Option<String> {
        let name = name.unwrap_or(&self.node);
        let last = name.rsplit('/').next().unwrap_or(name);
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let plain = !last.is_empty() && last.len() <= 253 && !last.starts_with('.') && last.bytes().all(allowed);
        let name = if plain { last } else { &self.node };
        (self.nodes.len() < NODES || self.nodes.contains_key(name)).then(|| name.to_owned())
    }
}

/// A name as the table has it; none for what no DNS answer is about.
fn host_name(name: &str) -> Option<String> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'*');
    (!name.is_empty() && name.len() <= 253 && name.bytes().all(allowed)).then_some(name)
}

impl Counts {
    fn seen(&mut self, (first, last): (Time, Time)) {
        let window = self.window.get_or_insert(Window {
            start: first,
            end: last,
        });
        window.start = window.start.min(first);
        window.end = window.end.max(last);
    }

    fn rows(mut self, name: String, cast: &Cast) -> NodeRows {
        for (key, count) in std::mem::take(&mut self.retold) {
            if let Some(known) = self.flows.get_mut(&key) {
                known.operations = known.operations.saturating_sub(count);
                if known.operations == 0 && !key.predates {
                    self.flows.remove(&key);
                }
            }
        }
        let stats = self.lost.iter().map(|(interval, lost)| StatsRow {
            interval_start: start(*interval),
            interval_end: start(interval + 1),
            hook: Hook::Import,
            counter: Counter::EdgesLost,
            value: *lost,
        });
        let names = self
            .names
            .into_iter()
            .map(|((name, address, client_ip), known)| NameRow {
                name,
                address,
                client_ip,
                first_seen: known.first,
                last_seen: known.last,
                ttl_seconds: known.ttl,
                count: known.answers,
                hook: Hook::Import,
            });
        let host = NetnsRow {
            netns: HOST_NETNS,
            cookie: None,
            pod_uid: None,
            is_host: true,
            valid_from: None,
            from_bound: Bound::Assumed,
            valid_to: None,
            to_bound: Bound::Assumed,
        };
        NodeRows {
            stats: stats.collect(),
            lost: self.lost.values().sum(),
            names: names.collect(),
            cgroups: cast.cgroups(&name),
            netns: if self.has_host { vec![host] } else { Vec::new() },
            window: self.window,
            flows: self
                .flows
                .into_iter()
                .map(|(key, count)| flow_row(&key, count))
                .collect(),
            listens: self.listens.into_iter().map(listen_row).collect(),
            name,
        }
    }
}

fn start(interval: i64) -> Time {
    Time(interval.saturating_mul(INTERVAL_NANOS))
}

fn flow_row(key: &FlowKey, count: Count) -> FlowRow {
    let (asked_ip, asked_port) = key.asked.unzip();
    FlowRow {
        interval_start: start(key.interval),
        interval_end: start(key.interval.saturating_add(1)),
        direction: key.direction,
        protocol: key.protocol,
        local_ip: key.local,
        remote_ip: key.remote,
        remote_folded: false,
        service_port: key.port,
        asked_ip,
        asked_port,
        outcome: key.outcome,
        cgroup_id: key.cgroup,
        netns: key.netns,
        count: count.operations,
        samples: 0,
        first_seen: count.first,
        last_seen: count.last,
        predates_window: key.predates,
        hook: Hook::Import,
    }
}

fn listen_row(((protocol, local_ip, port, cgroup_id, netns), since): (ListenKey, Option<Time>)) -> ListenRow {
    ListenRow {
        protocol,
        local_ip,
        port,
        backlog: None,
        cgroup_id,
        netns,
        valid_from: since,
        from_bound: if since.is_some() {
            Bound::Observed
        } else {
            Bound::Assumed
        },
        valid_to: None,
        to_bound: Bound::Assumed,
        hook: Hook::Import,
    }
}
