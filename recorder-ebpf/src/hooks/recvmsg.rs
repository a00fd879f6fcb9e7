//! A datagram was received by a call that asks where it came from.
//!
//! On a socket that was bound to a port on purpose, a datagram of somebody who was never sent one begins a talk: this side
//! serves. On any other socket it is an answer, from whatever address: a socket load balancer may show another one here.

use flowtape_recorder_ebpf::abi::counters::Counters;
use flowtape_recorder_ebpf::abi::event::Event;
use flowtape_recorder_ebpf::abi::id::{Direction, HookId, Outcome, RecordKind};

use super::peer::{Peer, UDP};
use super::sendmsg::bump_unread;
use crate::count::{self, Moment, bump};
use crate::global::sends_are_shown;
use crate::talk::{self, ANSWERS, BEGAN, SERVES, Talk, TalkKey};
use crate::{sock, task};

/// Counts the datagram, unless it is an answer.
#[inline(always)]
pub(super) fn note(peer: &Peer) {
    let Some(counters) = count::counters(peer.hook) else {
        return;
    };
    if peer.protocol() != UDP || !received(counters, peer) {
        bump(&mut counters.filtered);
    }
}

/// Says whether it was counted.
#[inline(always)]
fn received(counters: &mut Counters, peer: &Peer) -> bool {
    let cookie = peer.cookie();
    let is_connected = peer.is_connected();
    let key = if is_connected {
        TalkKey::connected(cookie)
    } else {
        TalkKey::with(cookie, peer.ip, peer.port)
    };
    let talk = match talk::find(&key) {
        Some(talk) => {
            if talk.role == BEGAN && talk.answered == 0 {
                answered(peer, talk);
            }
            *talk
        }
        None => {
            let socket = sock::number(peer.socket());
            let owner = task::owner_of(socket);
            bump_unread(counters, &owner);
            let serves = !is_connected && sock::port_is_locked(socket);
            let talk = Talk::of(&owner, if serves { SERVES } else { ANSWERS });
            talk::begin(&key, &talk);
            talk
        }
    };
    if talk.role != SERVES {
        return false;
    }
    let edge = peer.edge(&talk, Direction::In, Outcome::Established);
    let moment = Moment::now(RecordKind::UdpIn);
    count::flow(counters, &edge, moment, &|event: &mut Event| peer.fill(event, cookie));
    true
}

/// Tells that what this side sends is answered.
#[inline(always)]
fn answered(peer: &Peer, talk: &mut Talk) {
    let mut edge = peer.edge(talk, Direction::Out, Outcome::Established);
    // The hook that counts what this side sends, so that it is one edge.
    let by = if peer.is_connected() && sends_are_shown() {
        HookId::SockSendLength
    } else if peer.ip.is_v4() {
        HookId::Sendmsg4
    } else {
        HookId::Sendmsg6
    };
    edge.hook = by.id();
    (edge.asked_ip, edge.asked_port) = talk.asked_instead_of(&edge.remote_ip, edge.service_port);
    talk::answered(talk, &edge);
}
