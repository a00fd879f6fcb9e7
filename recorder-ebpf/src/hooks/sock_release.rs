//! The last descriptor of a socket was closed.
//!
//! Relies on `BPF_CGROUP_INET_SOCK_RELEASE` (v5.9; `inet_release`, `net/ipv4/af_inet.c`). Every socket of IPv4 and IPv6 ends
//! here; only those of UDP with a chosen port have not been told of elsewhere.

use aya_ebpf::bindings::bpf_sock;
use aya_ebpf::helpers::generated::bpf_get_socket_cookie;
use aya_ebpf::macros::cgroup_sock;
use aya_ebpf::programs::SockContext;
use flowtape_recorder_ebpf::abi::counters::Counters;
use flowtape_recorder_ebpf::abi::event::Event;
use flowtape_recorder_ebpf::abi::id::{HookId, Protocol, RecordKind};
use flowtape_recorder_ebpf::abi::listen::{ListenKey, ListenValue};

use super::peer::{UDP, protocol};
use crate::count::{self, Moment, bump};
use crate::map::BOUND;
use crate::{sock, task};

/// The program. What is no UDP is not counted as a run: nearly everything that is closed is TCP.
#[cgroup_sock(sock_release)]
fn sock_release(context: SockContext) -> i32 {
    let sk = context.sock;
    if protocol(sk) == UDP
        && let Some(counters) = count::counters(HookId::SockRelease)
    {
        bump(&mut counters.invocations);
        if !released(counters, sk) {
            bump(&mut counters.filtered);
        }
    }
    1
}

/// Says whether it was a listener.
#[inline(always)]
fn released(counters: &mut Counters, sk: *mut bpf_sock) -> bool {
    let socket = sock::number(sk);
    let Some(key) = listener(counters, socket) else {
        return false;
    };
    let moment = Moment::now(RecordKind::Unlisten);
    let change = ListenValue {
        first_ns: moment.ts_ns,
        last_ns: moment.ts_ns,
        opened: 0,
        closed: 1,
        backlog: 0,
        hook: HookId::SockRelease.id().into(),
    };
    count::listen(
        counters,
        &key,
        &change,
        moment,
        HookId::SockRelease,
        &|event: &mut Event| {
            // SAFETY: the context of this program.
            event.cookie = unsafe { bpf_get_socket_cookie(sk.cast()) };
            task::put(event);
        },
    );
    true
}

/// As what it was counted, or must have been before the window.
#[inline(always)]
fn listener(counters: &mut Counters, socket: u64) -> Option<ListenKey> {
    // Not what the socket says now: one that was bound to no address has one once it is connected.
    if let Some(bound) = BOUND.get_ptr(socket) {
        // SAFETY: a live map value, of a socket that nobody else has any more.
        let key = unsafe { *bound };
        let _ = BOUND.remove(socket);
        return (key.port != 0).then_some(key);
    }
    if !sock::port_is_locked(socket) {
        return None;
    }
    let owner = sock::owner_of(socket);
    if owner.cgroup_id == 0 || owner.netns == 0 {
        bump(&mut counters.read_fail);
    }
    let (local_ip, port) = sock::local_of(socket);
    Some(ListenKey {
        cgroup_id: owner.cgroup_id,
        netns: owner.netns,
        port,
        protocol: Protocol::Udp.id(),
        ip_version: local_ip.ip_version(),
        local_ip,
    })
}
