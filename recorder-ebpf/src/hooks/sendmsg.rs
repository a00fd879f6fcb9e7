//! A datagram is about to leave for an address that the call names.

use flowtape_recorder_ebpf::abi::counters::Counters;
use flowtape_recorder_ebpf::abi::event::Event;
use flowtape_recorder_ebpf::abi::id::{Direction, RecordKind};

use super::peer::{Peer, UDP};
use crate::count::{self, Moment, bump};
use crate::global::sends_are_shown;
use crate::talk::{self, BEGAN, SERVES, Talk, TalkKey};
use crate::{sock, task, word};

/// Counts the datagram, unless it is an answer.
#[inline(always)]
pub(super) fn note(peer: &Peer) {
    let Some(counters) = count::counters(peer.hook) else {
        return;
    };
    if peer.protocol() != UDP || !sent(counters, peer) {
        bump(&mut counters.filtered);
    }
}

/// Says whether it was counted.
#[inline(always)]
fn sent(counters: &mut Counters, peer: &Peer) -> bool {
    let cookie = peer.cookie();
    if peer.is_connected() && sends_are_shown() {
        // Shown as well when it has left, as a datagram of the connection.
        if peer.is_connected_to_it() {
            return false;
        }
        if let Some(connection) = talk::find(&TalkKey::connected(cookie)) {
            // SAFETY: a live map value.
            unsafe { word::add32(&raw mut connection.elsewhere, 1) };
        }
    }
    let key = TalkKey::with(cookie, peer.ip, peer.port);
    let talk = match talk::find(&key) {
        Some(talk) if talk.role == SERVES => return false,
        Some(talk) => *talk,
        None => {
            let owner = task::owner_of(sock::number(peer.socket()));
            bump_unread(counters, &owner);
            let talk = Talk::of(&owner, BEGAN);
            talk::begin(&key, &talk);
            talk
        }
    };
    let edge = peer.edge(&talk, Direction::Out, talk.outcome());
    let moment = Moment::now(RecordKind::UdpOut);
    count::flow(counters, &edge, moment, &|event: &mut Event| peer.fill(event, cookie));
    true
}

/// Counts an owner that could not be read.
#[inline(always)]
pub(super) fn bump_unread(counters: &mut Counters, owner: &sock::Owner) {
    if owner.cgroup_id == 0 || owner.netns == 0 {
        bump(&mut counters.read_fail);
    }
}
