//! One socket operation with its full tuple, as it travels through the ring buffer.

use crate::abi::address::Address;

/// Length of a task's name, with its final zero (`TASK_COMM_LEN`, `include/linux/sched.h`).
pub const COMM_LEN: usize = 16;

/// The socket is `AF_INET6` and talks IPv4 (or listens on a v4-mapped address).
pub const FLAG_V4_MAPPED: u8 = 1;
/// `pid`, `task_cgroup_id` and `comm` are those of the task that asked for the operation; of a socket that was found, `pid` and
/// `comm` are those of a task that holds it.
pub const FLAG_TASK: u8 = 1 << 1;
/// This occurrence is counted nowhere else, and the recorder does: the map had no room for it, or was not asked.
pub const FLAG_UNCOUNTED: u8 = 1 << 2;
/// Which side it is, is known by what is bound to its port; for a socket that was found.
pub const FLAG_BY_BINDING: u8 = 1 << 3;

/// Name of a task, padded with zeros. Two words and not sixteen bytes, for the same reason as an
/// [`Address`].
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Comm(pub [u64; COMM_LEN / 8]);

impl Comm {
    /// No name.
    pub const NONE: Self = Self([0; 2]);

    /// The name of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; COMM_LEN]) -> Self {
        Self(super::words_of(bytes))
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(self) -> [u8; COMM_LEN] {
        super::bytes_of(self.0)
    }
}

/// Ring-buffer record: one socket operation.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// A kind of record that is a socket operation: [`RecordKind::is_event`](crate::abi::id::RecordKind::is_event).
    pub kind: u16,
    /// [`HookId`](crate::abi::id::HookId).
    pub hook: u8,
    /// IANA protocol number, [`Protocol`](crate::abi::id::Protocol).
    pub protocol: u8,
    /// [`Direction`](crate::abi::id::Direction).
    pub direction: u8,
    /// [`Outcome`](crate::abi::id::Outcome); `Established` for listening sockets, which did succeed.
    pub outcome: u8,
    /// `4` or `6`: the packets, so an IPv6 socket that talks to a v4-mapped address is `4`.
    pub ip_version: u8,
    /// Union of [`FLAG_V4_MAPPED`], [`FLAG_TASK`], [`FLAG_UNCOUNTED`] and [`FLAG_BY_BINDING`].
    pub flags: u8,
    /// Time, nanoseconds of `CLOCK_BOOTTIME`.
    pub ts_ns: u64,
    /// Version 2 control group of the socket; `0` if not known.
    pub cgroup_id: u64,
    /// Cookie of the socket: unique since boot.
    pub cookie: u64,
    /// Version 2 control group of the task; `0` without [`FLAG_TASK`].
    pub task_cgroup_id: u64,
    /// Inode number of the socket's network namespace; `0` if not known.
    pub netns: u32,
    /// Process id in the initial pid namespace; `0` without [`FLAG_TASK`].
    pub pid: u32,
    /// `sk_err` of a failed connect; `0` otherwise.
    pub errno: u32,
    /// Accept queue length asked for, for `Listen`; `0` otherwise.
    pub backlog: u32,
    /// Address of this socket.
    pub local_ip: Address,
    /// Address of the other side; unspecified where there is none.
    pub remote_ip: Address,
    /// Address the program asked for, where something put another in its place; unspecified if it is the same or not known.
    pub asked_ip: Address,
    /// Port of this socket, host byte order; `0` if it never had one.
    pub local_port: u16,
    /// Port of the other side, host byte order; `0` where there is none.
    pub remote_port: u16,
    /// Port the program asked for, host byte order; `0` if it is the same or not known.
    pub asked_port: u16,
    /// Address family of the socket (`AF_*`), for `Socket` and `Snapshot`; `0` otherwise.
    pub family: u8,
    /// Type of the socket (`SOCK_*`), for `Socket` and `Snapshot`; `0` otherwise.
    pub socket_type: u8,
    /// Name of the task; none without [`FLAG_TASK`].
    pub comm: Comm,
}

const _: () = assert!(size_of::<Event>() == 128 && align_of::<Event>() == 8);
