//! A socket was bound: it has its address and its port. One that the kernel binds unasked, when it connects or sends, does not
//! come here, nor does one that leaves its port for later (`IP_BIND_ADDRESS_NO_PORT`).

use aya_ebpf::bindings::bpf_sock;
use aya_ebpf::helpers::generated::bpf_get_socket_cookie;
use flowtape_recorder_ebpf::abi::address::Address;
use flowtape_recorder_ebpf::abi::counters::Counters;
use flowtape_recorder_ebpf::abi::event::{Event, FLAG_V4_MAPPED};
use flowtape_recorder_ebpf::abi::id::{HookId, Protocol, RecordKind};
use flowtape_recorder_ebpf::abi::listen::{ListenKey, ListenValue};

use super::peer::{TCP, UDP, local_port, protocol};
use crate::bound::{self, Bound};
use crate::count::{self, Fold, Moment, bump};
use crate::sock::{self, Owner};
use crate::task;

/// Tells of it, and counts a listener if it is one of UDP whose program chose the port.
#[inline(always)]
pub(super) fn note(hook: HookId, sk: *mut bpf_sock, local_ip: Address) {
    let Some(counters) = count::counters(hook) else {
        return;
    };
    match protocol(sk) {
        TCP => bound(counters, hook, sk, local_ip, Protocol::Tcp),
        UDP => bound(counters, hook, sk, local_ip, Protocol::Udp),
        _ => bump(&mut counters.filtered),
    }
}

#[inline(always)]
fn bound(counters: &mut Counters, hook: HookId, sk: *mut bpf_sock, local_ip: Address, protocol: Protocol) {
    let chosen = if matches!(protocol, Protocol::Udp) {
        bound::find(sk as u64)
    } else {
        None
    };
    let socket = sock::number(sk);
    let owner = Owner {
        cgroup_id: match &chosen {
            Some(chosen) => chosen.listener.cgroup_id,
            None => task::cgroup_of(socket),
        },
        netns: task::netns_of(socket),
    };
    if owner.cgroup_id == 0 || owner.netns == 0 {
        bump(&mut counters.read_fail);
    }
    let mut key = ListenKey {
        cgroup_id: owner.cgroup_id,
        netns: owner.netns,
        port: local_port(sk),
        protocol: protocol.id(),
        ip_version: local_ip.ip_version(),
        local_ip,
    };
    let moment = Moment::now(RecordKind::Bind);
    // SAFETY: the context of this program.
    let cookie = unsafe { bpf_get_socket_cookie(sk.cast()) };
    let fill = |event: &mut Event| {
        if matches!(hook, HookId::PostBind6) && local_ip.is_v4() {
            event.flags = FLAG_V4_MAPPED;
        }
        event.cookie = cookie;
        task::put(event);
    };
    let Some(chosen) = chosen else {
        count::bind(counters, &key, moment, hook, &fill);
        return;
    };
    let change = ListenValue {
        first_ns: moment.ts_ns,
        last_ns: moment.ts_ns,
        opened: 1,
        closed: 0,
        backlog: 0,
        hook: hook.id().into(),
    };
    count::listen(counters, &mut key, &change, moment, hook, Fold::BeyondQuota, &fill);
    *chosen = Bound { listener: key, cookie };
}
