//! Atomic operations on words shared between CPUs.
//!
//! In assembly, because the target has no compare-and-swap in `core::sync::atomic` and the compiler's own intrinsics change
//! their shape between releases. Adding without fetching works on every kernel; compare-and-swap is since 5.12
//! (`BPF_CMPXCHG`, `kernel/bpf/core.c`).

use core::arch::asm;

/// Times a compare-and-swap is tried before the newest value of another CPU is left standing.
const ATTEMPTS: u32 = 4;

/// `*at += amount`.
///
/// # Safety
/// `at` points to a live word of a map value.
#[inline(always)]
pub(crate) unsafe fn add(at: *mut u64, amount: u64) {
    // SAFETY: the caller vouches for the pointer.
    unsafe { asm!("lock *(u64 *)({at} + 0) += {amount}", at = in(reg) at, amount = in(reg) amount) }
}

/// `*at += amount` for a 32-bit word.
///
/// # Safety
/// `at` points to a live word of a map value.
#[inline(always)]
pub(crate) unsafe fn add32(at: *mut u32, amount: u64) {
    // SAFETY: the caller vouches for the pointer.
    unsafe { asm!("lock *(u32 *)({at} + 0) += {amount}", at = in(reg) at, amount = in(reg) amount) }
}

/// Raises `*at` to `value` if it is below. CPUs read the clock before they come here, so they may arrive out of order.
///
/// # Safety
/// `at` points to a live word of a map value.
#[inline(always)]
pub(crate) unsafe fn raise(at: *mut u64, value: u64) {
    for _ in 0..ATTEMPTS {
        // SAFETY: the caller vouches for the pointer.
        let seen = unsafe { core::ptr::read_volatile(at) };
        // SAFETY: the same.
        if seen >= value || unsafe { swap(at, seen, value) } == seen {
            return;
        }
    }
}

/// Lowers `*at` to `value` if it is above.
///
/// # Safety
/// `at` points to a live word of a map value.
#[inline(always)]
pub(crate) unsafe fn lower(at: *mut u64, value: u64) {
    for _ in 0..ATTEMPTS {
        // SAFETY: the caller vouches for the pointer.
        let seen = unsafe { core::ptr::read_volatile(at) };
        // SAFETY: the same.
        if seen <= value || unsafe { swap(at, seen, value) } == seen {
            return;
        }
    }
}

/// Compare-and-swap; gives back what was there.
#[inline(always)]
unsafe fn swap(at: *mut u64, expected: u64, new: u64) -> u64 {
    let seen: u64;
    // SAFETY: the caller vouches for the pointer. The instruction compares with r0 and leaves what it found there.
    unsafe {
        asm!(
            "r0 = cmpxchg_64({at} + 0, r0, {new})",
            at = in(reg) at,
            new = in(reg) new,
            inlateout("r0") expected => seen,
        );
    }
    seen
}
