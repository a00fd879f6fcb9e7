//! Sockets that some process holds open at one moment, as the iterator finds them.

use crate::abi::address::Address;
use crate::abi::event::Comm;

/// One socket as one descriptor of one process shows it. Several descriptors, of several processes, may show the same one.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenSocket {
    /// Cookie of the socket. One that MPTCP accepted may have that of its listener.
    pub cookie: u64,
    /// Version 2 control group of the socket; `0` if not known.
    pub cgroup_id: u64,
    /// Inode number of its network namespace; `0` if not known.
    pub netns: u32,
    /// The process that has the descriptor, as the initial pid namespace numbers it.
    pub pid: u32,
    /// Limit of its accept queue: of a connection that was accepted, that of its listener.
    pub backlog: u32,
    /// Address family, `AF_*` (`include/linux/socket.h`).
    pub family: u16,
    /// Protocol; MPTCP (262) does not fit a byte. `EtherType` of a packet socket.
    pub protocol: u16,
    /// Address of this socket; unspecified for a family that is not IP.
    pub local_ip: Address,
    /// Address of the other side; unspecified where there is none.
    pub remote_ip: Address,
    /// Port of this socket, host byte order.
    pub local_port: u16,
    /// Port of the other side, host byte order; `0` where there is none.
    pub remote_port: u16,
    /// `SOCK_*` (`include/linux/net.h`).
    pub socket_type: u16,
    /// State, `TCP_*` (`include/net/tcp_states.h`), which the other protocols use as well.
    pub state: u8,
    /// What its owner chose itself, `SOCK_*_LOCK` (`include/net/sock.h`).
    pub user_locks: u8,
    /// Name of the task.
    pub comm: Comm,
}

const _: () = assert!(size_of::<OpenSocket>() == 88 && align_of::<OpenSocket>() == 8);

/// [`OpenSocket::user_locks`]: it was bound to a port that its owner named (`SOCK_BINDPORT_LOCK`).
pub const PORT_LOCK: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_stands_between_the_fields() {
        let fields = core::mem::offset_of!(OpenSocket, comm) + size_of::<Comm>();
        assert_eq!(fields, size_of::<OpenSocket>());
        assert_eq!(core::mem::offset_of!(OpenSocket, local_ip), 32);
    }
}
