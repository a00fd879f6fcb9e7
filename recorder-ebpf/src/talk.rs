//! Talks over UDP: which side began, and whether the other one answered. The first datagram between a socket and a peer
//! decides, since a datagram by itself does not say whether it asks or answers.

use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use flowtape_recorder_ebpf::abi::address::Address;
use flowtape_recorder_ebpf::abi::flow::FlowKey;
use flowtape_recorder_ebpf::abi::id::Outcome;

use crate::count;
use crate::map::TALKS;
use crate::sock::Owner;

/// A socket and whom it talks to.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct TalkKey {
    /// The cookie of the socket, and the port of the peer in the lowest sixteen bits: cookies are given out one after the
    /// other (`__sock_gen_cookie`, `net/core/sock_diag.c`, v6.12), so that none comes near its highest. The kernel hashes
    /// keys three words at a time, and one more would cost a round.
    pub(crate) socket_and_port: u64,
    /// Unspecified for the one peer of a connected socket.
    pub(crate) peer_ip: Address,
}

impl TalkKey {
    /// With a peer that each datagram names.
    #[inline(always)]
    pub(crate) fn with(cookie: u64, peer_ip: Address, peer_port: u16) -> Self {
        Self {
            socket_and_port: cookie << 16 | peer_port as u64,
            peer_ip,
        }
    }

    /// With the peer the socket is connected to.
    #[inline(always)]
    pub(crate) fn connected(cookie: u64) -> Self {
        Self::with(cookie, Address::UNSPECIFIED, 0)
    }
}

/// The other side answers us: its first datagram came from an address we never sent to, on a port we did not choose.
pub(crate) const ANSWERS: u8 = 0;
/// This side began.
pub(crate) const BEGAN: u8 = 1;
/// The other side began.
pub(crate) const SERVES: u8 = 2;

/// What is known about a talk. The owner of the socket is kept because finding it costs more than all the rest.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Talk {
    pub(crate) cgroup_id: u64,
    pub(crate) netns: u32,
    /// Sends of a connected socket that named another peer and are counted there.
    pub(crate) elsewhere: u32,
    /// Address and port that were asked for when the socket was connected.
    pub(crate) asked_ip: Address,
    pub(crate) asked_port: u16,
    /// [`ANSWERS`], [`BEGAN`] or [`SERVES`].
    pub(crate) role: u8,
    /// `1` once the other side answered, and the edge is known to be established.
    pub(crate) answered: u8,
    pub(crate) pad: u32,
}

impl Talk {
    /// That of a socket of this owner.
    #[inline(always)]
    pub(crate) fn of(owner: &Owner, role: u8) -> Self {
        Self {
            cgroup_id: owner.cgroup_id,
            netns: owner.netns,
            elsewhere: 0,
            asked_ip: Address::UNSPECIFIED,
            asked_port: 0,
            role,
            answered: 0,
            pad: 0,
        }
    }

    /// What was asked for in place of the peer: unspecified if that is the same, or not known.
    #[inline(always)]
    pub(crate) fn asked_instead_of(&self, ip: &Address, port: u16) -> (Address, u16) {
        let is_same = self.asked_ip.is(ip) && self.asked_port == port;
        if is_same || self.asked_ip.is_unspecified() {
            (Address::UNSPECIFIED, 0)
        } else {
            (self.asked_ip, self.asked_port)
        }
    }

    /// How its datagrams end, as far as is known.
    #[inline(always)]
    pub(crate) fn outcome(&self) -> Outcome {
        if self.role == SERVES || self.answered != 0 {
            Outcome::Established
        } else {
            Outcome::Unknown
        }
    }
}

/// Finds a talk.
#[inline(always)]
pub(crate) fn find(key: &TalkKey) -> Option<&'static mut Talk> {
    let talk = TALKS.get_ptr_mut(key)?;
    // SAFETY: a live map value. Another datagram of the same talk may write the same bytes at once: each is written alone.
    Some(unsafe { &mut *talk })
}

/// Notes a talk. There is always room: the least recently used one goes.
#[inline(always)]
pub(crate) fn begin(key: &TalkKey, talk: &Talk) {
    let _ = TALKS.insert(key, talk, 0);
}

/// Notes that the other side answered; `edge` is that of what this side sends.
///
/// Told at once, with no occurrence: there may be no further datagram to count as established. Where there is no room for
/// that, the next answer tries again.
#[inline(always)]
pub(crate) fn answered(talk: &mut Talk, edge: &FlowKey) {
    // SAFETY: a helper without arguments.
    if count::fact(edge, unsafe { bpf_ktime_get_boot_ns() }) {
        // SAFETY: a live map value.
        unsafe { core::ptr::write_volatile(&raw mut talk.answered, 1) };
    }
}
