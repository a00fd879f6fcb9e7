//! `connect()` is about to run: the address the program asked for, before anything puts another in its place and before a
//! route is looked up.
//!
//! TCP: the attempt is noted, and counted by `inet_sock_set_state` when its handshake ends. One that never gets there failed
//! before its first packet; it is counted when the same socket is used again, or by the recorder.
//! UDP: nothing is sent by connecting, and resolvers connect only to learn their own address. So the talk is noted, and its
//! datagrams are counted.

use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use aya_ebpf::helpers::generated::bpf_skc_to_tcp_sock;
use flowtape_recorder_ebpf::abi::attempt::{ATTEMPT_ASKED, Attempt};
use flowtape_recorder_ebpf::abi::counters::Counters;
use flowtape_recorder_ebpf::abi::event::{Event, FLAG_V4_MAPPED};
use flowtape_recorder_ebpf::abi::flow::FlowKey;
use flowtape_recorder_ebpf::abi::id::{Direction, HookId, Outcome, RecordKind};

use super::peer::{Peer, TCP, UDP};
use crate::count::{self, Moment, bump};
use crate::global::sends_are_shown;
use crate::sock::{self, Sock};
use crate::talk::{self, BEGAN, SERVES, Talk, TalkKey};
use crate::{attempt, task};

/// Notes an attempt.
#[inline(always)]
pub(super) fn note(peer: &Peer) {
    let Some(counters) = count::counters(peer.hook) else {
        return;
    };
    let counted = match peer.protocol() {
        TCP => tcp(counters, peer),
        UDP => udp(counters, peer),
        _ => false,
    };
    if !counted {
        bump(&mut counters.filtered);
    }
}

/// Notes an attempt over TCP; says whether an earlier one of this socket was counted.
#[inline(always)]
fn tcp(counters: &mut Counters, peer: &Peer) -> bool {
    // SAFETY: the socket of the context. The helper gives it back with a type, since it is one of TCP.
    let sk: *const Sock = unsafe { bpf_skc_to_tcp_sock(peer.socket().cast()) }.cast();
    if sk.is_null() {
        return false;
    }
    let asked = asked(peer, sk);
    if attempt::begin(sk as u64, &asked) {
        return false;
    }
    let counted = attempt::find(sk as u64).is_some_and(|earlier| {
        count_earlier(counters, earlier);
        true
    });
    if !attempt::replace(sk as u64, &asked) {
        bump(&mut counters.unkept);
    }
    counted
}

/// Counts what was asked for at this address before. If no packet left for it, there was no way to go. If one did, its
/// handshake is over, or the socket could not connect anew, and the kernel showed that to nobody.
#[inline(always)]
fn count_earlier(counters: &mut Counters, earlier: &Attempt) {
    let outcome = if earlier.state == ATTEMPT_ASKED {
        Outcome::Unreachable
    } else {
        if let Some(counters) = count::counters(HookId::InetSockSetState) {
            bump(&mut counters.unended);
        }
        Outcome::Unknown
    };
    let key = FlowKey::of(&earlier.event(outcome));
    let moment = Moment {
        kind: RecordKind::ConnectFail,
        ts_ns: earlier.ts_ns,
    };
    count::flow(counters, &key, moment, &|event: &mut Event| {
        event.flags = earlier.flags;
        event.cookie = earlier.cookie;
        event.task_cgroup_id = earlier.task_cgroup_id;
        event.pid = earlier.pid;
        event.comm = earlier.comm;
    });
}

/// What is asked for now.
#[inline(always)]
fn asked(peer: &Peer, sk: *const Sock) -> Attempt {
    let owner = sock::owner(sk);
    let is_mapped = matches!(peer.hook, HookId::Connect6) && peer.ip.is_v4();
    let mut attempt = Attempt {
        // SAFETY: a helper without arguments.
        ts_ns: unsafe { bpf_ktime_get_boot_ns() },
        cookie: match sock::known_cookie(sk) {
            0 => peer.cookie(),
            known => known,
        },
        cgroup_id: owner.cgroup_id,
        netns: owner.netns,
        asked_ip: peer.ip,
        asked_port: peer.port,
        state: ATTEMPT_ASKED,
        hook: peer.hook.id(),
        flags: if is_mapped { FLAG_V4_MAPPED } else { 0 },
        ..Attempt::NONE
    };
    task::put_attempt(&mut attempt);
    attempt
}

/// Notes a talk over UDP; says whether it was counted.
#[inline(always)]
fn udp(counters: &mut Counters, peer: &Peer) -> bool {
    let cookie = peer.cookie();
    let owner = task::owner_of(sock::number(peer.socket()));
    // A server may connect back to whom it serves.
    let serves = talk::find(&TalkKey::with(cookie, peer.ip, peer.port)).is_some_and(|talk| talk.role == SERVES);
    let mut talk = Talk::of(&owner, if serves { SERVES } else { BEGAN });
    talk.asked_ip = peer.ip;
    talk.asked_port = peer.port;
    talk::begin(&TalkKey::connected(cookie), &talk);
    if serves || sends_are_shown() {
        return false;
    }
    let key = peer.edge(&talk, Direction::Out, Outcome::Unknown);
    let moment = Moment::now(RecordKind::UdpOut);
    count::flow(counters, &key, moment, &|event: &mut Event| peer.fill(event, cookie));
    true
}
