//! Words the recorder writes before the programs are loaded. They are read-only afterwards, so the verifier sees constants.

use flowtape_recorder_ebpf::abi::layout::Layout;

/// Its name says which [`ABI_REVISION`](flowtape_recorder_ebpf::ABI_REVISION) the object speaks.
#[unsafe(no_mangle)]
static ABI_REVISION_4: u32 = flowtape_recorder_ebpf::ABI_REVISION;

/// Where the running kernel keeps what the programs read.
#[unsafe(no_mangle)]
pub(crate) static LAYOUT: Layout = Layout::ZERO;

/// Bytes of the ring buffer above which its reader is woken; it polls otherwise.
#[unsafe(no_mangle)]
static WAKE_ABOVE: u64 = 0;

/// Edges that one control group may have in each direction between two drains; more are folded.
#[unsafe(no_mangle)]
static QUOTA: u64 = 0;

/// `1` if the task behind a connect is wanted (process id, name, control group).
#[unsafe(no_mangle)]
static WANT_TASK: u32 = 0;

/// `1` if every datagram of a connected socket is shown by `tp_btf/sock_send_length`.
#[unsafe(no_mangle)]
static SEND_LENGTH: u32 = 0;

/// `1` if programs show what is asked of `connect()`.
#[unsafe(no_mangle)]
static CONNECT: u32 = 0;

/// One offset of [`LAYOUT`].
///
/// Volatile, because the compiler would otherwise use the zeros of the object.
#[inline(always)]
pub(crate) fn offset(field: &'static u32) -> usize {
    // SAFETY: a reference is always good to read.
    unsafe { core::ptr::read_volatile(field) as usize }
}

/// See [`WAKE_ABOVE`]. Touches the revision as well, so that the linker keeps it.
#[inline(always)]
pub(crate) fn wake_above() -> u64 {
    // SAFETY: references to live statics of the same type.
    unsafe {
        core::ptr::read_volatile(&raw const ABI_REVISION_4);
        core::ptr::read_volatile(&raw const WAKE_ABOVE)
    }
}

/// See [`QUOTA`].
#[inline(always)]
pub(crate) fn quota() -> u64 {
    // SAFETY: a reference to a live static of the same type.
    unsafe { core::ptr::read_volatile(&raw const QUOTA) }
}

/// See [`WANT_TASK`].
#[inline(always)]
pub(crate) fn want_task() -> bool {
    // SAFETY: a reference to a live static of the same type.
    unsafe { core::ptr::read_volatile(&raw const WANT_TASK) != 0 }
}

/// See [`SEND_LENGTH`].
#[inline(always)]
pub(crate) fn sends_are_shown() -> bool {
    // SAFETY: a reference to a live static of the same type.
    unsafe { core::ptr::read_volatile(&raw const SEND_LENGTH) != 0 }
}

/// See [`CONNECT`].
#[inline(always)]
pub(crate) fn asking_is_shown() -> bool {
    // SAFETY: a reference to a live static of the same type.
    unsafe { core::ptr::read_volatile(&raw const CONNECT) != 0 }
}
