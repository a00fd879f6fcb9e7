//! Which kinds of sockets were made, or found open, between two drains.
//!
//! The kernel counts what is made; where its map had no room for a kind, the event of each socket is marked and counted here.

use std::collections::BTreeMap;

use flowtape_recorder_ebpf::abi::event::{Event, FLAG_UNCOUNTED};
use flowtape_recorder_ebpf::abi::id::{HookId, RecordKind};
use flowtape_recorder_ebpf::abi::socket::{SocketKey, SocketValue};

/// Kinds kept here for an interval; sockets of more are counted as lost.
const KINDS: usize = 65_536;

/// A kind of sockets, by the hook that saw it.
pub type Kind = (HookId, SocketKey);

/// What is known since the last drain.
#[derive(Debug, Default)]
pub struct Sockets {
    kinds: BTreeMap<Kind, SocketValue>,
    lost: u64,
}

impl Sockets {
    /// Notes an event, if it is of a socket that the kernel did not count.
    pub fn note(&mut self, event: &Event) {
        if event.kind != RecordKind::Socket.id() || event.flags & FLAG_UNCOUNTED == 0 {
            return;
        }
        let key = SocketKey {
            cgroup_id: event.cgroup_id,
            netns: event.netns,
            protocol: event.protocol.into(),
            family: event.family,
            socket_type: event.socket_type,
        };
        if !self.add(HookId::SockCreate, key, event.ts_ns, 1) {
            self.lost += 1;
        }
    }

    /// Notes that there is a socket of this kind, which was not seen being made: it counts for none.
    pub fn found(&mut self, by: HookId, key: SocketKey, ts_ns: u64) {
        if !self.add(by, key, ts_ns, 0) {
            self.lost += 1;
        }
    }

    /// All that is known since the last call, with what the kernel counted.
    pub fn drained(&mut self, made: &[(SocketKey, SocketValue)]) -> Vec<(Kind, SocketValue)> {
        for (key, value) in made {
            let kind = self.kinds.entry((HookId::SockCreate, *key)).or_insert(SocketValue {
                count: 0,
                samples: 0,
                ..*value
            });
            kind.first_ns = kind.first_ns.min(value.first_ns);
            kind.last_ns = kind.last_ns.max(value.last_ns);
            kind.count += value.count;
            kind.samples += value.samples;
        }
        std::mem::take(&mut self.kinds).into_iter().collect()
    }

    /// Sockets that were counted nowhere since the last call.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// Says whether there was room.
    fn add(&mut self, by: HookId, key: SocketKey, ts_ns: u64, count: u64) -> bool {
        if self.kinds.len() >= KINDS && !self.kinds.contains_key(&(by, key)) {
            return false;
        }
        let kind = self.kinds.entry((by, key)).or_insert_with(|| SocketValue {
            first_ns: ts_ns,
            last_ns: ts_ns,
            ..SocketValue::default()
        });
        kind.first_ns = kind.first_ns.min(ts_ns);
        kind.last_ns = kind.last_ns.max(ts_ns);
        kind.count += count;
        kind.samples += count;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{KINDS, Sockets};
    use flowtape_recorder_ebpf::abi::event::{Event, FLAG_UNCOUNTED};
    use flowtape_recorder_ebpf::abi::id::{HookId, RecordKind};
    use flowtape_recorder_ebpf::abi::socket::{SocketKey, SocketValue};

    /// A ping socket of IPv4 in a control group.
    fn ping(cgroup_id: u64) -> SocketKey {
        SocketKey {
            cgroup_id,
            netns: 4,
            protocol: 1,
            family: 2,
            socket_type: 2,
        }
    }

    fn event(cgroup_id: u64, ts_ns: u64, flags: u8) -> Event {
        Event {
            kind: RecordKind::Socket.id(),
            flags,
            ts_ns,
            cgroup_id,
            netns: 4,
            protocol: 1,
            family: 2,
            socket_type: 2,
            ..Event::default()
        }
    }

    #[test]
    fn what_the_kernel_did_not_count_is_counted_here_and_nothing_else_is() {
        let mut all = Sockets::default();
        all.note(&event(7, 30, FLAG_UNCOUNTED));
        all.note(&event(7, 20, FLAG_UNCOUNTED));
        all.note(&event(7, 10, 0));
        let counted = SocketValue {
            first_ns: 25,
            last_ns: 40,
            count: 5,
            samples: 2,
        };
        let both = SocketValue {
            first_ns: 20,
            last_ns: 40,
            count: 7,
            samples: 4,
        };
        let drained = all.drained(&[(ping(7), counted), (ping(8), counted)]);
        let made = |cgroup_id| (HookId::SockCreate, ping(cgroup_id));
        assert_eq!(drained, [(made(7), both), (made(8), counted)]);
        assert!(all.drained(&[]).is_empty());
    }

    #[test]
    fn what_is_found_counts_for_none_and_stands_beside_what_is_made() {
        let mut all = Sockets::default();
        all.found(HookId::TaskFile, ping(7), 10);
        all.found(HookId::TaskFile, ping(7), 12);
        all.note(&event(7, 11, FLAG_UNCOUNTED));
        let drained = all.drained(&[]);
        let counts: Vec<_> = drained.iter().map(|((by, _), value)| (*by, value.count)).collect();
        assert_eq!(counts, [(HookId::SockCreate, 1), (HookId::TaskFile, 0)]);
        assert_eq!((drained[1].1.first_ns, drained[1].1.last_ns), (10, 12));
    }

    #[test]
    fn beyond_all_reason_it_is_lost_and_counted() {
        let mut all = Sockets::default();
        let last = u64::try_from(KINDS).unwrap() + 1;
        for cgroup_id in 0..=last {
            all.note(&event(cgroup_id, 1, FLAG_UNCOUNTED));
        }
        all.note(&event(0, 2, FLAG_UNCOUNTED));
        assert_eq!((all.take_lost(), all.take_lost()), (2, 0));
        assert_eq!(all.drained(&[]).len(), KINDS);
    }
}
