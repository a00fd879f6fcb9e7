//! TCP changed its state: the one place where every connection of both sides shows, whatever system call made it.
//!
//! Relies on `TP_PROTO(const struct sock *sk, const int oldstate, const int newstate)`
//! (`include/trace/events/sock.h`, since v4.16; fired by `inet_sk_set_state` and `inet_sk_state_store`,
//! `net/ipv4/af_inet.c`).

use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use flowtape_recorder_ebpf::abi::address::Address;
use flowtape_recorder_ebpf::abi::attempt::{ATTEMPT_ASKED, ATTEMPT_SENT, Attempt};
use flowtape_recorder_ebpf::abi::counters::{Counters, RESCUE_SLOT};
use flowtape_recorder_ebpf::abi::event::{Event, FLAG_V4_MAPPED};
use flowtape_recorder_ebpf::abi::flow::{FOLDED_NOT, FlowKey};
use flowtape_recorder_ebpf::abi::id::{Direction, HookId, Outcome, Protocol, RecordKind};
use flowtape_recorder_ebpf::abi::listen::{ListenKey, ListenValue};

use crate::count::{self, Fold, Moment, bump, bump_alone};
use crate::global::asking_is_shown;
use crate::sock::{self, Owner, Sock, Tuple};
use crate::{attempt, rescue, task};

// `include/net/tcp_states.h`.
const ESTABLISHED: i32 = 1;
const SYN_SENT: i32 = 2;
const SYN_RECV: i32 = 3;
const FIN_WAIT1: i32 = 4;
const CLOSE: i32 = 7;
const LISTEN: i32 = 10;

/// `IPPROTO_TCP`. MPTCP (262) is passed over: its subflows are TCP sockets of the same control group and show here too.
const IPPROTO_TCP: u16 = 6;

/// `IPPROTO_SCTP`. Its one-to-one sockets (RFC 6458 section 4) go through the same states, without those of a handshake.
const IPPROTO_SCTP: u16 = 132;

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
        bump_alone(&mut counters.invocations);
        if !handle(counters, sk, old, new) {
            bump_alone(&mut counters.filtered);
        }
    }
    0
}

/// Records a transition; says whether there was anything to record.
#[inline(always)]
fn handle(counters: &mut Counters, sk: *const Sock, old: i32, new: i32) -> bool {
    let protocol = sock::protocol(sk);
    let kind = match (old, new) {
        (SYN_SENT, ESTABLISHED) => RecordKind::ConnectOk,
        // Two sides that connect to each other at once come this way too (RFC 9293 section 3.5). Such a socket is held by
        // a process and has no accept queue; a socket that was listened for is held by nobody yet.
        (SYN_RECV, ESTABLISHED) if sock::is_held(sk) && sock::backlog(sk) == 0 => RecordKind::ConnectOk,
        (SYN_RECV, ESTABLISHED) => RecordKind::Accept,
        (SYN_SENT, CLOSE) => RecordKind::ConnectFail,
        // One of such two is given up, or told to.
        (SYN_RECV, CLOSE | FIN_WAIT1) if sock::is_held(sk) && sock::backlog(sk) == 0 => RecordKind::ConnectFail,
        (CLOSE, LISTEN) => RecordKind::Listen,
        (LISTEN, CLOSE) => RecordKind::Unlisten,
        (CLOSE, SYN_SENT) => {
            if protocol == IPPROTO_TCP {
                sent(counters, sk);
            }
            return false;
        }
        // A socket of SCTP that was accepted is held by nobody yet (`sctp_sock_migrate`, `net/sctp/socket.c`, v6.12); one
        // that connected is (`sctp_cmd_new_state`, `net/sctp/sm_sideeffect.c`).
        (CLOSE, ESTABLISHED) if protocol == IPPROTO_SCTP && sock::is_held(sk) => RecordKind::ConnectOk,
        (CLOSE, ESTABLISHED) if protocol == IPPROTO_SCTP => RecordKind::Accept,
        _ => return false,
    };
    let protocol = match protocol {
        IPPROTO_TCP => Protocol::Tcp,
        IPPROTO_SCTP => Protocol::Sctp,
        _ => return false,
    };
    match kind {
        RecordKind::Listen | RecordKind::Unlisten => listener(counters, sk, kind, protocol),
        _ => connection(counters, sk, kind, protocol),
    }
}

/// The first packet of a handshake leaves: its addresses are known from here on.
#[inline(always)]
fn sent(counters: &mut Counters, sk: *const Sock) {
    // What it is bound to is decided in a moment.
    let Some(tuple) = sock::tuple_without_port(sk) else {
        return;
    };
    let cookie = sock::cookie(sk);
    if asking_is_shown() && was_asked(sk, &tuple, cookie) {
        return;
    }
    let owner = sock::owner(sk);
    let mut sent = Attempt {
        // SAFETY: a helper without arguments.
        ts_ns: unsafe { bpf_ktime_get_boot_ns() },
        cookie,
        cgroup_id: owner.cgroup_id,
        netns: owner.netns,
        local_ip: tuple.local_ip,
        remote_ip: tuple.remote_ip,
        remote_port: tuple.remote_port,
        state: ATTEMPT_SENT,
        hook: HookId::InetSockSetState.id(),
        flags: if tuple.v4_mapped { FLAG_V4_MAPPED } else { 0 },
        ..Attempt::NONE
    };
    task::put_attempt(&mut sent);
    if attempt::begin(sk as u64, &sent) {
        return;
    }
    if attempt::find(sk as u64).is_some_and(|earlier| earlier.state == ATTEMPT_SENT) {
        // Its handshake is over, and its end was shown to nobody.
        bump(&mut counters.unended);
    }
    if !attempt::replace(sk as u64, &sent) {
        bump(if attempt::begin_unheld(sk as u64) {
            &mut counters.unheld
        } else {
            &mut counters.edge_lost
        });
    }
}

/// Goes on with what was asked for; says whether anything was.
#[inline(always)]
fn was_asked(sk: *const Sock, tuple: &Tuple, cookie: u64) -> bool {
    if let Some(attempt) = attempt::find(sk as u64) {
        if attempt.cookie == cookie {
            attempt.local_ip = tuple.local_ip;
            attempt.remote_ip = tuple.remote_ip;
            attempt.remote_port = tuple.remote_port;
            attempt.state = ATTEMPT_SENT;
            return true;
        }
        // Of a socket that was at this address before. Whatever opened this one asked no program.
        if attempt.state == ATTEMPT_ASKED {
            lost(attempt.hook);
        }
    } else if !sock::is_subflow(sk) {
        let hook = if sock::is_v6(sk) {
            HookId::Connect6
        } else {
            HookId::Connect4
        };
        if let Some(counters) = count::counters(hook) {
            bump(&mut counters.unkept_sent);
        }
    }
    false
}

/// Counts an attempt that is overwritten before anybody could tell of it.
#[inline(always)]
fn lost(hook: u8) {
    let hook = if hook == HookId::Connect6.id() {
        HookId::Connect6
    } else {
        HookId::Connect4
    };
    if let Some(counters) = count::counters(hook) {
        bump(&mut counters.edge_lost);
    }
}

/// A handshake ended. False for a family that is not IP.
#[inline(always)]
fn connection(counters: &mut Counters, sk: *const Sock, kind: RecordKind, protocol: Protocol) -> bool {
    let Some(tuple) = sock::tuple(sk) else {
        return false;
    };
    let owner = owner(counters, sk);
    let is_client = !matches!(kind, RecordKind::Accept);
    let attempt = if is_client { attempt::find(sk as u64) } else { None };
    if is_client && attempt.is_none() && attempt::end_unheld(sk as u64) {
        bump(&mut counters.unheld_ended);
    }
    let cookie = sock::cookie(sk);
    let errno = if matches!(kind, RecordKind::ConnectFail) {
        sock::error(sk)
    } else {
        0
    };
    let outcome = if matches!(kind, RecordKind::ConnectFail) {
        Outcome::from_connect_errno(errno)
    } else {
        Outcome::Established
    };
    let attempt: Option<&Attempt> = match attempt {
        Some(attempt) if attempt.cookie == cookie => Some(attempt),
        _ => None,
    };
    let (asked_ip, asked_port) = attempt.map_or((Address::UNSPECIFIED, 0), |attempt| {
        attempt.asked_instead_of(&tuple.remote_ip, tuple.remote_port)
    });
    let direction = if is_client { Direction::Out } else { Direction::In };
    let key = FlowKey {
        cgroup_id: owner.cgroup_id,
        netns: owner.netns,
        service_port: if is_client { tuple.remote_port } else { tuple.local_port },
        protocol: protocol.id(),
        direction: direction.id(),
        local_ip: tuple.local_ip,
        remote_ip: tuple.remote_ip,
        asked_ip,
        asked_port,
        outcome: outcome.id(),
        ip_version: tuple.remote_ip.ip_version(),
        hook: HookId::InetSockSetState.id(),
        folded: FOLDED_NOT,
        pad: [0; 2],
    };
    count::flow(counters, &key, Moment::now(kind), &|event: &mut Event| {
        fill(event, &tuple, cookie);
        event.remote_port = tuple.remote_port;
        event.errno = errno;
        if let Some(attempt) = attempt {
            event.flags |= attempt.flags;
            event.task_cgroup_id = attempt.task_cgroup_id;
            event.pid = attempt.pid;
            event.comm = attempt.comm;
        }
    });
    if is_client {
        attempt::end(sk as u64);
    }
    true
}

/// A socket began or ceased to listen. False for a family that is not IP.
#[inline(always)]
fn listener(counters: &mut Counters, sk: *const Sock, kind: RecordKind, protocol: Protocol) -> bool {
    let Some(tuple) = sock::tuple(sk) else {
        return false;
    };
    let owner = owner(counters, sk);
    let cookie = sock::cookie(sk);
    let opened = matches!(kind, RecordKind::Listen);
    let backlog = if opened { sock::backlog(sk) } else { 0 };
    let moment = Moment::now(kind);
    let by = HookId::InetSockSetState;
    let mut key = ListenKey {
        cgroup_id: owner.cgroup_id,
        netns: owner.netns,
        port: tuple.local_port,
        protocol: protocol.id(),
        ip_version: tuple.local_ip.ip_version(),
        local_ip: tuple.local_ip,
    };
    let change = ListenValue {
        first_ns: moment.ts_ns,
        last_ns: moment.ts_ns,
        opened: u32::from(opened),
        closed: u32::from(!opened),
        backlog,
        hook: by.id().into(),
    };
    count::listen(
        counters,
        &mut key,
        &change,
        moment,
        by,
        Fold::Never,
        &|event: &mut Event| {
            fill(event, &tuple, cookie);
            event.backlog = backlog;
            if opened {
                // `listen()` runs in the task that asked for it.
                task::put(event);
            }
        },
    );
    true
}

/// What neither an edge nor a listener says of an event.
#[inline(always)]
fn fill(event: &mut Event, tuple: &Tuple, cookie: u64) {
    if tuple.v4_mapped {
        event.flags = FLAG_V4_MAPPED;
    }
    event.cookie = cookie;
    event.local_port = tuple.local_port;
}

#[inline(always)]
fn owner(counters: &mut Counters, sk: *const Sock) -> Owner {
    let owner = sock::owner(sk);
    if owner.cgroup_id == 0 || owner.netns == 0 {
        bump(&mut counters.read_fail);
    }
    owner
}
