//! A control group was made.
//!
//! Relies on `TP_PROTO(struct cgroup *cgrp, const char *path)` of the event class `cgroup`
//! (`include/trace/events/cgroup.h`, since v4.20; the path is that below the root of the hierarchy).

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use flowtape_recorder_ebpf::abi::id::{HookId, RecordKind};

/// The program.
#[btf_tracepoint(function = "cgroup_mkdir")]
fn cgroup_mkdir(context: BtfTracePointContext) -> i32 {
    super::cgroup::tell(
        HookId::CgroupMkdir,
        RecordKind::CgroupMade,
        context.arg(0),
        context.arg(1),
    );
    0
}
