//! What the kernel counts: one entry per edge key, in a hash map that never evicts.

use crate::abi::address::Address;
use crate::abi::event::Event;
use crate::abi::id::{Direction, HookId, Outcome};
use crate::abi::listen::ListenKey;

/// What makes two connections the same edge for the kernel.
///
/// The client's ephemeral port is left out, so a thousand connections to one server are one key.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// Version 2 control group of the socket (the inode number of its directory); `0` if not known.
    pub cgroup_id: u64,
    /// Inode number of the socket's network namespace; `0` if not known.
    pub netns: u32,
    /// The port of the server, host byte order: the remote port for `Out`, the local port for `In`.
    pub service_port: u16,
    /// IANA protocol number, [`Protocol`](crate::abi::id::Protocol).
    pub protocol: u8,
    /// [`Direction`].
    pub direction: u8,
    /// Address of this socket.
    pub local_ip: Address,
    /// Address of the other side; unspecified where it is folded.
    pub remote_ip: Address,
    /// Address the program asked for, where something put another in its place; unspecified if it is the same or not known.
    pub asked_ip: Address,
    /// Port the program asked for, host byte order; `0` if it is the same or not known.
    pub asked_port: u16,
    /// [`Outcome`].
    pub outcome: u8,
    /// `4` or `6`: the packets, so an IPv6 socket that talks to a v4-mapped address is `4`.
    pub ip_version: u8,
    /// The hook that counts, [`HookId`].
    pub hook: u8,
    /// [`FOLDED_NOT`], [`FOLDED_REMOTE`] or [`FOLDED_PORT`].
    pub folded: u8,
    /// Padding, always zero: the kernel compares keys byte by byte.
    pub pad: [u8; 2],
}

impl FlowKey {
    /// The key as it stands in memory, on a machine whose lowest byte comes first.
    #[must_use]
    #[inline]
    pub const fn words(&self) -> [u64; 9] {
        let [local, local_end] = self.local_ip.words();
        let [remote, remote_end] = self.remote_ip.words();
        let [asked, asked_end] = self.asked_ip.words();
        [
            self.cgroup_id,
            self.netns as u64
                | (self.service_port as u64) << 32
                | (self.protocol as u64) << 48
                | (self.direction as u64) << 56,
            local,
            local_end,
            remote,
            remote_end,
            asked,
            asked_end,
            self.asked_port as u64
                | (self.outcome as u64) << 16
                | (self.ip_version as u64) << 24
                | (self.hook as u64) << 32
                | (self.folded as u64) << 40,
        ]
    }

    /// The edge of an event that has another side.
    #[must_use]
    #[inline]
    pub const fn of(event: &Event) -> Self {
        let is_client = event.direction == Direction::Out.id();
        Self {
            cgroup_id: event.cgroup_id,
            netns: event.netns,
            service_port: if is_client { event.remote_port } else { event.local_port },
            protocol: event.protocol,
            direction: event.direction,
            local_ip: event.local_ip,
            remote_ip: event.remote_ip,
            asked_ip: event.asked_ip,
            asked_port: event.asked_port,
            outcome: event.outcome,
            ip_version: event.ip_version,
            hook: event.hook,
            folded: FOLDED_NOT,
            pad: [0; 2],
        }
    }

    /// What an event of a listener says, in the place of an edge.
    #[must_use]
    #[inline]
    pub const fn of_listener(listener: &ListenKey, hook: HookId) -> Self {
        Self {
            cgroup_id: listener.cgroup_id,
            netns: listener.netns,
            service_port: listener.port,
            protocol: listener.protocol,
            direction: Direction::None.id(),
            local_ip: listener.local_ip,
            remote_ip: Address::UNSPECIFIED,
            asked_ip: Address::UNSPECIFIED,
            asked_port: 0,
            outcome: Outcome::Established.id(),
            ip_version: listener.ip_version,
            hook: hook.id(),
            folded: FOLDED_NOT,
            pad: [0; 2],
        }
    }
}

/// The key is that of one edge.
pub const FOLDED_NOT: u8 = 0;
/// The address of the other side is left out, because the control group has more of them than its quota.
pub const FOLDED_REMOTE: u8 = 1;
/// The port of the server is left out as well, because there were too many of those too.
pub const FOLDED_PORT: u8 = 2;

const _: () = assert!(size_of::<FlowKey>() == 72 && align_of::<FlowKey>() == 8);

/// What the kernel knows about a key since the map was last drained.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowValue {
    /// Time of the first occurrence, nanoseconds of `CLOCK_BOOTTIME`.
    pub first_ns: u64,
    /// Time of the last occurrence, nanoseconds of `CLOCK_BOOTTIME`.
    pub last_ns: u64,
    /// Occurrences.
    pub count: u64,
    /// Occurrences of which an event record reached the ring buffer.
    pub samples: u64,
}

const _: () = assert!(size_of::<FlowValue>() == 32 && align_of::<FlowValue>() == 8);

/// Ring-buffer record: one occurrence for which the flow map had no room. The recorder adds it to its own flows.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overflow {
    /// [`RecordKind::Overflow`](crate::abi::id::RecordKind).
    pub kind: u16,
    /// [`HookId`].
    pub hook: u8,
    /// `1` if an event record of this same occurrence reached the ring buffer as well.
    pub sampled: u8,
    /// `1`, or `0` where only the fact is told that there is such an edge.
    pub occurrences: u8,
    /// Padding, always zero.
    pub pad: [u8; 3],
    /// Time of the occurrence, nanoseconds of `CLOCK_BOOTTIME`.
    pub ts_ns: u64,
    /// The edge.
    pub key: FlowKey,
}

const _: () = assert!(size_of::<Overflow>() == 88 && align_of::<Overflow>() == 8);
