//! Sockets of UDP whose program asked for a port, which makes them listeners.

use flowtape_recorder_ebpf::abi::address::Address;
use flowtape_recorder_ebpf::abi::listen::ListenKey;

use crate::map::BOUND;

/// What is known of such a socket. Everything that its end needs stands here, because asking the socket costs more.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Bound {
    /// As what it is counted. Until the kernel has bound the socket only its control group: each of the two programs that a call
    /// of `bind()` runs reads half of whom the socket belongs to, because that is what costs them most.
    pub(crate) listener: ListenKey,
    /// Cookie of the socket, once it is bound.
    pub(crate) cookie: u64,
}

impl Bound {
    /// Whether the kernel has bound the socket.
    #[inline(always)]
    pub(crate) fn is_listener(&self) -> bool {
        self.listener.protocol != 0
    }
}

/// The entry of a socket. The socket is locked, or has nobody else any more, so nobody else writes to it.
///
/// The address may be a pointer that the verifier takes for no number: a key in memory may be one.
#[inline(always)]
pub(crate) fn find(socket: u64) -> Option<&'static mut Bound> {
    let bound = BOUND.get_ptr_mut(socket)?;
    // SAFETY: a live map value.
    Some(unsafe { &mut *bound })
}

/// Notes that a port is asked for, by a socket of this control group; says whether there was room.
#[inline(always)]
pub(crate) fn ask(socket: u64, cgroup_id: u64) -> bool {
    let asked = Bound {
        listener: ListenKey {
            cgroup_id,
            netns: 0,
            port: 0,
            protocol: 0,
            ip_version: 0,
            local_ip: Address::UNSPECIFIED,
        },
        cookie: 0,
    };
    BOUND.insert(socket, asked, 0).is_ok()
}

/// Forgets a socket.
#[inline(always)]
pub(crate) fn forget(socket: u64) {
    // There is none if nothing was asked for, or if there was no room.
    let _ = BOUND.remove(socket);
}
