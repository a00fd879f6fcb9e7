//! Table `sockets`: what kinds of sockets each cgroup made, also those that no edge tells of.

use crate::node::Hook;
use crate::table::table;
use crate::time::Time;
use crate::value::words;

words! {
    /// Address family of a socket.
    pub enum SocketFamily {
        /// `AF_INET`: IPv4.
        Inet = "inet",
        /// `AF_INET6`: IPv6, or both versions.
        Inet6 = "inet6",
        /// `AF_PACKET`: whole frames of a network interface.
        Packet = "packet",
        /// `AF_XDP`: whole frames, past the network stack.
        Xdp = "xdp",
        /// Any other family.
        Other = "other",
    }
}

words! {
    /// Type of a socket.
    pub enum SocketType {
        /// `SOCK_STREAM`.
        Stream = "stream",
        /// `SOCK_DGRAM`.
        Dgram = "dgram",
        /// `SOCK_RAW`.
        Raw = "raw",
        /// `SOCK_SEQPACKET`.
        Seqpacket = "seqpacket",
        /// Any other type.
        Other = "other",
    }
}

table! {
    /// What kinds of sockets each cgroup made in one interval. Authoritative for counts, as `flows` is for edges: shows
    /// who uses raw, packet, ICMP and SCTP sockets, whose traffic is in no other table.
    pub struct SocketRow in Node "sockets" {
        /// Start of the interval the counts are of.
        pub interval_start: Time,
        /// End of the interval the counts are of.
        pub interval_end: Time,
        /// Address family.
        pub family: SocketFamily,
        /// Type.
        pub socket_type: SocketType,
        /// Protocol as `socket()` was asked for it or chose it: an IANA protocol number for `inet` and `inet6`, an
        /// EtherType for `packet`.
        pub protocol: u16,
        /// cgroup v2 id of the socket.
        pub cgroup_id: Option<u64>,
        /// Inode of the socket's network namespace.
        pub netns: Option<u32>,
        /// Sockets made; 0 for sockets found open by an iterator.
        pub count: u64,
        /// First one of the interval.
        pub first_seen: Time,
        /// Last one of the interval.
        pub last_seen: Time,
        /// Which hook counted.
        pub hook: Hook,
    }
}
