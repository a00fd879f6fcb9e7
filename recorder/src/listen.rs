//! Listeners as intervals: what the kernel counted between two drains becomes "from when to when".
//!
//! Listeners are the sockets of TCP and SCTP that listen, and those of UDP whose program chose a port.
//!
//! Several sockets may share one listener (`SO_REUSEPORT`), so a listener lives as long as one of them does. The kernel
//! counts how many began and ceased and keeps the times of the first and the last change, so a listener that ceased and
//! began again between two drains is one interval: a server was there.

mod ended;
mod found;

use std::collections::{BTreeMap, BTreeSet};

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
    /// When the first look began that what is drained next comes after.
    looked_at: Option<Time>,
    /// What ceased since then: the look may have found it before.
    ceased: BTreeSet<ListenKey>,
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
            looked_at: None,
            ceased: BTreeSet::new(),
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
        self.ceased.clear();
        for (key, value) in listens {
            match told.remove(key) {
                Some(beside) => self.change(*key, &both(value, &beside)),
                None => self.change(*key, value),
            }
        }
        for (key, value) in told {
            self.change(key, &value);
        }
        self.looked_at = None;
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
    /// sees such sockets bound; since the last call.
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
            let at = self.time(value.last_ns);
            if self.looked_at.is_some_and(|looked| at >= looked) {
                self.ceased.insert(key);
            }
            self.ended.add(row(&key, &live, Some((at, Bound::Observed))));
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
mod tests;
