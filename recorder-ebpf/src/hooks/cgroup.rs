//! What the two control group hooks have in common.

use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use flowtape_recorder_ebpf::abi::cgroup::PATH_LEN;
use flowtape_recorder_ebpf::abi::id::{HookId, RecordKind};

use crate::count::{bump, counters};
use crate::{ring, sock};

/// Tells the recorder that a version 2 control group came or went.
#[inline(always)]
pub(crate) fn tell(hook: HookId, kind: RecordKind, cgroup: *const u8, path: *const u8) {
    let Some(counters) = counters(hook) else { return };
    bump(&mut counters.invocations);
    // SAFETY: the argument of the tracepoint is a `struct cgroup`.
    if !unsafe { sock::is_version_2(cgroup) } {
        bump(&mut counters.filtered);
        return;
    }
    // SAFETY: the same.
    let cgroup_id = unsafe { sock::cgroup_id(cgroup) };
    if cgroup_id == 0 {
        bump(&mut counters.read_fail);
    }
    let Some(mut entry) = ring::reserve_change() else {
        bump(&mut counters.ring_full);
        return;
    };
    let change = entry.as_mut_ptr();
    // SAFETY: the record was reserved with this size; every field is written, the path as far as it goes.
    unsafe {
        (&raw mut (*change).kind).write(kind.id());
        (&raw mut (*change).hook).write(hook.id());
        (&raw mut (*change).pad).write(0);
        (&raw mut (*change).ts_ns).write(bpf_ktime_get_boot_ns());
        (&raw mut (*change).cgroup_id).write(cgroup_id);
        let copied = bpf_probe_read_kernel_str((&raw mut (*change).path).cast(), PATH_LEN as u32, path.cast());
        // The helper counts the final zero; negative is an error.
        (&raw mut (*change).path_len).write(if copied > 0 { (copied - 1) as u32 } else { 0 });
    }
    ring::submit_change(entry);
    bump(&mut counters.samples);
}
