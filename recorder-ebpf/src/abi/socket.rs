//! Which kinds of sockets were made: raw and ICMP sockets open no connection and would show nowhere else.

/// What makes two sockets the same kind for the kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketKey {
    /// Version 2 control group of the socket (the inode number of its directory); `0` if not known.
    pub cgroup_id: u64,
    /// Inode number of the socket's network namespace; `0` if not known.
    pub netns: u32,
    /// Protocol as `socket()` chose it; MPTCP (262) does not fit a byte.
    pub protocol: u16,
    /// Address family, `AF_*` (`include/linux/socket.h`).
    pub family: u8,
    /// `SOCK_*` (`include/linux/net.h`).
    pub socket_type: u8,
}

const _: () = assert!(size_of::<SocketKey>() == 16 && align_of::<SocketKey>() == 8);

impl SocketKey {
    /// The key as it stands in memory, on a machine whose lowest byte comes first.
    #[must_use]
    #[inline]
    pub const fn words(&self) -> [u64; 2] {
        [
            self.cgroup_id,
            self.netns as u64
                | (self.protocol as u64) << 32
                | (self.family as u64) << 48
                | (self.socket_type as u64) << 56,
        ]
    }
}

/// How many of a kind were made since the map was last drained.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketValue {
    /// Time of the first, nanoseconds of `CLOCK_BOOTTIME`.
    pub first_ns: u64,
    /// Time of the last, nanoseconds of `CLOCK_BOOTTIME`.
    pub last_ns: u64,
    /// Sockets.
    pub count: u64,
    /// Sockets of which an event record reached the ring buffer, counted only where not every event is wanted.
    pub samples: u64,
}

const _: () = assert!(size_of::<SocketValue>() == 32 && align_of::<SocketValue>() == 8);
