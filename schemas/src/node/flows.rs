//! Table `flows`: what was counted per edge key and interval.

use crate::address::Address;
use crate::node::{Direction, Hook, Outcome};
use crate::table::table;
use crate::time::Time;

table! {
    /// What the recorder counted for one edge key in one interval. Authoritative for counts and first and last seen;
    /// an edge key may have several rows in an interval, and their counts add up.
    pub struct FlowRow in Node "flows" {
        /// Start of the interval the counts are of.
        pub interval_start: Time,
        /// End of the interval the counts are of.
        pub interval_end: Time,
        /// Which side of the connection the socket was: `in` or `out`.
        pub direction: Direction,
        /// IANA protocol number: 6 TCP, 17 UDP, 132 SCTP. MPTCP is 6.
        pub protocol: u8,
        /// Address of the socket; null where it is not known.
        pub local_ip: Option<Address>,
        /// Address of the peer as this side saw it; null when folded.
        pub remote_ip: Option<Address>,
        /// Whether peers beyond the quota of this cgroup were folded into this row.
        pub remote_folded: bool,
        /// The server's port as this side saw it: the peer's port for `out`, the local port for `in`; null when folded.
        pub service_port: Option<u16>,
        /// Address that the program asked for, where something (a socket load balancer) put `remote_ip` in its place before
        /// the packet left; null where they are the same, not known, or folded.
        pub asked_ip: Option<Address>,
        /// Port that the program asked for, with `asked_ip`.
        pub asked_port: Option<u16>,
        /// How the attempts ended.
        pub outcome: Outcome,
        /// cgroup v2 id of the socket.
        pub cgroup_id: Option<u64>,
        /// Inode of the socket's network namespace.
        pub netns: Option<u32>,
        /// Operations counted: connections for TCP, datagrams for UDP. 0 for a socket found open by an iterator.
        pub count: u64,
        /// How many of them also stand in `events`.
        pub samples: u64,
        /// First operation of the interval.
        pub first_seen: Time,
        /// Last operation of the interval.
        pub last_seen: Time,
        /// Whether the socket was open before the window began.
        pub predates_window: bool,
        /// Which hook counted.
        pub hook: Hook,
    }
}
