//! `socket()` made a socket of IPv4 or IPv6, of whatever type and protocol.
//!
//! Relies on `BPF_CGROUP_INET_SOCK_CREATE` (v4.10; `inet_create`, `net/ipv4/af_inet.c`, and `inet6_create`,
//! `net/ipv6/af_inet6.c`). Sockets of other families and those of the kernel itself do not come here, nor do accepted ones.
//!
//! Counted by kind and not by itself: every socket of the node passes, and most of them show again where they are used.

use aya_ebpf::bindings::{BPF_NOEXIST, bpf_sock};
use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use aya_ebpf::helpers::generated::bpf_get_socket_cookie;
use aya_ebpf::macros::cgroup_sock;
use aya_ebpf::maps::HashMap;
use aya_ebpf::programs::SockContext;
use flowtape_recorder_ebpf::abi::address::Address;
use flowtape_recorder_ebpf::abi::control::SAMPLE_ALL;
use flowtape_recorder_ebpf::abi::counters::Counters;
use flowtape_recorder_ebpf::abi::event::{Event, FLAG_UNCOUNTED};
use flowtape_recorder_ebpf::abi::flow::FlowKey;
use flowtape_recorder_ebpf::abi::id::{HookId, Protocol, RecordKind};
use flowtape_recorder_ebpf::abi::listen::ListenKey;
use flowtape_recorder_ebpf::abi::socket::{SocketKey, SocketValue};

use crate::count::{self, Moment, bump};
use crate::map::{SOCKETS_0, SOCKETS_1};
use crate::{task, word};

/// `AF_INET` (`include/linux/socket.h`).
const AF_INET: u8 = 2;
/// `IPPROTO_MPTCP`, which does not fit a byte.
const IPPROTO_MPTCP: u16 = 262;

/// The program.
#[cgroup_sock(sock_create)]
fn sock_create(context: SockContext) -> i32 {
    if let Some(counters) = count::counters(HookId::SockCreate) {
        made(counters, context.sock);
    }
    1
}

/// Counts a socket and offers its event.
#[inline(always)]
fn made(counters: &mut Counters, sk: *mut bpf_sock) {
    let key = kind_of(counters, sk);
    let moment = Moment {
        kind: RecordKind::Socket,
        // SAFETY: a helper without arguments.
        ts_ns: unsafe { bpf_ktime_get_boot_ns() },
    };
    let control = count::control();
    // A call for each half: the kernel looks directly into a map that it knows, and by way of a table into one of two.
    let value = if control.second_half() {
        entry(&SOCKETS_1, &key, moment.ts_ns)
    } else {
        entry(&SOCKETS_0, &key, moment.ts_ns)
    };
    let Some(value) = value else {
        bump(&mut counters.map_full);
        if !offer(counters, sk, &key, moment, FLAG_UNCOUNTED) {
            bump(&mut counters.edge_lost);
        }
        return;
    };
    let limit = control.limits().connections;
    // SAFETY: a live map value; the recorder empties this half only after every program that saw it active has ended.
    let samples = unsafe {
        word::add(&raw mut (*value).count, 1);
        word::lower(&raw mut (*value).first_ns, moment.ts_ns);
        word::raise(&raw mut (*value).last_ns, moment.ts_ns);
        &raw mut (*value).samples
    };
    let is_limited = limit != SAMPLE_ALL;
    // SAFETY: the same.
    if is_limited && unsafe { core::ptr::read_volatile(samples) } >= u64::from(limit) {
        bump(&mut counters.thinned);
    } else if offer(counters, sk, &key, moment, 0) && is_limited {
        // SAFETY: the same.
        unsafe { word::add(samples, 1) };
    }
}

/// Whose socket it is, and what it is.
#[inline(always)]
fn kind_of(counters: &mut Counters, sk: *mut bpf_sock) -> SocketKey {
    // Asked of the task, whose this socket is: of the socket itself it costs half as much as the program.
    let owner = task::owner();
    if owner.cgroup_id == 0 || owner.netns == 0 {
        bump(&mut counters.read_fail);
    }
    // SAFETY: the context of this program, each field read by itself: the kernel rewrites such reads one by one.
    unsafe {
        SocketKey {
            cgroup_id: owner.cgroup_id,
            netns: owner.netns,
            protocol: core::ptr::read_volatile(&raw const (*sk).protocol) as u16,
            family: core::ptr::read_volatile(&raw const (*sk).family) as u8,
            socket_type: core::ptr::read_volatile(&raw const (*sk).type_) as u8,
        }
    }
}

/// The entry of a kind, made with nothing counted if there is none; `None` if there is no room.
#[inline(always)]
fn entry(sockets: &'static HashMap<SocketKey, SocketValue>, key: &SocketKey, ts_ns: u64) -> Option<*mut SocketValue> {
    let words = key.words();
    // Found by whole words, as edges are. SAFETY: the words of a key stand where the key has them.
    let found = sockets.get_ptr_mut(unsafe { &*(&raw const words).cast::<SocketKey>() });
    if found.is_some() {
        return found;
    }
    let fresh = SocketValue {
        first_ns: ts_ns,
        last_ns: ts_ns,
        count: 0,
        samples: 0,
    };
    // An error is either "somebody else did" or "no room"; the second look tells them apart.
    let _ = sockets.insert(key, fresh, u64::from(BPF_NOEXIST));
    sockets.get_ptr_mut(key)
}

/// Offers the event; says whether there was room.
#[inline(always)]
fn offer(counters: &mut Counters, sk: *mut bpf_sock, key: &SocketKey, moment: Moment, flags: u8) -> bool {
    let owner = ListenKey {
        cgroup_id: key.cgroup_id,
        netns: key.netns,
        protocol: if key.protocol == IPPROTO_MPTCP {
            Protocol::Tcp.id()
        } else {
            key.protocol as u8
        },
        ip_version: if key.family == AF_INET { 4 } else { 6 },
        port: 0,
        local_ip: Address::UNSPECIFIED,
    };
    let edge = FlowKey::of_listener(&owner, HookId::SockCreate);
    count::offer(counters, &edge, moment, &|event: &mut Event| {
        event.flags = flags;
        event.family = key.family;
        event.socket_type = key.socket_type;
        // SAFETY: the context of this program.
        event.cookie = unsafe { bpf_get_socket_cookie(sk.cast()) };
        // The socket is that of the task.
        task::put_of(event, key.cgroup_id);
    })
}
