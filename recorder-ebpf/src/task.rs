//! The task a program runs in, where that is the one that asked.
//!
//! Its fields are read and not asked for: each of the helpers that tell one costs as much as all of them read.

use aya_ebpf::helpers::generated::bpf_get_current_task_btf;
use flowtape_recorder_ebpf::abi::attempt::Attempt;
use flowtape_recorder_ebpf::abi::event::{Event, FLAG_TASK};

use crate::global::want_task;
use crate::sock::{self, Owner};

/// Puts the current task into an event, if it is wanted.
#[inline(always)]
pub(crate) fn put(event: &mut Event) {
    if want_task() {
        // SAFETY: the current task.
        put_of(event, unsafe { sock::task_cgroup(current()) });
    }
}

/// The same where the control group of the task is known.
#[inline(always)]
pub(crate) fn put_of(event: &mut Event, cgroup_id: u64) {
    if !want_task() {
        return;
    }
    event.flags |= FLAG_TASK;
    event.task_cgroup_id = cgroup_id;
    let task = current();
    // SAFETY: the current task.
    unsafe {
        event.pid = sock::task_process(task);
        event.comm = sock::task_name(task);
    }
}

/// Puts the current task into an attempt, if it is wanted.
#[inline(always)]
pub(crate) fn put_attempt(attempt: &mut Attempt) {
    if !want_task() {
        return;
    }
    attempt.flags |= FLAG_TASK;
    let task = current();
    // SAFETY: the current task.
    unsafe {
        attempt.task_cgroup_id = sock::task_cgroup(task);
        attempt.pid = sock::task_process(task);
        attempt.comm = sock::task_name(task);
    }
}

/// Whom the sockets belong to that the current task makes.
#[inline(always)]
pub(crate) fn owner() -> Owner {
    // SAFETY: the current task.
    unsafe { sock::task_owner(current()) }
}

/// Whom a socket belongs to that the current task uses, by its address.
#[inline(always)]
pub(crate) fn owner_of(socket: u64) -> Owner {
    Owner {
        cgroup_id: cgroup_of(socket),
        netns: netns_of(socket),
    }
}

/// The control group of a socket that the current task uses, by its address.
#[inline(always)]
pub(crate) fn cgroup_of(socket: u64) -> u64 {
    // SAFETY: the current task.
    unsafe { sock::cgroup_of(socket, current()) }
}

/// Its network namespace.
#[inline(always)]
pub(crate) fn netns_of(socket: u64) -> u32 {
    // SAFETY: the current task.
    unsafe { sock::netns_of(socket, current()) }
}

/// A typed pointer to the current task.
#[inline(always)]
fn current() -> *const u8 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_get_current_task_btf() as *const u8 }
}
