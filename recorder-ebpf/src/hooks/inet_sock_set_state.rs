//! TCP changed its state: the one place where every connection of both sides shows, whatever system call made it.
//!
//! Relies on `TP_PROTO(const struct sock *sk, const int oldstate, const int newstate)`
//! (`include/trace/events/sock.h`, since v4.16; fired by `inet_sk_set_state` and `inet_sk_state_store`,
//! `net/ipv4/af_inet.c`).

use aya_ebpf::helpers::generated::{bpf_get_current_comm, bpf_get_socket_cookie};
use aya_ebpf::helpers::{bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_ktime_get_boot_ns};
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use flowtape_recorder_ebpf::abi::address::Address;
use flowtape_recorder_ebpf::abi::counters::{Counters, RESCUE_SLOT};
use flowtape_recorder_ebpf::abi::event::{COMM_LEN, Comm, Event, FLAG_TASK, FLAG_V4_MAPPED};
use flowtape_recorder_ebpf::abi::flow::{FOLDED_NOT, FlowKey};
use flowtape_recorder_ebpf::abi::id::{Direction, HookId, Outcome, Protocol, RecordKind};
use flowtape_recorder_ebpf::abi::listen::{ListenKey, ListenValue};

use crate::count;
use crate::global::want_task;
use crate::map::{TASKS, Task};
use crate::rescue;
use crate::sock::{self, Sock};

// `include/net/tcp_states.h`.
const ESTABLISHED: i32 = 1;
const SYN_SENT: i32 = 2;
const SYN_RECV: i32 = 3;
const CLOSE: i32 = 7;
const LISTEN: i32 = 10;

/// `IPPROTO_TCP`. MPTCP (262) is passed over: its subflows are TCP sockets of the same control group and show here too.
const IPPROTO_TCP: u16 = 6;

/// The program.
#[btf_tracepoint(function = "inet_sock_set_state")]
fn inet_sock_set_state(context: BtfTracePointContext) -> i32 {
    let (sk, old, new) = (context.arg(0), context.arg(1), context.arg(2));
    rescue::note(sk, old, new);
    run(u32::from(HookId::InetSockSetState.id()), sk, old, new)
}

/// The program once more, attached after the first: it handles what the kernel did not show to that one.
#[btf_tracepoint(function = "inet_sock_set_state")]
fn inet_sock_set_state_rescue(context: BtfTracePointContext) -> i32 {
    let (sk, old, new) = (context.arg(0), context.arg(1), context.arg(2));
    if rescue::was_shown(&context, sk, old, new) {
        return 0;
    }
    run(RESCUE_SLOT, sk, old, new)
}

#[inline(always)]
fn run(slot: u32, sk: *const Sock, old: i32, new: i32) -> i32 {
    if let Some(counters) = count::counters_at(slot) {
        counters.invocations += 1;
        if !handle(counters, sk, old, new) {
            counters.filtered += 1;
        }
    }
    0
}

/// Records a transition; says whether there was anything to record.
#[inline(always)]
fn handle(counters: &mut Counters, sk: *const Sock, old: i32, new: i32) -> bool {
    let kind = match (old, new) {
        (SYN_SENT, ESTABLISHED) => RecordKind::ConnectOk,
        // Two sides that connect to each other at once come this way too (RFC 9293 section 3.5). Such a socket is held by
        // a process and has no accept queue; a socket that was listened for is held by nobody yet.
        (SYN_RECV, ESTABLISHED) if sock::is_held(sk) && sock::backlog(sk) == 0 => RecordKind::ConnectOk,
        (SYN_RECV, ESTABLISHED) => RecordKind::Accept,
        (SYN_SENT, CLOSE) => RecordKind::ConnectFail,
        (CLOSE, LISTEN) => RecordKind::Listen,
        (LISTEN, CLOSE) => RecordKind::Unlisten,
        (CLOSE, SYN_SENT) => {
            if want_task() {
                let _ = TASKS.insert(sk as u64, current_task(), 0);
            }
            return false;
        }
        _ => return false,
    };
    if sock::protocol(sk) != IPPROTO_TCP {
        return false;
    }
    let Some(event) = event(counters, sk, kind) else {
        return false;
    };
    match kind {
        RecordKind::Listen | RecordKind::Unlisten => listener(counters, sk, kind, event),
        _ => connection(counters, sk, kind, event),
    }
    true
}

/// A handshake ended.
#[inline(always)]
fn connection(counters: &mut Counters, sk: *const Sock, kind: RecordKind, mut event: Event) {
    let mut direction = Direction::Out;
    let mut outcome = Outcome::Established;
    let mut service_port = event.remote_port;
    match kind {
        RecordKind::ConnectFail => {
            event.errno = sock::error(sk);
            outcome = Outcome::from_connect_errno(event.errno);
        }
        RecordKind::Accept => {
            direction = Direction::In;
            service_port = event.local_port;
        }
        _ => {}
    }
    event.direction = direction.id();
    event.outcome = outcome.id();
    if want_task() && !matches!(kind, RecordKind::Accept) {
        add_waiting_task(&mut event, sk as u64);
    }
    let key = FlowKey {
        cgroup_id: event.cgroup_id,
        netns: event.netns,
        service_port,
        protocol: event.protocol,
        direction: event.direction,
        local_ip: event.local_ip,
        remote_ip: event.remote_ip,
        asked_ip: event.asked_ip,
        asked_port: event.asked_port,
        outcome: event.outcome,
        ip_version: event.ip_version,
        hook: event.hook,
        folded: FOLDED_NOT,
        pad: [0; 2],
    };
    count::flow(counters, &key, &event);
}

/// A socket began or ceased to listen.
#[inline(always)]
fn listener(counters: &mut Counters, sk: *const Sock, kind: RecordKind, mut event: Event) {
    event.direction = Direction::None.id();
    event.outcome = Outcome::Established.id();
    // A socket that once was connected keeps the address of its peer; a listener has none.
    event.remote_ip = Address::UNSPECIFIED;
    event.remote_port = 0;
    event.ip_version = event.local_ip.ip_version();
    let opened = matches!(kind, RecordKind::Listen);
    if opened {
        event.backlog = sock::backlog(sk);
        // `listen()` runs in the task that asked for it.
        put_task(&mut event, &current_task());
    }
    let key = ListenKey {
        cgroup_id: event.cgroup_id,
        netns: event.netns,
        port: event.local_port,
        protocol: event.protocol,
        ip_version: event.ip_version,
        local_ip: event.local_ip,
    };
    let change = ListenValue {
        first_ns: event.ts_ns,
        last_ns: event.ts_ns,
        opened: u32::from(opened),
        closed: u32::from(!opened),
        backlog: event.backlog,
        pad: 0,
    };
    count::listen(counters, &key, &change, &event);
}

/// What every event has; `None` for a family that is not IP.
#[inline(always)]
fn event(counters: &mut Counters, sk: *const Sock, kind: RecordKind) -> Option<Event> {
    let tuple = sock::tuple(sk)?;
    let owner = sock::owner(sk);
    counters.read_fail += u64::from(owner.cgroup_id == 0 || owner.netns == 0);
    Some(Event {
        kind: kind.id(),
        hook: HookId::InetSockSetState.id(),
        protocol: Protocol::Tcp.id(),
        direction: 0,
        outcome: 0,
        ip_version: tuple.remote_ip.ip_version(),
        flags: if tuple.v4_mapped { FLAG_V4_MAPPED } else { 0 },
        // SAFETY: a helper without arguments.
        ts_ns: unsafe { bpf_ktime_get_boot_ns() },
        cgroup_id: owner.cgroup_id,
        // SAFETY: the argument of the tracepoint.
        cookie: unsafe { bpf_get_socket_cookie(sk.cast_mut().cast()) },
        task_cgroup_id: 0,
        netns: owner.netns,
        pid: 0,
        errno: 0,
        backlog: 0,
        local_ip: tuple.local_ip,
        remote_ip: tuple.remote_ip,
        asked_ip: Address::UNSPECIFIED,
        local_port: tuple.local_port,
        remote_port: tuple.remote_port,
        asked_port: 0,
        family: 0,
        socket_type: 0,
        comm: Comm::NONE,
    })
}

/// The task this runs in.
#[inline(always)]
fn current_task() -> Task {
    Task {
        // SAFETY: a helper without arguments.
        cgroup_id: unsafe { bpf_get_current_cgroup_id() },
        pid: (bpf_get_current_pid_tgid() >> 32) as u32,
        comm: current_comm(),
        pad: 0,
    }
}

/// The name of the task this runs in; none if the kernel has none.
#[inline(always)]
fn current_comm() -> Comm {
    let mut comm = Comm::NONE;
    // SAFETY: a live buffer of the stated length, which the kernel zeroes when it fails.
    unsafe { bpf_get_current_comm((&raw mut comm).cast(), COMM_LEN as u32) };
    comm
}

/// Adds the task that began to connect this socket, and forgets it.
#[inline(always)]
fn add_waiting_task(event: &mut Event, socket: u64) {
    // SAFETY: only this program, in the states of this one socket, changes the entry.
    if let Some(task) = unsafe { TASKS.get(socket) } {
        put_task(event, task);
        let _ = TASKS.remove(socket);
    }
}

#[inline(always)]
fn put_task(event: &mut Event, task: &Task) {
    event.flags |= FLAG_TASK;
    event.task_cgroup_id = task.cgroup_id;
    event.pid = task.pid;
    event.comm = task.comm;
}
