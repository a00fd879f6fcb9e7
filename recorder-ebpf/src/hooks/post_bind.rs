//! A socket was bound: it has its address and its port. One that the kernel binds unasked, when it connects or sends, does not
//! come here, nor does one that leaves its port for later (`IP_BIND_ADDRESS_NO_PORT`).

use aya_ebpf::bindings::bpf_sock;
use aya_ebpf::helpers::generated::bpf_get_socket_cookie;
use flowtape_recorder_ebpf::abi::address::Address;
use flowtape_recorder_ebpf::abi::counters::Counters;
use flowtape_recorder_ebpf::abi::event::{Event, FLAG_V4_MAPPED};
use flowtape_recorder_ebpf::abi::flow::FlowKey;
use flowtape_recorder_ebpf::abi::id::{HookId, Protocol, RecordKind};
use flowtape_recorder_ebpf::abi::listen::{ListenKey, ListenValue};

use super::peer::{TCP, UDP, local_port, protocol};
use crate::count::{self, Moment, bump};
use crate::map::BOUND;
use crate::{sock, task};

/// Tells of it, and counts a listener if it is one of UDP whose program chose the port.
#[inline(always)]
pub(super) fn note(hook: HookId, sk: *mut bpf_sock, local_ip: Address) {
    let Some(counters) = count::counters(hook) else {
        return;
    };
    bump(&mut counters.invocations);
    match protocol(sk) {
        TCP => bound(counters, hook, sk, local_ip, Protocol::Tcp),
        UDP => bound(counters, hook, sk, local_ip, Protocol::Udp),
        _ => bump(&mut counters.filtered),
    }
}

#[inline(always)]
fn bound(counters: &mut Counters, hook: HookId, sk: *mut bpf_sock, local_ip: Address, protocol: Protocol) {
    let socket = sock::number(sk);
    let owner = sock::owner_of(socket);
    if owner.cgroup_id == 0 || owner.netns == 0 {
        bump(&mut counters.read_fail);
    }
    let key = ListenKey {
        cgroup_id: owner.cgroup_id,
        netns: owner.netns,
        port: local_port(sk),
        protocol: protocol.id(),
        ip_version: local_ip.ip_version(),
        local_ip,
    };
    let moment = Moment::now(RecordKind::Bind);
    let fill = |event: &mut Event| {
        if matches!(hook, HookId::PostBind6) && local_ip.is_v4() {
            event.flags = FLAG_V4_MAPPED;
        }
        // SAFETY: the context of this program.
        event.cookie = unsafe { bpf_get_socket_cookie(sk.cast()) };
        task::put(event);
    };
    let chosen = if matches!(protocol, Protocol::Udp) {
        BOUND.get_ptr_mut(socket)
    } else {
        None
    };
    let Some(chosen) = chosen else {
        let _ = count::offer(counters, &FlowKey::of_listener(&key, hook), moment, &fill);
        return;
    };
    // SAFETY: a live map value. Its socket is locked, so nobody else writes to it.
    unsafe { *chosen = key };
    let change = ListenValue {
        first_ns: moment.ts_ns,
        last_ns: moment.ts_ns,
        opened: 1,
        closed: 0,
        backlog: 0,
        hook: hook.id().into(),
    };
    count::listen(counters, &key, &change, moment, hook, &fill);
}
