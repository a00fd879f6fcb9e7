//! Listeners as intervals: what the kernel counted between two drains becomes "from when to when".
//!
//! Listeners are the sockets of TCP and SCTP that listen, and those of UDP whose program chose a port.
//!
//! Several sockets may share one listener (`SO_REUSEPORT`), so a listener lives as long as one of them does. The kernel
//! counts how many began and ceased and keeps the times of the first and the last change, so a listener that ceased and
//! began again between two drains is one interval: a server was there.

mod ended;
mod found;

use std::collections::BTreeMap;

use flowtape_recorder_ebpf::abi::event::{Event, FLAG_UNCOUNTED};
use flowtape_recorder_ebpf::abi::id::{HookId, Protocol, RecordKind};
use flowtape_recorder_ebpf::abi::listen::{ListenKey, ListenValue};
use flowtape_schemas::cluster::Bound;
use flowtape_schemas::node::{Hook, ListenRow};
use flowtape_schemas::time::Time;

use crate::clock::{BootNanos, Offset};
use crate::convert::{address, hook, known, known32};
use ended::Ended;
pub use found::{Found, Waiting};

/// How many listeners are kept that only events tell of, until it is known what the kernel counted beside them.
const KEPT_FROM_EVENTS: usize = 65_536;

/// Follows every listener of the node.
#[derive(Debug)]
pub struct Listeners {
    offset: Offset,
    live: BTreeMap<ListenKey, Live>,
    ended: Ended,
    /// What the events since the last drain say that the kernel's map does not count.
    told: BTreeMap<ListenKey, ListenValue>,
    lost: u64,
}

#[derive(Debug)]
struct Live {
    sockets: u64,
    backlog: Option<u32>,
    /// `None` if before the window.
    from: Option<Time>,
    from_bound: Bound,
    hook: Hook,
}

impl Listeners {
    /// Nothing listens yet, as far as is known.
    #[must_use]
    pub fn new(offset: Offset) -> Self {
        Self {
            offset,
            live: BTreeMap::new(),
            ended: Ended::default(),
            told: BTreeMap::new(),
            lost: 0,
        }
    }

    /// Notes an event, if it is of a change that the kernel does not count.
    pub fn note(&mut self, event: &Event) {
        if event.flags & FLAG_UNCOUNTED == 0 {
            return;
        }
        let opened = match RecordKind::from_id(event.kind) {
            Some(RecordKind::Listen | RecordKind::Bind) => 1,
            Some(RecordKind::Unlisten) => 0,
            Some(
                RecordKind::Socket
                | RecordKind::UdpOut
                | RecordKind::UdpIn
                | RecordKind::Snapshot
                | RecordKind::ConnectOk
                | RecordKind::ConnectFail
                | RecordKind::Accept
                | RecordKind::Overflow
                | RecordKind::CgroupMade
                | RecordKind::CgroupRemoved,
            )
            | None => return,
        };
        let key = ListenKey {
            cgroup_id: event.cgroup_id,
            netns: event.netns,
            port: event.local_port,
            protocol: event.protocol,
            ip_version: event.local_ip.ip_version(),
            local_ip: event.local_ip,
        };
        if self.told.len() >= KEPT_FROM_EVENTS && !self.told.contains_key(&key) {
            self.end_what_is_over();
            if self.told.len() >= KEPT_FROM_EVENTS {
                self.lost += 1;
                return;
            }
        }
        let value = ListenValue {
            first_ns: event.ts_ns,
            last_ns: event.ts_ns,
            opened,
            closed: 1 - opened,
            backlog: event.backlog,
            hook: event.hook.into(),
        };
        self.told
            .entry(key)
            .and_modify(|told| *told = both(told, &value))
            .or_insert(value);
    }

    /// Takes what the kernel counted since the last drain; what it did not count is in the events.
    pub fn drained(&mut self, listens: &[(ListenKey, ListenValue)]) {
        let mut told = std::mem::take(&mut self.told);
        for (key, value) in listens {
            match told.remove(key) {
                Some(beside) => self.change(*key, &both(value, &beside)),
                None => self.change(*key, value),
            }
        }
        for (key, value) in told {
            self.change(key, &value);
        }
    }

    /// Makes room: what began and ceased since the last drain and was not there before is over, and needs no more to be told.
    fn end_what_is_over(&mut self) {
        let live = &self.live;
        let is_over =
            |key: &ListenKey, value: &mut ListenValue| value.opened == value.closed && !live.contains_key(key);
        let over: Vec<_> = self.told.extract_if(.., is_over).collect();
        for (key, value) in over {
            self.change(key, &value);
        }
    }

    /// Changes that were counted nowhere since the last call.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// What ceased to listen since the last call.
    pub fn take_ended(&mut self) -> Vec<ListenRow> {
        self.ended.take()
    }

    /// How many listeners that ceased have no row of their own, because their control group has its share of rows, by the hook that
    /// saw them begin; since the last call.
    pub fn take_folded(&mut self) -> BTreeMap<Hook, u64> {
        self.ended.take_counts()
    }

    /// What still listens.
    #[must_use]
    pub fn live(&self) -> Vec<ListenRow> {
        self.live.iter().map(|(key, live)| row(key, live, None)).collect()
    }

    fn change(&mut self, key: ListenKey, value: &ListenValue) {
        let before = self.live.remove(&key);
        let known_sockets = before.as_ref().map_or(0, |live| live.sockets) + u64::from(value.opened);
        let closed = u64::from(value.closed);
        let (from, from_bound) = match &before {
            Some(live) => (live.from, live.from_bound),
            // More ceased than began: one of them had begun before the window.
            None if closed > known_sockets => (None, Bound::Assumed),
            None => (Some(self.time(value.first_ns)), Bound::Observed),
        };
        let (backlog, hook) = match before {
            Some(live) if value.opened == 0 => (live.backlog, live.hook),
            _ => (has_queue(key, value).then_some(value.backlog), seen_by(value)),
        };
        let live = Live {
            sockets: known_sockets.saturating_sub(closed),
            backlog,
            from,
            from_bound,
            hook,
        };
        if live.sockets == 0 {
            let to = (self.time(value.last_ns), Bound::Observed);
            self.ended.add(row(&key, &live, Some(to)));
        } else {
            self.live.insert(key, live);
        }
    }

    fn time(&self, nanos: u64) -> Time {
        self.offset.time(BootNanos(nanos))
    }
}

fn row(key: &ListenKey, live: &Live, to: Option<(Time, Bound)>) -> ListenRow {
    ListenRow {
        protocol: key.protocol,
        local_ip: address(key.local_ip),
        port: key.port,
        backlog: live.backlog,
        cgroup_id: known(key.cgroup_id),
        netns: known32(key.netns),
        valid_from: live.from,
        from_bound: live.from_bound,
        valid_to: to.map(|(at, _)| at),
        to_bound: to.map_or(Bound::Assumed, |(_, bound)| bound),
        hook: live.hook,
    }
}

/// True where a queue of connections was asked for.
fn has_queue(key: ListenKey, value: &ListenValue) -> bool {
    value.opened > 0 && key.protocol != Protocol::Udp.id()
}

/// The hook behind a change. The object is of this build, so each of its numbers is known.
fn seen_by(value: &ListenValue) -> Hook {
    let id = u8::try_from(value.hook).ok().and_then(HookId::from_id);
    hook(id.unwrap_or(HookId::InetSockSetState))
}

/// What happened to one listener in two accounts of one time.
fn both(one: &ListenValue, other: &ListenValue) -> ListenValue {
    // The account in which a socket began says how; the later one if both do.
    let latest = match (one.opened > 0, other.opened > 0) {
        (true, false) => one,
        (false, true) => other,
        _ if one.last_ns > other.last_ns => one,
        _ => other,
    };
    ListenValue {
        first_ns: one.first_ns.min(other.first_ns),
        last_ns: one.last_ns.max(other.last_ns),
        opened: one.opened + other.opened,
        closed: one.closed + other.closed,
        backlog: latest.backlog,
        hook: latest.hook,
    }
}

#[cfg(test)]
mod tests {
    use super::Listeners;
    use crate::clock::Offset;
    use flowtape_recorder_ebpf::abi::event::{Event, FLAG_UNCOUNTED};
    use flowtape_recorder_ebpf::abi::id::{HookId, RecordKind};
    use flowtape_recorder_ebpf::abi::listen::{ListenKey, ListenValue};
    use flowtape_schemas::node::{ClockRow, Hook};
    use flowtape_schemas::time::Time;

    fn listeners() -> Listeners {
        Listeners::new(Offset::of(&ClockRow {
            boot_nanos: 0,
            wall_time: Time(1_000),
        }))
    }

    fn key(port: u16) -> ListenKey {
        ListenKey {
            port,
            protocol: 6,
            ip_version: 6,
            ..ListenKey::default()
        }
    }

    fn value(first_ns: u64, last_ns: u64, opened: u32, closed: u32) -> ListenValue {
        ListenValue {
            first_ns,
            last_ns,
            opened,
            closed,
            backlog: 5,
            hook: HookId::InetSockSetState.id().into(),
        }
    }

    #[test]
    fn from_the_first_socket_to_the_last() {
        let mut all = listeners();
        all.drained(&[(key(80), value(1, 2, 2, 0))]);
        assert_eq!((all.live().len(), all.live()[0].valid_from), (1, Some(Time(1_001))));
        all.drained(&[(key(80), value(3, 3, 0, 1))]);
        assert!(all.take_ended().is_empty(), "one of two sockets still listens");
        all.drained(&[(key(80), value(4, 4, 0, 1))]);
        let ended = all.take_ended();
        assert_eq!(
            (ended[0].valid_from, ended[0].valid_to),
            (Some(Time(1_001)), Some(Time(1_004)))
        );
        assert!(all.live().is_empty() && all.take_ended().is_empty());
    }

    #[test]
    fn one_that_only_ceases_began_before_the_window() {
        let mut all = listeners();
        all.drained(&[(key(80), value(7, 7, 0, 1))]);
        let ended = all.take_ended();
        assert_eq!(
            (ended[0].valid_from, ended[0].valid_to, ended[0].backlog),
            (None, Some(Time(1_007)), None)
        );
    }

    #[test]
    fn a_restart_between_two_drains_keeps_the_older_beginning() {
        let mut all = listeners();
        all.drained(&[(key(80), value(2, 9, 1, 1))]);
        assert_eq!(all.take_ended().len(), 1, "as many began as ceased");
        // One ceased that began before the window, then two began and one ceased.
        all.drained(&[(key(81), value(2, 9, 2, 2))]);
        assert_eq!(all.take_ended().len(), 1);
    }

    #[test]
    fn events_say_what_the_map_had_no_room_for_and_nothing_else() {
        let event = |kind: RecordKind, port, ts_ns, flags| Event {
            kind: kind.id(),
            hook: HookId::InetSockSetState.id(),
            flags,
            protocol: 6,
            ip_version: 6,
            local_port: port,
            ts_ns,
            ..Event::default()
        };
        let mut all = listeners();
        all.note(&event(RecordKind::Listen, 443, 3, 0));
        all.drained(&[]);
        assert!(all.live().is_empty(), "the kernel counted it");
        all.note(&event(RecordKind::Listen, 443, 5, FLAG_UNCOUNTED));
        all.note(&event(RecordKind::Listen, 80, 6, FLAG_UNCOUNTED));
        all.note(&event(RecordKind::Unlisten, 80, 7, FLAG_UNCOUNTED));
        all.drained(&[(key(80), value(1, 1, 1, 0))]);
        let live: Vec<_> = all.live().iter().map(|row| (row.port, row.valid_from)).collect();
        assert_eq!(live, [(80, Some(Time(1_001))), (443, Some(Time(1_005)))]);
        assert!(all.take_ended().is_empty() && all.take_lost() == 0);
    }

    #[test]
    fn listeners_of_a_moment_leave_room_for_each_other() {
        let mut all = listeners();
        let mut at = 0;
        let mut note = |all: &mut Listeners, kind: RecordKind, netns, port| {
            at += 1;
            all.note(&Event {
                kind: kind.id(),
                hook: HookId::PostBind4.id(),
                flags: FLAG_UNCOUNTED,
                protocol: 17,
                netns,
                local_port: port,
                ts_ns: at,
                ..Event::default()
            });
        };
        note(&mut all, RecordKind::Bind, 9, 53);
        for netns in 1..=2 {
            for port in 1..=50_000 {
                note(&mut all, RecordKind::Bind, netns, port);
                note(&mut all, RecordKind::Unlisten, netns, port);
            }
        }
        all.drained(&[]);
        let live: Vec<_> = all.live().iter().map(|row| row.port).collect();
        assert_eq!((live, all.take_lost()), (vec![53], 0));
        let folded = all.take_folded();
        let rows = all.take_ended();
        let own = rows.iter().filter(|row| row.port != 0).count();
        assert_eq!(rows.len(), own + 2, "one row for what is beyond the share of each");
        assert_eq!(folded.values().sum::<u64>() + u64::try_from(own).unwrap(), 100_000);
    }

    #[test]
    fn a_port_of_udp_has_no_queue_and_the_hook_that_saw_it_bound() {
        let udp = ListenKey {
            protocol: 17,
            ..key(53)
        };
        let change = |at, opened: u32, hook: HookId| ListenValue {
            backlog: 0,
            hook: hook.id().into(),
            ..value(at, at, opened, 1 - opened)
        };
        let mut all = listeners();
        all.drained(&[(udp, change(1, 1, HookId::PostBind6))]);
        let live = all.live();
        assert_eq!((live[0].backlog, live[0].hook), (None, Hook::PostBind6));
        all.drained(&[(udp, change(2, 0, HookId::SockRelease))]);
        let ended = all.take_ended();
        assert_eq!((ended[0].hook, ended[0].valid_to), (Hook::PostBind6, Some(Time(1_002))));
        all.drained(&[(udp, change(3, 0, HookId::SockRelease))]);
        let ended = all.take_ended();
        assert_eq!((ended[0].hook, ended[0].valid_from), (Hook::SockRelease, None));
    }
}
