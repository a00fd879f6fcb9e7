//! Which fields the programs read, and where this kernel keeps them.

use flowtape_recorder_ebpf::abi::layout::Layout;

use super::btf::{Btf, BtfError};

/// Looks up every field in the kernel's type information.
///
/// Names and widths are those of v5.15 to v6.18: `sk_cgrp_data.cgroup` is a pointer since v5.15 (commit "bpf, cgroups: Fix
/// cgroup v2 fallback on v1/v2 mixed mode"), `sk_protocol` and `sk_type` are 16 bits wide since v5.6 and `kernfs_node.id` is
/// a plain integer since v5.5.
pub fn layout(btf: &Btf<'_>) -> Result<Layout, BtfError> {
    let sock = |path, width| btf.offset_of("sock", path, width);
    let remote_v4 = sock("__sk_common.skc_daddr", 4)?;
    // A kernel without IPv6 has no such fields and no socket that would lead there.
    let v6 = |path| match sock(path, 16) {
        Err(BtfError::NoField { .. }) => Ok(remote_v4),
        other => other,
    };
    // Packet sockets may be a module, which describes them elsewhere.
    let packet_protocol = match btf.offset_of("packet_sock", "num", 2) {
        Err(BtfError::NoStruct { .. }) => Ok(0),
        other => other,
    }?;
    let locks = btf.bits_of("sock", "sk_userlocks")?;
    Ok(Layout {
        family: sock("__sk_common.skc_family", 2)?,
        remote_port: sock("__sk_common.skc_dport", 2)?,
        local_port: sock("__sk_common.skc_num", 2)?,
        remote_v4,
        local_v4: sock("__sk_common.skc_rcv_saddr", 4)?,
        remote_v6: v6("__sk_common.skc_v6_daddr")?,
        local_v6: v6("__sk_common.skc_v6_rcv_saddr")?,
        net: sock("__sk_common.skc_net.net", 8)?,
        net_inum: btf.offset_of("net", "ns.inum", 4)?,
        cgroup: sock("sk_cgrp_data.cgroup", 8)?,
        cgroup_root: btf.offset_of("cgroup", "root", 8)?,
        hierarchy_id: btf.offset_of("cgroup_root", "hierarchy_id", 4)?,
        cgroup_kn: btf.offset_of("cgroup", "kn", 8)?,
        kn_id: btf.offset_of("kernfs_node", "id", 8)?,
        protocol: sock("sk_protocol", 2)?,
        error: sock("sk_err", 4)?,
        backlog: sock("sk_max_ack_backlog", 4)?,
        owner: sock("sk_socket", 8)?,
        cookie: sock("__sk_common.skc_cookie.counter", 8)?,
        state: sock("__sk_common.skc_state", 1)?,
        user_locks: locks / 8,
        user_locks_shift: locks % 8,
        upper: btf.offset_of("inet_connection_sock", "icsk_ulp_ops", 8)?,
        source_port: btf.offset_of("inet_sock", "inet_sport", 2)?,
        task_cgroups: btf.offset_of("task_struct", "cgroups", 8)?,
        set_cgroup: btf.offset_of("css_set", "dfl_cgrp", 8)?,
        task_namespaces: btf.offset_of("task_struct", "nsproxy", 8)?,
        namespaces_net: btf.offset_of("nsproxy", "net_ns", 8)?,
        task_stack: btf.offset_of("task_struct", "stack", 8)?,
        task_process: btf.offset_of("task_struct", "tgid", 4)?,
        task_name: btf.bits_of("task_struct", "comm")? / 8,
        socket_type: sock("sk_type", 2)?,
        socket_sk: btf.offset_of("socket", "sk", 8)?,
        packet_protocol,
    })
}

/// Whether the kernel has a tracepoint: each has a type of its own for the functions attached to it.
#[must_use]
pub fn has_tracepoint(btf: &Btf<'_>, name: &str) -> bool {
    btf.has_typedef(&format!("btf_trace_{name}"))
}
