//! A connected UDP socket was told that nobody listens at the other end (ICMP "port unreachable").
//!
//! Relies on `TP_PROTO(const struct sock *sk)` (`include/trace/events/sock.h`, since v5.14; fired by `sk_error_report`,
//! `net/core/sock.c`).

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use flowtape_recorder_ebpf::abi::counters::Counters;
use flowtape_recorder_ebpf::abi::event::Event;
use flowtape_recorder_ebpf::abi::id::{HookId, Outcome, RecordKind};

use super::sock_send_length::{edge, fill};
use crate::count::{self, Moment, bump_alone};
use crate::sock::{self, Sock};
use crate::talk::{self, BEGAN, SERVES, Talk, TalkKey};

/// `IPPROTO_UDP`.
const UDP: u16 = 17;
/// `ECONNREFUSED`.
const REFUSED: u32 = 111;

/// The program. What is no UDP is not counted as a run: nearly every error is a reset of TCP.
#[btf_tracepoint(function = "inet_sk_error_report")]
fn inet_sk_error_report(context: BtfTracePointContext) -> i32 {
    let sk: *const Sock = context.arg(0);
    if sock::protocol(sk) != UDP {
        return 0;
    }
    if let Some(counters) = count::counters(HookId::SkErrorReport) {
        bump_alone(&mut counters.invocations);
        if !refused(counters, sk) {
            bump_alone(&mut counters.filtered);
        }
    }
    0
}

/// Counts a refusal; says whether it is one.
#[inline(always)]
fn refused(counters: &mut Counters, sk: *const Sock) -> bool {
    if sock::error(sk) != REFUSED {
        return false;
    }
    let cookie = sock::cookie(sk);
    let talk = match talk::find(&TalkKey::connected(cookie)) {
        // That an answer is refused says nothing about who may be asked.
        Some(talk) if talk.role == SERVES => return false,
        Some(talk) => *talk,
        None => Talk::of(&sock::owner(sk), BEGAN),
    };
    let Some(tuple) = sock::tuple(sk) else {
        return false;
    };
    // A socket that is not connected can ask for such errors (`IP_RECVERR`), and does not say whose they are.
    if tuple.remote_port == 0 {
        return false;
    }
    let mut edge = edge(&talk, &tuple, HookId::SkErrorReport, Outcome::Refused);
    (edge.asked_ip, edge.asked_port) = talk.asked_instead_of(&tuple.remote_ip, tuple.remote_port);
    let moment = Moment::now(RecordKind::ConnectFail);
    count::flow(counters, &edge, moment, &|event: &mut Event| {
        fill(event, &tuple, cookie);
        event.errno = REFUSED;
    });
    true
}
