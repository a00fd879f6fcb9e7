//! Entries of attempts to connect.

use flowtape_recorder_ebpf::abi::attempt::Attempt;

use crate::map::CONNECTS;

/// What an entry holds until it is filled in place: the stack has no room for a whole one beside an edge.
static EMPTY: Attempt = Attempt::NONE;

/// The entry of a socket. Only programs for this one socket change it, and they wait for each other.
#[inline(always)]
pub(crate) fn find(socket: u64) -> Option<&'static mut Attempt> {
    let attempt = CONNECTS.get_ptr_mut(socket)?;
    // SAFETY: a live map value.
    Some(unsafe { &mut *attempt })
}

/// An empty entry for a socket, in place of the one it had; `None` if there is no room.
#[inline(always)]
pub(crate) fn begin(socket: u64) -> Option<&'static mut Attempt> {
    CONNECTS.insert(socket, &EMPTY, 0).ok()?;
    find(socket)
}

/// Forgets the entry of a socket.
#[inline(always)]
pub(crate) fn end(socket: u64) {
    // There is none for an attempt that found no room, or that began before the window.
    let _ = CONNECTS.remove(socket);
}
