//! Listeners as intervals: what the kernel counted between two drains becomes "from when to when".
//!
//! Several sockets may share one listener (`SO_REUSEPORT`), so a listener lives as long as one of them does. The kernel
//! counts how many began and ceased and keeps the times of the first and the last change, so a listener that ceased and
//! began again between two drains is one interval: a server was there.

use std::collections::BTreeMap;

use flowtape_recorder_ebpf::abi::event::Event;
use flowtape_recorder_ebpf::abi::id::{HookId, RecordKind};
use flowtape_recorder_ebpf::abi::listen::{ListenKey, ListenValue};
use flowtape_schemas::cluster::Bound;
use flowtape_schemas::node::ListenRow;
use flowtape_schemas::time::Time;

use crate::clock::{BootNanos, Offset};
use crate::convert::{address, hook, known, known32};

/// How many listeners are kept that the kernel's map had no room for.
const KEPT_FROM_EVENTS: usize = 65_536;

/// Follows every listener of the node.
#[derive(Debug)]
pub struct Listeners {
    offset: Offset,
    live: BTreeMap<ListenKey, Live>,
    ended: Vec<ListenRow>,
    /// What the events since the last drain say, for listeners that the kernel's map had no room for.
    told: BTreeMap<ListenKey, ListenValue>,
}

#[derive(Debug)]
struct Live {
    sockets: u64,
    backlog: Option<u32>,
    /// `None` if before the window.
    from: Option<Time>,
}

impl Listeners {
    /// Nothing listens yet, as far as is known.
    #[must_use]
    pub fn new(offset: Offset) -> Self {
        Self {
            offset,
            live: BTreeMap::new(),
            ended: Vec::new(),
            told: BTreeMap::new(),
        }
    }

    /// Notes an event, in case its listener found no room in the kernel's map.
    pub fn note(&mut self, event: &Event) {
        let opened = match RecordKind::from_id(event.kind) {
            Some(RecordKind::Listen) => 1,
            Some(RecordKind::Unlisten) => 0,
            Some(
                RecordKind::Socket
                | RecordKind::Bind
                | RecordKind::UdpOut
                | RecordKind::UdpIn
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
            return;
        }
        let value = self.told.entry(key).or_insert_with(|| ListenValue {
            first_ns: event.ts_ns,
            ..ListenValue::default()
        });
        value.first_ns = value.first_ns.min(event.ts_ns);
        value.last_ns = value.last_ns.max(event.ts_ns);
        value.opened += opened;
        value.closed += 1 - opened;
        if opened > 0 {
            value.backlog = event.backlog;
        }
    }

    /// Takes what the kernel counted since the last drain. Events are believed only where the map was full: the two are cut
    /// at slightly different moments, so believing both would count a listener twice.
    pub fn drained(&mut self, listens: &[(ListenKey, ListenValue)], map_was_full: bool) {
        let told = std::mem::take(&mut self.told);
        for (key, value) in listens {
            self.change(*key, value);
        }
        if map_was_full {
            let counted: std::collections::BTreeSet<&ListenKey> = listens.iter().map(|(key, _)| key).collect();
            for (key, value) in told.iter().filter(|(key, _)| !counted.contains(key)) {
                self.change(*key, value);
            }
        }
    }

    /// What ceased to listen since the last call.
    pub fn take_ended(&mut self) -> Vec<ListenRow> {
        std::mem::take(&mut self.ended)
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
        let from = match &before {
            Some(live) => live.from,
            // More ceased than began: one of them had begun before the window.
            None if closed > known_sockets => None,
            None => Some(self.time(value.first_ns)),
        };
        let told = (value.opened > 0).then_some(value.backlog);
        let live = Live {
            sockets: known_sockets.saturating_sub(closed),
            backlog: told.or_else(|| before.and_then(|live| live.backlog)),
            from,
        };
        if live.sockets == 0 {
            self.ended.push(row(&key, &live, Some(self.time(value.last_ns))));
        } else {
            self.live.insert(key, live);
        }
    }

    fn time(&self, nanos: u64) -> Time {
        self.offset.time(BootNanos(nanos))
    }
}

fn row(key: &ListenKey, live: &Live, to: Option<Time>) -> ListenRow {
    let bound = |end: Option<Time>| if end.is_some() { Bound::Observed } else { Bound::Assumed };
    ListenRow {
        protocol: key.protocol,
        local_ip: address(key.local_ip),
        port: key.port,
        backlog: live.backlog,
        cgroup_id: known(key.cgroup_id),
        netns: known32(key.netns),
        valid_from: live.from,
        from_bound: bound(live.from),
        valid_to: to,
        to_bound: bound(to),
        hook: hook(HookId::InetSockSetState),
    }
}

#[cfg(test)]
mod tests {
    use super::Listeners;
    use crate::clock::Offset;
    use flowtape_recorder_ebpf::abi::event::Event;
    use flowtape_recorder_ebpf::abi::id::RecordKind;
    use flowtape_recorder_ebpf::abi::listen::{ListenKey, ListenValue};
    use flowtape_schemas::node::ClockRow;
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
            pad: 0,
        }
    }

    #[test]
    fn from_the_first_socket_to_the_last() {
        let mut all = listeners();
        all.drained(&[(key(80), value(1, 2, 2, 0))], false);
        assert_eq!((all.live().len(), all.live()[0].valid_from), (1, Some(Time(1_001))));
        all.drained(&[(key(80), value(3, 3, 0, 1))], false);
        assert!(all.take_ended().is_empty(), "one of two sockets still listens");
        all.drained(&[(key(80), value(4, 4, 0, 1))], false);
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
        all.drained(&[(key(80), value(7, 7, 0, 1))], false);
        let ended = all.take_ended();
        assert_eq!(
            (ended[0].valid_from, ended[0].valid_to, ended[0].backlog),
            (None, Some(Time(1_007)), None)
        );
    }

    #[test]
    fn a_restart_between_two_drains_keeps_the_older_beginning() {
        let mut all = listeners();
        all.drained(&[(key(80), value(2, 9, 1, 1))], false);
        assert_eq!(all.take_ended().len(), 1, "as many began as ceased");
        // One ceased that began before the window, then two began and one ceased.
        all.drained(&[(key(81), value(2, 9, 2, 2))], false);
        assert_eq!(all.take_ended().len(), 1);
    }

    #[test]
    fn events_stand_in_for_a_full_map_and_only_then() {
        let event = Event {
            kind: RecordKind::Listen.id(),
            protocol: 6,
            local_port: 443,
            ts_ns: 3,
            ..Event::default()
        };
        let mut all = listeners();
        all.note(&event);
        all.drained(&[], false);
        assert!(all.live().is_empty());
        all.note(&event);
        all.drained(&[(key(80), value(1, 1, 1, 0))], true);
        assert_eq!(all.live().iter().map(|row| row.port).collect::<Vec<_>>(), [80, 443]);
    }
}
