//! A datagram of a connected socket was sent. The programs of `sendmsg` are not run for it, since it names no address
//! (`udp_sendmsg`, `net/ipv4/udp.c`, v6.12).
//!
//! Relies on `TP_PROTO(struct sock *sk, int ret, int flags)` (`include/trace/events/sock.h`, since v6.3; fired by
//! `sock_sendmsg_nosec`, `net/socket.c`, for every protocol).

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use flowtape_recorder_ebpf::abi::address::Address;
use flowtape_recorder_ebpf::abi::counters::Counters;
use flowtape_recorder_ebpf::abi::event::{Event, FLAG_V4_MAPPED};
use flowtape_recorder_ebpf::abi::flow::{FOLDED_NOT, FlowKey};
use flowtape_recorder_ebpf::abi::id::{Direction, HookId, Outcome, Protocol, RecordKind};

use crate::count::{self, Moment, bump, bump_alone};
use crate::sock::{self, Sock, Tuple};
use crate::talk::{self, BEGAN, SERVES, Talk, TalkKey};
use crate::{task, word};

/// `IPPROTO_UDP`.
const UDP: u16 = 17;
/// `TCP_ESTABLISHED`: a UDP socket in this state is connected.
const CONNECTED: u8 = 1;

/// The program. What is no UDP is not counted as a run, since nearly everything that is sent is TCP, nor what a socket sent that
/// is not connected, since the programs of `sendmsg` count that.
#[btf_tracepoint(function = "sock_send_length")]
fn sock_send_length(context: BtfTracePointContext) -> i32 {
    let sk: *const Sock = context.arg(0);
    if sock::protocol(sk) != UDP || sock::state(sk) != CONNECTED {
        return 0;
    }
    if let Some(counters) = count::counters(HookId::SockSendLength)
        && !sent(counters, sk, context.arg(1))
    {
        bump_alone(&mut counters.filtered);
    }
    0
}

/// Says whether it was counted.
#[inline(always)]
fn sent(counters: &mut Counters, sk: *const Sock, result: i32) -> bool {
    let cookie = sock::cookie(sk);
    let connection = TalkKey::connected(cookie);
    let talk = match talk::find(&connection) {
        Some(talk) => {
            if talk.elsewhere != 0 {
                // SAFETY: a live map value. One less, as the addition of all ones.
                unsafe { word::add32(&raw mut talk.elsewhere, u64::from(u32::MAX)) };
                return false;
            }
            *talk
        }
        // Connected before the window.
        None => {
            let talk = Talk::of(&sock::owner(sk), BEGAN);
            talk::begin(&connection, &talk);
            talk
        }
    };
    if result < 0 || talk.role == SERVES {
        return false;
    }
    let Some(tuple) = sock::tuple(sk) else {
        return false;
    };
    let mut edge = edge(&talk, &tuple, HookId::SockSendLength, talk.outcome());
    (edge.asked_ip, edge.asked_port) = talk.asked_instead_of(&tuple.remote_ip, tuple.remote_port);
    if edge.cgroup_id == 0 || edge.netns == 0 {
        bump(&mut counters.read_fail);
    }
    let moment = Moment::now(RecordKind::UdpOut);
    count::flow(counters, &edge, moment, &|event: &mut Event| {
        fill(event, &tuple, cookie);
        task::put(event);
    });
    true
}

/// The edge from this side of a connected socket to the other.
#[inline(always)]
pub(super) fn edge(talk: &Talk, tuple: &Tuple, by: HookId, outcome: Outcome) -> FlowKey {
    FlowKey {
        cgroup_id: talk.cgroup_id,
        netns: talk.netns,
        service_port: tuple.remote_port,
        protocol: Protocol::Udp.id(),
        direction: Direction::Out.id(),
        local_ip: tuple.local_ip,
        remote_ip: tuple.remote_ip,
        asked_ip: Address::UNSPECIFIED,
        asked_port: 0,
        outcome: outcome.id(),
        ip_version: tuple.remote_ip.ip_version(),
        hook: by.id(),
        folded: FOLDED_NOT,
        pad: [0; 2],
    }
}

/// What the edge does not say of an event.
#[inline(always)]
pub(super) fn fill(event: &mut Event, tuple: &Tuple, cookie: u64) {
    if tuple.v4_mapped {
        event.flags = FLAG_V4_MAPPED;
    }
    event.cookie = cookie;
    event.local_port = tuple.local_port;
}
