//! Table `events`: single socket operations.

use crate::address::Address;
use crate::node::{Direction, Hook, Outcome, SocketFamily, SocketType};
use crate::table::table;
use crate::time::Time;
use crate::value::words;

words! {
    /// What a socket did.
    pub enum EventKind {
        /// `socket()`: it was created.
        Socket = "socket",
        /// `bind()`: it got a local address and port, chosen by the program or by the kernel. TCP and UDP.
        Bind = "bind",
        /// `listen()`: it began to accept connections.
        Listen = "listen",
        /// It stopped listening, or was closed: a UDP socket with a port that its program chose.
        Unlisten = "unlisten",
        /// `connect()` succeeded: the client side is established.
        Connect = "connect",
        /// `connect()` failed, or a connected UDP socket was told that nobody listens there; the outcome says how.
        ConnectFailed = "connect_failed",
        /// The server side is established, whether or not `accept()` has been called yet.
        Accept = "accept",
        /// A datagram left an unconnected socket.
        UdpOut = "udp_out",
        /// A datagram was received.
        UdpIn = "udp_in",
        /// It was found open by an iterator.
        Snapshot = "snapshot",
    }
}

words! {
    /// How the direction of an event is known.
    pub enum DirectionSource {
        /// From the transition between two TCP states.
        State = "state",
        /// From the accept backlog of a connected socket (`sk_max_ack_backlog`).
        Backlog = "backlog",
        /// From an explicit bind (`SOCK_BINDPORT_LOCK`).
        BindFlag = "bind_flag",
        /// From the first packet seen.
        FirstPacket = "first_packet",
        /// It is not known, or the event has none.
        None = "none",
    }
}

table! {
    /// Single socket operations with their full tuple, sorted by edge key and time within a row group.
    /// Samples: `flows` is authoritative for counts, and losing events loses no edge.
    pub struct EventRow in Node "events" {
        /// When it happened: `CLOCK_BOOTTIME` plus the offset fixed at the start of the recording.
        pub time: Time,
        /// What the socket did.
        pub kind: EventKind,
        /// Which side of the connection the socket was.
        pub direction: Direction,
        /// How the direction is known.
        pub direction_source: DirectionSource,
        /// IANA protocol number: 6 TCP, 17 UDP, 132 SCTP. MPTCP is 6.
        pub protocol: u8,
        /// Address family of the socket, for `socket` and `snapshot`.
        pub family: Option<SocketFamily>,
        /// Type of the socket, for `socket` and `snapshot`.
        pub socket_type: Option<SocketType>,
        /// Address of the socket; null for a wildcard or where it is not known.
        pub local_ip: Option<Address>,
        /// Port of the socket.
        pub local_port: Option<u16>,
        /// Address of the peer, before any translation the recorded side cannot see; null where there is none.
        pub remote_ip: Option<Address>,
        /// Port of the peer.
        pub remote_port: Option<u16>,
        /// Address that the program asked for, where something (a socket load balancer) put `remote_ip` in its place before
        /// the packet left; null where they are the same or it is not known.
        pub asked_ip: Option<Address>,
        /// Port that the program asked for, with `asked_ip`.
        pub asked_port: Option<u16>,
        /// How it ended; null where that has no meaning.
        pub outcome: Option<Outcome>,
        /// Linux errno behind the outcome.
        pub errno: Option<i32>,
        /// cgroup v2 id of the socket: where `socket()` or the listener's `socket()` was called.
        pub cgroup_id: Option<u64>,
        /// Inode of the socket's network namespace.
        pub netns: Option<u32>,
        /// cgroup v2 id of the current task, where the current task is the one that acts.
        pub task_cgroup_id: Option<u64>,
        /// Socket cookie: never reused while the node is up.
        pub socket_cookie: Option<u64>,
        /// Thread group id of the current task, where the current task is the one that acts.
        pub pid: Option<u32>,
        /// Name of the current task (`comm`), where the current task is the one that acts.
        pub process: Option<String>,
        /// Which hook saw it.
        pub hook: Hook,
    }
}
