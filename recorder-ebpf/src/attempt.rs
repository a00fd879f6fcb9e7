//! Entries of attempts to connect.

use aya_ebpf::bindings::BPF_NOEXIST;
use flowtape_recorder_ebpf::abi::attempt::Attempt;

use crate::map::{CONNECTS, UNHELD};

/// The entry of a socket. Only programs for this one socket change it, and they wait for each other.
#[inline(always)]
pub(crate) fn find(socket: u64) -> Option<&'static mut Attempt> {
    let attempt = CONNECTS.get_ptr_mut(socket)?;
    // SAFETY: a live map value.
    Some(unsafe { &mut *attempt })
}

/// Notes an attempt of a socket that has none; says whether it did. There may be one, or no room.
#[inline(always)]
pub(crate) fn begin(socket: u64, attempt: &Attempt) -> bool {
    CONNECTS.insert(socket, attempt, u64::from(BPF_NOEXIST)).is_ok()
}

/// Notes an attempt in place of the one the socket has; says whether there was room.
#[inline(always)]
pub(crate) fn replace(socket: u64, attempt: &Attempt) -> bool {
    CONNECTS.insert(socket, attempt, 0).is_ok()
}

/// Forgets the entry of a socket.
#[inline(always)]
pub(crate) fn end(socket: u64) {
    // There is none for an attempt that found no room, or that began before the window.
    let _ = CONNECTS.remove(socket);
}

/// Remembers that a handshake began for which there is no room; false if there is none for that either.
#[inline(always)]
pub(crate) fn begin_unheld(socket: u64) -> bool {
    UNHELD.insert(socket, 1, 0).is_ok()
}

/// Whether a handshake that ends now began so.
#[inline(always)]
pub(crate) fn end_unheld(socket: u64) -> bool {
    UNHELD.remove(socket).is_ok()
}
