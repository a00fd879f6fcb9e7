//! The task a program runs in, where that is the one that asked.

use aya_ebpf::helpers::generated::bpf_get_current_comm;
use aya_ebpf::helpers::{bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_probe_read_kernel};
use flowtape_recorder_ebpf::abi::attempt::Attempt;
use flowtape_recorder_ebpf::abi::event::{COMM_LEN, Comm, Event, FLAG_TASK};

use crate::global::{LAYOUT, offset, want_task};

/// Puts the current task into an event, if it is wanted.
#[inline(always)]
pub(crate) fn put(event: &mut Event) {
    if !want_task() {
        return;
    }
    event.flags |= FLAG_TASK;
    // SAFETY: a helper without arguments.
    event.task_cgroup_id = unsafe { bpf_get_current_cgroup_id() };
    event.pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    event.comm = current_comm();
}

/// Puts the current task into an attempt, if it is wanted.
#[inline(always)]
pub(crate) fn put_attempt(attempt: &mut Attempt) {
    if !want_task() {
        return;
    }
    attempt.flags |= FLAG_TASK;
    // SAFETY: a helper without arguments.
    attempt.task_cgroup_id = unsafe { bpf_get_current_cgroup_id() };
    attempt.pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    attempt.comm = current_comm();
}

/// The name of any task.
///
/// # Safety
/// `task` is a typed pointer to a `struct task_struct`.
#[inline(always)]
pub(crate) unsafe fn name_of(task: *const u8) -> Comm {
    // SAFETY: the caller vouches for the pointer, the offset is that of the running kernel, and the helper checks the address.
    unsafe { bpf_probe_read_kernel(task.add(offset(&LAYOUT.task_name)).cast()).unwrap_or(Comm::NONE) }
}

/// Its name; none if the kernel has none.
#[inline(always)]
fn current_comm() -> Comm {
    let mut comm = Comm::NONE;
    // SAFETY: a live buffer of the stated length, which the kernel zeroes when it fails.
    unsafe { bpf_get_current_comm((&raw mut comm).cast(), COMM_LEN as u32) };
    comm
}
