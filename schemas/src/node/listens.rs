//! Table `listens`: who waited for connections or datagrams, and where.

use crate::address::Address;
use crate::cluster::Bound;
use crate::node::Hook;
use crate::table::table;
use crate::time::Time;

table! {
    /// Sockets that listened (TCP) or were bound to a port on purpose (UDP).
    pub struct ListenRow in Node "listens" {
        /// IANA protocol number: 6 TCP, 17 UDP, 132 SCTP.
        pub protocol: u8,
        /// Local address; null for a wildcard.
        pub local_ip: Option<Address>,
        /// Local port.
        pub port: u16,
        /// Accept backlog, where there is one.
        pub backlog: Option<u32>,
        /// cgroup v2 id of the socket.
        pub cgroup_id: Option<u64>,
        /// Inode of the socket's network namespace.
        pub netns: Option<u32>,
        /// When it began to listen; null if before the window.
        pub valid_from: Option<Time>,
        /// How the beginning is known.
        pub from_bound: Bound,
        /// When it stopped; null if after the window.
        pub valid_to: Option<Time>,
        /// How the end is known.
        pub to_bound: Bound,
        /// Which hook saw it.
        pub hook: Hook,
    }
}
