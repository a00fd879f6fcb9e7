//! Listening sockets, which decide who is a server: those of TCP and SCTP that listen, and those of UDP whose program chose a
//! port.

use crate::abi::address::Address;

/// What makes two listening sockets the same listener: several processes may share one port (`SO_REUSEPORT`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenKey {
    /// Version 2 control group of the socket; `0` if not known.
    pub cgroup_id: u64,
    /// Inode number of the socket's network namespace; `0` if not known.
    pub netns: u32,
    /// Local port, host byte order; `0` for the listeners of a share beyond [its quota](crate::abi::quota::LISTENERS).
    pub port: u16,
    /// IANA protocol number, [`Protocol`](crate::abi::id::Protocol).
    pub protocol: u8,
    /// `4` or `6`, the family of the address; `::` also takes IPv4 unless `IPV6_V6ONLY` is set.
    pub ip_version: u8,
    /// Local address; `::` or `::ffff:0.0.0.0` is the wildcard.
    pub local_ip: Address,
}

const _: () = assert!(size_of::<ListenKey>() == 32 && align_of::<ListenKey>() == 8);

/// What happened to a listener since the map was last drained.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenValue {
    /// Time of the first change, nanoseconds of `CLOCK_BOOTTIME`.
    pub first_ns: u64,
    /// Time of the last change, nanoseconds of `CLOCK_BOOTTIME`.
    pub last_ns: u64,
    /// Sockets that began to listen.
    pub opened: u32,
    /// Sockets that ceased to listen.
    pub closed: u32,
    /// Length of the accept queue asked for by the latest socket that began to listen; 0 for UDP.
    pub backlog: u32,
    /// The hook that saw the latest socket begin to listen, or the first one cease if none began: [`HookId`](crate::abi::id::HookId).
    pub hook: u32,
}

const _: () = assert!(size_of::<ListenValue>() == 32 && align_of::<ListenValue>() == 8);
