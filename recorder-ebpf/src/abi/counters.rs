//! What each hook did and what it lost: per CPU in the kernel, summed by the recorder.

use crate::abi::id::{HOOK_SLOTS, HookId};

/// Counters of one hook. They only grow.
///
/// `invocations = filtered + handled`, and of what was handled, `samples + ring_full + thinned` is the number of events.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Times the program ran; zero in the map of a hook that [counts what became of each run](counts_ends_only).
    pub invocations: u64,
    /// Times it had nothing to record (a state change that is no edge, a protocol that is not recorded).
    pub filtered: u64,
    /// Event records that reached the ring buffer.
    pub samples: u64,
    /// Event records dropped because the ring buffer had no room. The edge is counted all the same.
    pub ring_full: u64,
    /// Event records not sent because their edge had its share (`SampleLimits`).
    pub thinned: u64,
    /// Occurrences for which the flow or listen map had no room, and which went through the ring buffer or were lost.
    pub map_full: u64,
    /// Occurrences lost altogether: no room in the map and none in the ring buffer.
    pub edge_lost: u64,
    /// Occurrences recorded without the control group or the network namespace of their socket.
    pub read_fail: u64,
    /// Occurrences counted without their peer, or without its port as well, because their control group had its share of edges.
    pub folded: u64,
    /// Attempts to connect that found no room among those that wait for an outcome. Each is lost, unless its first packet left.
    pub unkept: u64,
    /// Attempts that found no room, and whose first packet left: they are recorded like every other.
    pub unkept_sent: u64,
    /// Handshakes that began and found no room among the attempts. Each is lost if it does not end within the window.
    pub unheld: u64,
    /// Handshakes that began so and ended: they are recorded like every other.
    pub unheld_ended: u64,
    /// Handshakes whose end the program was not shown, as their sockets told later: each is proof of a run that the kernel
    /// skipped. Those that a program was asked for are counted as `unknown`; the others are lost.
    pub unended: u64,
}

/// Slot of the second instance of `tp_btf/inet_sock_set_state`, which is no hook of its own: its `invocations` are those the
/// first one was not shown.
pub const RESCUE_SLOT: u32 = HOOK_SLOTS - 1;

/// True for a hook whose program counts what became of each run and leaves `invocations` alone ([`Counters::of_ends`]).
#[must_use]
pub const fn counts_ends_only(hook: HookId) -> bool {
    matches!(
        hook,
        HookId::Sendmsg4
            | HookId::Sendmsg6
            | HookId::Recvmsg4
            | HookId::Recvmsg6
            | HookId::SockSendLength
            | HookId::SockCreate
            | HookId::SockRelease
            | HookId::Connect4
            | HookId::Connect6
            | HookId::Bind4
            | HookId::Bind6
            | HookId::PostBind4
            | HookId::PostBind6
    )
}

/// Number of counters.
pub const COUNTERS_LEN: usize = 14;

const _: () = assert!(size_of::<Counters>() == COUNTERS_LEN * 8 && align_of::<Counters>() == 8);

impl Counters {
    /// Reads the counters from the words of a map value.
    #[must_use]
    pub const fn from_words(words: [u64; COUNTERS_LEN]) -> Self {
        let [
            invocations,
            filtered,
            samples,
            ring_full,
            thinned,
            map_full,
            edge_lost,
            read_fail,
            folded,
            unkept,
            unkept_sent,
            unheld,
            unheld_ended,
            unended,
        ] = words;
        Self {
            invocations,
            filtered,
            samples,
            ring_full,
            thinned,
            map_full,
            edge_lost,
            read_fail,
            folded,
            unkept,
            unkept_sent,
            unheld,
            unheld_ended,
            unended,
        }
    }

    /// The same of a hook whose every run ends in one of four counters: `invocations` is their sum. The program of such a hook
    /// leaves it alone, because one counter more is what every datagram and every connection would pay for.
    #[must_use]
    pub const fn of_ends(self) -> Self {
        Self {
            invocations: self.filtered + self.samples + self.ring_full + self.thinned,
            ..self
        }
    }

    /// The sum of two CPUs.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            invocations: self.invocations + other.invocations,
            filtered: self.filtered + other.filtered,
            samples: self.samples + other.samples,
            ring_full: self.ring_full + other.ring_full,
            thinned: self.thinned + other.thinned,
            map_full: self.map_full + other.map_full,
            edge_lost: self.edge_lost + other.edge_lost,
            read_fail: self.read_fail + other.read_fail,
            folded: self.folded + other.folded,
            unkept: self.unkept + other.unkept,
            unkept_sent: self.unkept_sent + other.unkept_sent,
            unheld: self.unheld + other.unheld,
            unheld_ended: self.unheld_ended + other.unheld_ended,
            unended: self.unended + other.unended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_told_by_their_ends() {
        let counters = Counters::from_words([0, 1, 2, 4, 8, 16, 32, 64, 0, 0, 0, 0, 0, 0]);
        assert_eq!(counters.of_ends().invocations, 15);
    }

    #[test]
    fn words_are_in_field_order() {
        let counters = Counters::from_words([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
        assert_eq!(
            counters,
            Counters {
                invocations: 1,
                filtered: 2,
                samples: 3,
                ring_full: 4,
                thinned: 5,
                map_full: 6,
                edge_lost: 7,
                read_fail: 8,
                folded: 9,
                unkept: 10,
                unkept_sent: 11,
                unheld: 12,
                unheld_ended: 13,
                unended: 14,
            }
        );
        assert_eq!(core::mem::offset_of!(Counters, unended), 104);
        assert_eq!(
            counters.plus(counters),
            Counters::from_words([2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28])
        );
    }
}
