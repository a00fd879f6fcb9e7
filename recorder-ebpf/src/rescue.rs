//! Makes up for transitions that the kernel did not show to a program.
//!
//! The kernel never lets a program interrupt itself on one processor: what an interrupt brings while the program runs is
//! skipped and counted in `recursion_misses` (`__bpf_trace_run`, `kernel/trace/bpf_trace.c`, v6.12). So a second instance
//! stands behind the first one in the same tracepoint, and handles what the first was not shown. Whether it was cannot be
//! told from when the first one begins and ends, because the kernel skips it from a moment before its first instruction to
//! a moment after its last. What can be told, without a gap, is this:
//!
//! - On the stack of a task nothing was interrupted, so the first instance has run. Tracepoints are called with preemption
//!   disabled, and only what arrives in a soft interrupt changes a connection in the middle of a task; that runs on the
//!   interrupt stack of its processor (`irq_exit_rcu`, `arch/x86/include/asm/irq_stack.h`, v6.12).
//! - On the interrupt stack, where soft interrupts do not interrupt each other, the first instance has run if the last
//!   transition it was shown is this one. A transition is known by its socket and its states. It is forgotten at once, because
//!   the next socket at the same address may go through the same states while the first instance begins to run.
//!
//! Where this is wrong after all, as in a kernel for real time, whose soft interrupts are tasks, a transition stays missed and
//! is counted as such: the recorder subtracts what was rescued from what was skipped.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::generated::bpf_get_current_task_btf;
use aya_ebpf::programs::BtfTracePointContext;

use crate::map::SHOWN;
use crate::sock::{self, Sock};

/// The last transition of this processor that the first instance was shown.
#[repr(C)]
pub(crate) struct Shown {
    /// The address of its `struct sock`.
    socket: u64,
    states: u64,
    /// Where the second instance makes a number of its context's address, on which programs may not do arithmetic.
    context: u64,
}

/// `THREAD_SIZE` of x86-64 (`arch/x86/include/asm/page_64_types.h`, v6.12).
const STACK_LEN: u64 = 16 << 10;

/// The first instance is shown a transition.
#[inline(always)]
pub(crate) fn note(sk: *const Sock, old: i32, new: i32) {
    if let Some(shown) = SHOWN.get_ptr_mut(0) {
        // SAFETY: a live map value of this processor.
        unsafe {
            core::ptr::write_volatile(&raw mut (*shown).socket, sk as u64);
            core::ptr::write_volatile(&raw mut (*shown).states, states(old, new));
        }
    }
}

/// The second instance is shown a transition; says whether the first one was.
#[inline(always)]
pub(crate) fn was_shown(context: &BtfTracePointContext, sk: *const Sock, old: i32, new: i32) -> bool {
    let Some(shown) = SHOWN.get_ptr_mut(0) else { return true };
    // SAFETY: a live map value of this processor.
    unsafe {
        let is_last = core::ptr::read_volatile(&raw const (*shown).socket) == sk as u64
            && core::ptr::read_volatile(&raw const (*shown).states) == states(old, new);
        // The last one first: it nearly always is, and costs less to find out.
        let was_shown = is_last || is_on_task_stack(shown, context);
        if was_shown {
            core::ptr::write_volatile(&raw mut (*shown).socket, 0);
        }
        was_shown
    }
}

/// Says whether the tracepoint was called on the stack of the current task.
///
/// # Safety
/// `shown` is a live map value of this processor.
#[inline(always)]
unsafe fn is_on_task_stack(shown: *mut Shown, context: &BtfTracePointContext) -> bool {
    // SAFETY: the caller vouches for the map value; the helper has no arguments and gives a typed pointer.
    unsafe {
        core::ptr::write_volatile(&raw mut (*shown).context, context.as_ptr() as u64);
        let context = core::ptr::read_volatile(&raw const (*shown).context);
        let stack = sock::task_stack(bpf_get_current_task_btf() as *const u8);
        context.wrapping_sub(stack) < STACK_LEN
    }
}

/// Two states as one word.
#[inline(always)]
fn states(old: i32, new: i32) -> u64 {
    u64::from(old as u32) << 32 | u64::from(new as u32)
}
