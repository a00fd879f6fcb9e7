//! Contacts, listeners and names to the rows of a tape, node by node.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use flowtape_schemas::address::Address;
use flowtape_schemas::cluster::Bound;
use flowtape_schemas::manifest::Window;
use flowtape_schemas::node::{
    CgroupRow, Counter, Direction, FlowRow, Hook, ListenRow, NameRow, NetnsRow, Outcome, StatsRow,
};
use flowtape_schemas::time::Time;

use super::cast::{Cast, Known, NodeId, Party};
use super::record::{End, Name, View};

/// Rows of all tables together. A recording of a large cluster has some hundred thousand edges.
pub(super) const ROWS: usize = 1 << 21;

/// Intervals of a node in which something was lost.
const LOSSES: usize = 1 << 12;

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
    nodes: BTreeMap<NodeId, Counts>,
    /// How many more there may be.
    room: usize,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// A socket that waits at a port, of a member of the cast.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// When it was seen to begin; none if it was found.
    pub(super) since: Option<Time>,
    pub(super) node: NodeId,
    pub(super) protocol: u8,
    pub(super) end: End<Party>,
}

impl Rows {
    /// None yet, and room for so many.
    pub(super) const fn with_room(room: usize) -> Self {
        Self {
            nodes: BTreeMap::new(),
            room,
        }
    }

    /// Adds a contact; false if there are too many rows already, and then it is a loss.
    pub(super) fn contact(&mut self, cast: &mut Cast, contact: &Known) -> bool {
        let node = contact.node;
        let (out, into) = match contact.view {
            View::Client => (true, false),
            View::Server => (false, true),
            View::Between => ends_on(cast, contact, node),
        };
        (!out || self.seen_from(cast, contact, node, Direction::Out))
            && (!into || self.seen_from(cast, contact, node, Direction::In))
    }

    /// Adds a contact as an end of it sees it, on this node.
    fn seen_from(&mut self, cast: &mut Cast, contact: &Known, node: NodeId, direction: Direction) -> bool {
        let Known {
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
        let port = server.port;
        let is_host = near.who == Party::Host;
        let direction = if port.is_none() { Direction::Unknown } else { direction };
        let key = FlowKey {
            interval: first.0.div_euclid(INTERVAL_NANOS),
            direction,
            protocol: *protocol,
            local: cast.address(near),
            remote: cast.address(far),
            port,
            asked: asked.filter(|_| direction == Direction::Out),
            outcome: *outcome,
            cgroup: near.who.cgroup(),
            netns: is_host.then_some(HOST_NETNS),
            predates: *count == 0,
        };
        let counts = self.nodes.entry(node).or_default();
        let established = retold.then(|| FlowKey {
            outcome: Outcome::Established,
            ..key
        });
        let sum = match counts.flows.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if self.room == 0 => {
                self.loss(node, *first, (*count).max(1));
                return false;
            }
            Entry::Vacant(place) => {
                self.room -= 1;
                place.insert(Count {
                    operations: 0,
                    first: times.0,
                    last: times.1,
                })
            }
        };
        sum.operations = sum.operations.saturating_add(*count);
        sum.first = sum.first.min(times.0);
        sum.last = sum.last.max(times.1);
        if let Some(key) = established {
            let sum = counts.retold.entry(key).or_default();
            *sum = sum.saturating_add(*count);
        }
        counts.has_host |= is_host;
        counts.seen(times);
        cast.meet(near, Some(node), times);
        cast.meet(far, None, times);
        true
    }

    /// Adds a listener; false if there are too many rows already.
    pub(super) fn listener(&mut self, cast: &mut Cast, waiting: &Waiting) -> bool {
        let Waiting {
            since,
            node,
            protocol,
            end,
        } = *waiting;
        let Some(port) = end.port else { return true };
        if self.room == 0 {
            return false;
        }
        let counts = self.nodes.entry(node).or_default();
        let is_host = end.who == Party::Host;
        counts.has_host |= is_host;
        let netns = is_host.then_some(HOST_NETNS);
        let address = end.address.filter(|address| !address.ip().is_unspecified());
        let cgroup = since.and_then(|_| end.who.cgroup());
        let known = counts
            .listens
            .entry((protocol, address, port, cgroup, netns))
            .or_insert_with(|| {
                self.room -= 1;
                since
            });
        *known = (*known).min(since);
        if let Some(time) = since {
            counts.seen((time, time));
            cast.meet(&end, Some(node), (time, time));
        }
        true
    }

    /// Adds a name that was told on a node; false if there are too many rows already.
    pub(super) fn name(&mut self, node: NodeId, told: &Name) -> bool {
        let Name {
            time,
            node: _,
            name,
            address,
            client,
            ttl_seconds,
            answered,
        } = told;
        let Some(name) = host_name(name) else { return true };
        let counts = self.nodes.entry(node).or_default();
        let known = match counts.names.entry((name, *address, *client)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if self.room == 0 => return false,
            Entry::Vacant(place) => {
                self.room -= 1;
                place.insert(NameCount {
                    first: *time,
                    last: *time,
                    ttl: *ttl_seconds,
                    answers: 0,
                })
            }
        };
        known.first = known.first.min(*time);
        known.last = known.last.max(*time);
        known.ttl = known.ttl.max(*ttl_seconds);
        known.answers += u64::from(*answered);
        counts.seen((*time, *time));
        true
    }

    /// Adds a loss. Where there are too many of them, to another of the same node.
    pub(super) fn loss(&mut self, node: NodeId, time: Time, count: u64) {
        let counts = self.nodes.entry(node).or_default();
        let mut interval = time.0.div_euclid(INTERVAL_NANOS);
        if counts.lost.len() >= LOSSES && !counts.lost.contains_key(&interval) {
            let before = counts.lost.range(..interval).next_back();
            interval = before
                .or_else(|| counts.lost.iter().next())
                .map_or(interval, |(at, _)| *at);
        }
        let sum = counts.lost.entry(interval).or_default();
        *sum = sum.saturating_add(count);
        counts.seen((time, time));
    }

    /// The rows of every node, in the order of their names.
    pub(super) fn finish(self, cast: &Cast) -> Vec<NodeRows> {
        let rows = self.nodes.into_iter().map(|(node, counts)| counts.rows(node, cast));
        let mut rows: Vec<NodeRows> = rows.collect();
        rows.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        rows
    }
}

/// Which ends of a contact are on the node where it was seen: who stands there sees it as they do. Elsewhere it is
/// seen as the client does.
fn ends_on(cast: &Cast, contact: &Known, node: NodeId) -> (bool, bool) {
    let times = (contact.first, contact.last);
    let has_server = contact.server.port.is_some() && cast.is_on(&contact.server, node, times);
    let has_client = cast.is_on(&contact.client, node, times);
    (has_client || !has_server, has_server)
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

    fn rows(mut self, node: NodeId, cast: &Cast) -> NodeRows {
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
            cgroups: cast.cgroups(node),
            netns: if self.has_host { vec![host] } else { Vec::new() },
            window: self.window,
            flows: self
                .flows
                .into_iter()
                .map(|(key, count)| flow_row(&key, count))
                .collect(),
            listens: self.listens.into_iter().map(listen_row).collect(),
            name: cast.node_name(node).to_owned(),
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
