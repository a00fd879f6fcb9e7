//! How much of the flow map one control group may take, so that a port scanner or a server that the whole internet talks to
//! leaves room for its neighbours.

use crate::abi::address::Address;
use crate::abi::flow::{FOLDED_PORT, FOLDED_REMOTE, FlowKey};
use crate::abi::id::Direction;
use crate::abi::listen::ListenKey;

/// Whose share it is: that of a control group's sockets in one network namespace, in one direction. The namespace, because
/// where pods are in version 1 control groups all of them are in the root of version 2.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuotaKey {
    /// Version 2 control group; `0` if not known.
    pub cgroup_id: u64,
    /// Inode number of the network namespace; `0` if not known.
    pub netns: u32,
    /// [`Direction`].
    pub direction: u8,
    /// Padding, always zero.
    pub pad: [u8; 3],
}

const _: () = assert!(size_of::<QuotaKey>() == 16 && align_of::<QuotaKey>() == 8);

/// What was taken since the map was last drained.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaValue {
    /// Edges in the flow map; of a share [of listeners](QuotaKey::of_listener), those that began.
    pub edges: u64,
    /// Edges in the flow map whose other side is folded; of a share of listeners, sockets that were bound and do not listen by
    /// that, as far as they are counted.
    pub folded: u64,
}

const _: () = assert!(size_of::<QuotaValue>() == 16 && align_of::<QuotaValue>() == 8);

/// Edges with a folded other side that a share may have beside its quota: one for each port of a server, of which there are
/// few. Beyond them the port is folded as well.
pub const FOLDED_EDGES: u64 = 256;

/// Listeners of UDP that may begin in one control group between two drains, each by its port, where their events do not carry
/// their count; and rows of listeners of one protocol that ended after a moment, by their port, in one file. Far more than a
/// server has. What listened for longer keeps its row beside them.
pub const LISTENERS: u64 = 256;

impl QuotaKey {
    /// The share a listener belongs to, which has no direction.
    #[must_use]
    #[inline]
    pub const fn of_listener(listener: &ListenKey) -> Self {
        Self {
            cgroup_id: listener.cgroup_id,
            netns: listener.netns,
            direction: Direction::None.id(),
            pad: [0; 3],
        }
    }

    /// The share an edge belongs to.
    #[must_use]
    #[inline]
    pub const fn of(flow: &FlowKey) -> Self {
        Self {
            cgroup_id: flow.cgroup_id,
            netns: flow.netns,
            direction: flow.direction,
            pad: [0; 3],
        }
    }
}

impl FlowKey {
    /// Leaves out the addresses: all edges of a share to one port become one.
    #[inline]
    pub const fn fold_remote(&mut self) {
        self.local_ip = Address::UNSPECIFIED;
        self.remote_ip = Address::UNSPECIFIED;
        self.asked_ip = Address::UNSPECIFIED;
        self.asked_port = 0;
        self.folded = FOLDED_REMOTE;
    }

    /// Leaves out the port as well.
    #[inline]
    pub const fn fold_port(&mut self) {
        self.service_port = 0;
        self.folded = FOLDED_PORT;
    }
}

impl ListenKey {
    /// Leaves out address and port: all listeners of a share over one protocol become one.
    #[inline]
    pub const fn fold(&mut self) {
        self.port = 0;
        self.local_ip = Address::UNSPECIFIED;
        self.ip_version = 6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_leaves_what_a_share_and_an_outcome_are() {
        let edge = |number: u8| FlowKey {
            cgroup_id: 7,
            netns: 8,
            service_port: 443,
            direction: 1,
            outcome: 10,
            local_ip: Address::from_v4([10, 0, 0, 1]),
            remote_ip: Address::from_v4([10, 0, 1, number]),
            asked_ip: Address::from_v4([10, 96, 0, number]),
            asked_port: u16::from(number),
            ..FlowKey::default()
        };
        let (mut one, mut two) = (edge(1), edge(2));
        assert_eq!(QuotaKey::of(&one), QuotaKey::of(&two));
        one.fold_remote();
        two.fold_remote();
        assert_eq!(one, two);
        assert_eq!((one.service_port, one.outcome, one.folded), (443, 10, FOLDED_REMOTE));
        one.fold_port();
        assert_eq!((one.service_port, one.outcome, one.folded), (0, 10, FOLDED_PORT));
        assert_eq!(QuotaKey::of(&one), QuotaKey::of(&edge(3)));
    }
}
