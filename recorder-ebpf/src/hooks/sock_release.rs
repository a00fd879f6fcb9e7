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
use crate::bound::{self, Bound};
use crate::count::{self, Fold, Moment, bump};
use crate::{sock, task};

/// The program. What is no UDP is not counted as a run: nearly everything that is closed is TCP.
#[cgroup_sock(sock_release)]
fn sock_release(context: SockContext) -> i32 {
    let sk = context.sock;
    if protocol(sk) == UDP
        && let Some(counters) = count::counters(HookId::SockRelease)
    {
        if !released(counters, sk) {
            bump(&mut counters.filtered);
        }
    }
    1
}

/// Says whether it was a listener.
#[inline(always)]
fn released(counters: &mut Counters, sk: *mut bpf_sock) -> bool {
    let Some(Bound {
        listener: mut key,
        cookie,
    }) = listener(counters, sk)
    else {
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
    // As of TCP, nothing is said of the task: it is whichever closes last, and the beginning says whose program it was.
    let fill = |event: &mut Event| event.cookie = cookie;
    let by = HookId::SockRelease;
    count::listen(counters, &mut key, &change, moment, by, Fold::Never, &fill);
    true
}

/// As what it was counted, or must have been before the window.
#[inline(always)]
fn listener(counters: &mut Counters, sk: *mut bpf_sock) -> Option<Bound> {
    // Not what the socket says now: one that was bound to no address has one once it is connected.
    if let Some(bound) = bound::find(sk as u64) {
        let bound = *bound;
        bound::forget(sk as u64);
        return bound.is_listener().then_some(bound);
    }
    let socket = sock::number(sk);
    if !sock::port_is_locked(socket) {
        return None;
    }
    let owner = task::owner_of(socket);
    if owner.cgroup_id == 0 || owner.netns == 0 {
        bump(&mut counters.read_fail);
    }
    let (local_ip, port) = sock::local_of(socket);
    Some(Bound {
        listener: ListenKey {
            cgroup_id: owner.cgroup_id,
            netns: owner.netns,
            port,
            protocol: Protocol::Udp.id(),
            ip_version: local_ip.ip_version(),
            local_ip,
        },
        // SAFETY: the context of this program.
        cookie: unsafe { bpf_get_socket_cookie(sk.cast()) },
    })
}
