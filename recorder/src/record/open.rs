//! What sockets that are open say about edges: that of a connection which was opened before anybody looked is in no count.
//!
//! A look finds every socket that a process holds. Whether the opening of a connection was counted is asked of its edge: where
//! the edge was counted in this window, or was found before, an open socket adds nothing to it. Each look is judged after a
//! drain that began later, so that what was opened before the look has been counted by then.

use std::collections::{BTreeMap, BTreeSet};

use flowtape_recorder_ebpf::abi::address::Address;
use flowtape_recorder_ebpf::abi::attempt::{ATTEMPT_SENT, Attempt};
use flowtape_recorder_ebpf::abi::event::{Event, FLAG_BY_BINDING, FLAG_TASK, FLAG_V4_MAPPED};
use flowtape_recorder_ebpf::abi::flow::{FOLDED_NOT, FlowKey, FlowValue};
use flowtape_recorder_ebpf::abi::id::{Direction, HookId, Outcome, Protocol, RecordKind};
use flowtape_recorder_ebpf::abi::listen::ListenKey;
use flowtape_recorder_ebpf::abi::open::{OpenSocket, PORT_LOCK};
use flowtape_recorder_ebpf::abi::quota::{FOLDED_EDGES, QuotaKey, QuotaValue};
use flowtape_recorder_ebpf::abi::socket::SocketKey;

use crate::kernel::config::ATTEMPT_PATIENCE;
use crate::kernel::open::{Found, OpenSockets};
use crate::listen;

/// Edges that are remembered. One that is not may be found open though it was counted: its row says nothing wrong, but not
/// that it is older than the window either.
const REMEMBERED: usize = 65_536;

/// Events of an edge that one look makes at most.
const FEW: u32 = 8;

// `include/linux/socket.h` and `include/linux/net.h`.
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const STREAM: u16 = 1;
const DGRAM: u16 = 2;
const SEQPACKET: u16 = 5;

/// `IPPROTO_MPTCP` (`include/uapi/linux/in.h`): on top of TCP, and recorded as TCP.
const MPTCP: u16 = 262;

// `include/net/tcp_states.h`.
const ESTABLISHED: u8 = 1;
const LISTEN: u8 = 10;
/// Handshake done, whoever has closed since: `ESTABLISHED`, `FIN_WAIT1`, `FIN_WAIT2`, `CLOSE_WAIT`, `LAST_ACK`, `CLOSING`.
const CONNECTED: [u8; 6] = [ESTABLISHED, 4, 5, 8, 9, 11];
/// Handshake under way: `SYN_SENT`, `SYN_RECV`.
const HANDSHAKE: [u8; 2] = [2, 3];

/// The sockets that were open at a moment.
#[derive(Debug)]
pub(super) struct Looked {
    /// When, nanoseconds of `CLOCK_BOOTTIME`.
    pub(super) at_ns: u64,
    /// Whether the window began with it.
    pub(super) is_first: bool,
    /// Which.
    pub(super) sockets: OpenSockets,
    /// Events that an edge may send.
    pub(super) samples: u32,
}

impl Looked {
    /// Who waits for others.
    pub(super) fn listeners(&self) -> listen::Found {
        let mut found = listen::Found::new();
        for Found { socket, before, after } in self.sockets.iter() {
            let Role::Server(protocol) = role(socket) else {
                continue;
            };
            let waiting = found.entry(listen_key(socket, protocol)).or_default();
            waiting.sockets += u64::from(*after);
            waiting.older += u64::from(*before && *after);
            let queue = (protocol != Protocol::Udp).then_some(socket.backlog);
            waiting.backlog = waiting.backlog.max(queue);
        }
        found.retain(|_, waiting| waiting.sockets > 0);
        found
    }

    /// Handshakes that began well before the look and were over when it was taken, by the cookie of their socket, with how they
    /// ended as far as that tells. Who waited for one of them was shown no end.
    pub(super) fn ended_unseen(&self, attempts: &[Attempt]) -> BTreeMap<u64, Outcome> {
        let patience = u64::try_from(ATTEMPT_PATIENCE.as_nanos()).unwrap_or(u64::MAX);
        let before = self.at_ns.saturating_sub(patience);
        let waiting = attempts
            .iter()
            .filter(|attempt| attempt.state == ATTEMPT_SENT && attempt.ts_ns < before);
        let waiting: BTreeSet<u64> = waiting.map(|attempt| attempt.cookie).collect();
        let of_them = self.sockets.iter().filter(|found| {
            let socket = &found.socket;
            waiting.contains(&socket.cookie)
                && protocol(socket) == Some(Protocol::Tcp)
                && !HANDSHAKE.contains(&socket.state)
        });
        of_them
            .map(|found| {
                let is_connected = CONNECTED.contains(&found.socket.state);
                let outcome = if is_connected {
                    Outcome::Established
                } else {
                    Outcome::Unknown
                };
                (found.socket.cookie, outcome)
            })
            .collect()
    }

    /// The kinds of sockets whose traffic is in no edge.
    pub(super) fn unfollowed(&self) -> BTreeSet<SocketKey> {
        let unfollowed = self
            .sockets
            .iter()
            .filter(|found| found.after && !is_followed(&found.socket));
        unfollowed.map(|found| socket_key(&found.socket)).collect()
    }
}

fn listen_key(socket: &OpenSocket, protocol: Protocol) -> ListenKey {
    ListenKey {
        cgroup_id: socket.cgroup_id,
        netns: socket.netns,
        port: socket.local_port,
        protocol: protocol.id(),
        ip_version: socket.local_ip.ip_version(),
        local_ip: socket.local_ip,
    }
}

fn socket_key(socket: &OpenSocket) -> SocketKey {
    SocketKey {
        cgroup_id: socket.cgroup_id,
        netns: socket.netns,
        protocol: socket.protocol,
        family: u8::try_from(socket.family).unwrap_or_default(),
        socket_type: u8::try_from(socket.socket_type).unwrap_or_default(),
    }
}

/// Whether edges tell what a socket does.
fn is_followed(socket: &OpenSocket) -> bool {
    matches!(protocol(socket), Some(Protocol::Tcp | Protocol::Udp))
}

/// An edge that only open sockets tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenFlow {
    pub(super) key: FlowKey,
    /// When it was found, with the number of events.
    pub(super) value: FlowValue,
    /// Whether the socket is older than the window.
    pub(super) predates: bool,
}

/// What a look adds.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub(super) flows: Vec<OpenFlow>,
    pub(super) events: Vec<Event>,
    /// Connections whose other side is folded because their control group has its share of edges.
    pub(super) folded: u64,
}

/// What a socket is for.
enum Role {
    /// It waits for whoever comes.
    Server(Protocol),
    /// It has another side.
    Connection(Protocol),
    /// Nothing that an edge could tell of.
    Other,
}

/// The edges that are known.
#[derive(Debug)]
pub(super) struct KnownEdges {
    edges: BTreeSet<FlowKey>,
    quota: u64,
    /// Every edge that was counted is remembered.
    is_whole: bool,
}

impl KnownEdges {
    /// None yet; `quota` is that of the kernel's map.
    pub(super) fn new(quota: u64) -> Self {
        Self {
            edges: BTreeSet::new(),
            quota,
            is_whole: true,
        }
    }

    /// Remembers what was counted.
    pub(super) fn counted(&mut self, flows: &[(FlowKey, FlowValue)]) {
        for (key, _) in flows {
            if key.outcome == Outcome::Established.id() {
                self.is_whole &= key.folded == FOLDED_NOT;
                self.remember(plain(key));
            }
        }
    }

    /// Openings may have been missed: what is found from now on need not be older than the window.
    pub(super) fn missed(&mut self) {
        self.is_whole = false;
    }

    /// Says what a look adds to what is known.
    pub(super) fn judge(&mut self, looked: &Looked) -> Judged {
        let servers = Servers::of(&looked.sockets);
        let mut flows: BTreeMap<(FlowKey, bool), FlowValue> = BTreeMap::new();
        let mut shares: BTreeMap<QuotaKey, QuotaValue> = BTreeMap::new();
        let mut judged = Judged::default();
        let mut news = BTreeSet::new();
        for found in looked.sockets.iter() {
            let protocol = match role(&found.socket) {
                Role::Connection(protocol) => protocol,
                Role::Server(protocol) if found.before => {
                    judged.events.push(waiting(&found.socket, protocol, looked.at_ns));
                    continue;
                }
                Role::Server(_) | Role::Other => continue,
            };
            let event = connection(&found.socket, protocol, &servers, looked.at_ns);
            let edge = FlowKey::of(&event);
            if !self.is_news(found, &edge, protocol) {
                continue;
            }
            // Had it been opened in the window, it would have been counted.
            let predates = found.before || self.is_whole;
            news.insert(edge);
            let mut key = edge;
            if !flows.contains_key(&(key, predates)) {
                let share = shares.entry(QuotaKey::of(&edge)).or_default();
                fold(&mut key, share, self.quota, |folded| {
                    flows.contains_key(&(*folded, predates))
                });
                judged.folded += u64::from(key.folded != FOLDED_NOT);
            }
            let value = flows.entry((key, predates)).or_insert_with(|| FlowValue {
                first_ns: looked.at_ns,
                last_ns: looked.at_ns,
                ..FlowValue::default()
            });
            if value.samples < u64::from(looked.samples.min(FEW)) {
                value.samples += 1;
                judged.events.push(event);
            }
        }
        let rows = flows.into_iter();
        judged.flows = rows
            .map(|((key, predates), value)| OpenFlow { key, value, predates })
            .collect();
        for edge in news {
            self.remember(edge);
        }
        judged
    }

    /// Whether nothing else tells of the edge. A connected UDP socket that was not there before the window has its datagrams
    /// counted; that it is connected is no edge.
    fn is_news(&self, found: &Found, edge: &FlowKey, protocol: Protocol) -> bool {
        found.before || protocol != Protocol::Udp && !self.edges.contains(edge)
    }

    fn remember(&mut self, edge: FlowKey) {
        let has_room = self.edges.len() < REMEMBERED;
        self.is_whole &= has_room || self.edges.contains(&edge);
        if has_room {
            self.edges.insert(edge);
        }
    }
}

/// An edge as open sockets know it.
fn plain(key: &FlowKey) -> FlowKey {
    FlowKey {
        asked_ip: Address::UNSPECIFIED,
        asked_port: 0,
        outcome: Outcome::Established.id(),
        hook: HookId::TaskFile.id(),
        ..*key
    }
}

/// Folds an edge that is beyond the quota of its share, as the kernel does; `is_there` says whether a folded one is known.
fn fold(key: &mut FlowKey, share: &mut QuotaValue, quota: u64, is_there: impl Fn(&FlowKey) -> bool) {
    if share.edges < quota {
        share.edges += 1;
        return;
    }
    key.fold_remote();
    if is_there(key) {
        return;
    }
    if share.folded < FOLDED_EDGES {
        share.folded += 1;
    } else {
        key.fold_port();
    }
}

/// The protocol of a socket that edges are made of.
fn protocol(socket: &OpenSocket) -> Option<Protocol> {
    match (socket.family, socket.socket_type, socket.protocol) {
        (AF_INET | AF_INET6, STREAM, 6 | MPTCP) => Some(Protocol::Tcp),
        (AF_INET | AF_INET6, DGRAM, 17) => Some(Protocol::Udp),
        (AF_INET | AF_INET6, STREAM | SEQPACKET, 132) => Some(Protocol::Sctp),
        _ => None,
    }
}

fn role(socket: &OpenSocket) -> Role {
    let Some(protocol) = protocol(socket) else {
        return Role::Other;
    };
    let has_peer = socket.remote_port != 0 && !socket.remote_ip.is_unspecified();
    let is_bound = socket.user_locks & PORT_LOCK != 0 && socket.local_port != 0;
    match protocol {
        Protocol::Udp if socket.state == ESTABLISHED && has_peer => Role::Connection(protocol),
        Protocol::Udp if is_bound => Role::Server(protocol),
        Protocol::Tcp | Protocol::Sctp if socket.state == LISTEN => Role::Server(protocol),
        Protocol::Tcp | Protocol::Sctp if CONNECTED.contains(&socket.state) && has_peer => Role::Connection(protocol),
        Protocol::Tcp | Protocol::Udp | Protocol::Sctp => Role::Other,
    }
}

/// Where somebody waits.
struct Servers(BTreeSet<(u32, u8, u16, Address)>);

impl Servers {
    fn of(sockets: &OpenSockets) -> Self {
        let servers = sockets.iter().filter_map(|found| match role(&found.socket) {
            Role::Server(protocol) => Some(Self::place(&found.socket, protocol, found.socket.local_ip)),
            Role::Connection(_) | Role::Other => None,
        });
        Self(servers.collect())
    }

    /// Whether somebody waits where this socket is.
    fn include(&self, socket: &OpenSocket, protocol: Protocol) -> bool {
        let wildcards = [Address::UNSPECIFIED, Address::from_v4([0; 4])];
        let mut addresses = wildcards.into_iter().chain([socket.local_ip]);
        addresses.any(|address| self.0.contains(&Self::place(socket, protocol, address)))
    }

    fn place(socket: &OpenSocket, protocol: Protocol, address: Address) -> (u32, u8, u16, Address) {
        (socket.netns, protocol.id(), socket.local_port, address)
    }
}

/// Which side of its connection a socket is, and whether that is known by what is bound.
///
/// A socket that is made for a connection which comes in takes the limit of its listener's queue, and not its claim on the port
/// (`sk_clone_lock`, `net/core/sock.c`, v6.12, clears `SOCK_BINDPORT_LOCK`). So one with the claim named its port before it
/// connected. One without either is a client, or was accepted by a listener without a queue (`listen(fd, 0)`, or one of
/// MPTCP), which then has the port: no client is given a port that somebody bound (`__inet_hash_connect`,
/// `net/ipv4/inet_hashtables.c`, v6.12). A server of datagrams may connect a socket for each of its clients to the port it
/// serves.
fn side(socket: &OpenSocket, protocol: Protocol, servers: &Servers) -> (Direction, bool) {
    let is_datagrams = protocol == Protocol::Udp;
    if !is_datagrams && socket.user_locks & PORT_LOCK != 0 {
        (Direction::Out, true)
    } else if !is_datagrams && socket.backlog > 0 {
        (Direction::In, false)
    } else if servers.include(socket, protocol) {
        (Direction::In, true)
    } else {
        (Direction::Out, is_datagrams)
    }
}

/// A connection that was found, as an event.
fn connection(socket: &OpenSocket, protocol: Protocol, servers: &Servers, at_ns: u64) -> Event {
    let (direction, by_binding) = side(socket, protocol, servers);
    let mut event = event_of(socket, protocol, at_ns);
    event.direction = direction.id();
    event.ip_version = socket.remote_ip.ip_version();
    event.remote_ip = socket.remote_ip;
    event.remote_port = socket.remote_port;
    if by_binding {
        event.flags |= FLAG_BY_BINDING;
    }
    event
}

/// A socket that waits for others and was found, as an event.
fn waiting(socket: &OpenSocket, protocol: Protocol, at_ns: u64) -> Event {
    let mut event = event_of(socket, protocol, at_ns);
    event.direction = Direction::None.id();
    event.ip_version = socket.local_ip.ip_version();
    event.backlog = socket.backlog;
    event
}

/// What is the same of all that is found.
fn event_of(socket: &OpenSocket, protocol: Protocol, at_ns: u64) -> Event {
    let is_mapped = socket.family == AF_INET6 && (socket.local_ip.is_v4() || socket.remote_ip.is_v4());
    Event {
        kind: RecordKind::Snapshot.id(),
        hook: HookId::TaskFile.id(),
        protocol: protocol.id(),
        outcome: Outcome::Established.id(),
        flags: if is_mapped {
            FLAG_V4_MAPPED | FLAG_TASK
        } else {
            FLAG_TASK
        },
        ts_ns: at_ns,
        cgroup_id: socket.cgroup_id,
        cookie: socket.cookie,
        netns: socket.netns,
        pid: socket.pid,
        local_ip: socket.local_ip,
        local_port: socket.local_port,
        family: u8::try_from(socket.family).unwrap_or_default(),
        socket_type: u8::try_from(socket.socket_type).unwrap_or_default(),
        comm: socket.comm,
        ..Event::default()
    }
}

#[cfg(test)]
pub(super) mod tests;
