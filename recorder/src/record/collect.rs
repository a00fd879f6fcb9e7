//! Puts together what the kernel tells and what it counted, interval by interval. No IO.

use std::collections::BTreeMap;

use flowtape_recorder_ebpf::abi::attempt::{ATTEMPT_SENT, Attempt};
use flowtape_recorder_ebpf::abi::counters::Counters;
use flowtape_recorder_ebpf::abi::event::{Event, FLAG_TASK};
use flowtape_recorder_ebpf::abi::flow::{FlowKey, FlowValue, Overflow};
use flowtape_recorder_ebpf::abi::id::{HookId, Outcome};
use flowtape_recorder_ebpf::abi::listen::{ListenKey, ListenValue};
use flowtape_recorder_ebpf::abi::socket::SocketValue;
use flowtape_schemas::node::{Counter, Hook, Loss, StatsRow};
use flowtape_schemas::time::Time;

use super::open::{KnownEdges, Looked, OpenFlow};
use super::redact::Redaction;
use super::surroundings::Surroundings;
use crate::clock::{BootNanos, Offset};
use crate::convert::{Interval, growth, hook, stats_row, stats_rows};
use crate::kernel::config::{Drained, HookCounters};
use crate::kernel::record::Record;
use crate::listen::{self, Listeners};
use crate::socket::{Kind, Sockets};

/// Events handed over at a time.
const CHUNK: usize = 2_048;

/// Edges kept here for an interval when the kernel's map has no room for them; more are counted as lost.
const OVERFLOW: usize = 262_144;

/// What was counted in one interval.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) interval: Interval,
    pub(super) flows: Vec<(FlowKey, FlowValue)>,
    pub(super) sockets: Vec<(Kind, SocketValue)>,
    /// Edges that nothing else tells of.
    pub(super) open: Vec<OpenFlow>,
    /// Some of the sockets behind them.
    pub(super) found: Vec<Event>,
    pub(super) stats: Vec<StatsRow>,
}

/// What is known since the last drain.
pub(super) struct Collector {
    pub(super) listeners: Listeners,
    pub(super) sockets: Sockets,
    chunk: Vec<Event>,
    interval_start: Time,
    overflow: BTreeMap<FlowKey, FlowValue>,
    attempts: Vec<(FlowKey, FlowValue)>,
    /// Sockets that were found and are not judged yet.
    looks: Vec<Looked>,
    last_look: Option<Time>,
    /// Until when sockets were looked at, or were meant to be.
    looked_until: Time,
    /// Between looks of which the later one failed.
    blind: Vec<Interval>,
    offset: Offset,
    known: KnownEdges,
    before: BTreeMap<HookId, HookCounters>,
    /// Events the recorder itself dropped in this interval.
    events_dropped: u64,
    /// The same since somebody asked.
    dropped_lately: u64,
    /// Operations of edges for which there was no room here either.
    edges_lost: u64,
    /// Control groups that nobody can name any more.
    unnamed: u64,
    /// Handshakes of which open sockets prove that nobody was shown their end.
    unended: u64,
    /// What hides addresses and names; `None` if they may be seen.
    redaction: Option<Redaction>,
}

impl Collector {
    /// Nothing is known at the beginning of the window.
    pub(super) fn new(offset: Offset, start: Time, quota: u64, redaction: Option<Redaction>) -> Self {
        Self {
            listeners: Listeners::new(offset),
            sockets: Sockets::default(),
            chunk: Vec::with_capacity(CHUNK),
            interval_start: start,
            overflow: BTreeMap::new(),
            attempts: Vec::new(),
            looks: Vec::new(),
            last_look: None,
            looked_until: start,
            blind: Vec::new(),
            offset,
            known: KnownEdges::new(quota),
            before: BTreeMap::new(),
            events_dropped: 0,
            dropped_lately: 0,
            edges_lost: 0,
            unnamed: 0,
            unended: 0,
            redaction,
        }
    }

    /// Takes one record of the ring buffer.
    pub(super) fn take(&mut self, record: Record, surroundings: &mut Surroundings, offset: Offset) {
        match record {
            Record::Event(mut event) => {
                if let Some(redaction) = &self.redaction {
                    redaction.event(&mut event);
                }
                self.listeners.note(&event);
                self.sockets.note(&event);
                if event.flags & FLAG_TASK != 0 {
                    surroundings.namespaces.ask(event.netns, event.pid);
                }
                self.chunk.push(event);
            }
            Record::Overflow(overflow) => self.add_overflow(&overflow),
            Record::Cgroup(change) => {
                let at = offset.time(BootNanos(change.ts_ns));
                if change.made {
                    surroundings.cgroups.made(change.id, change.path, at);
                } else {
                    surroundings.cgroups.removed(change.id, change.path, at);
                }
            }
        }
    }

    /// Events to hand over, once there are enough of them.
    pub(super) fn full_chunk(&mut self) -> Option<Vec<Event>> {
        (self.chunk.len() >= CHUNK).then(|| self.take_chunk())
    }

    /// Events to hand over, however many.
    pub(super) fn take_chunk(&mut self) -> Vec<Event> {
        std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK))
    }

    /// The writer had no room for so many events.
    pub(super) fn dropped(&mut self, events: u64) {
        self.events_dropped += events;
        self.dropped_lately += events;
    }

    /// So many control groups were made of which the kernel could not tell, and are gone.
    pub(super) fn unnamed(&mut self, groups: u64) {
        self.unnamed = groups;
    }

    /// Events the recorder itself dropped since the last call.
    pub(super) fn take_dropped_lately(&mut self) -> u64 {
        std::mem::take(&mut self.dropped_lately)
    }

    /// Ends the interval with what was drained and how far the counters are.
    pub(super) fn end_interval(&mut self, at: Time, drained: Drained, counters: &[HookCounters]) -> Counted {
        let interval = Interval {
            start: self.interval_start,
            end: at.max(self.interval_start),
        };
        self.interval_start = interval.end;
        let Drained {
            mut flows,
            mut listens,
            sockets,
            attempts: _,
        } = drained;
        flows.append(&mut self.attempts);
        flows.extend(std::mem::take(&mut self.overflow));
        self.known.counted(&flows);
        if let Some(redaction) = &self.redaction {
            for (key, _) in &mut flows {
                redaction.flow(key);
            }
            for (key, _) in &mut listens {
                redaction.listen(key);
            }
        }
        let mut stats = self.grown(counters, interval);
        self.follow_listeners(&listens);
        let sockets = self.sockets.drained(&sockets);
        let lost = std::mem::take(&mut self.edges_lost) + self.sockets.take_lost() + self.listeners.take_lost();
        let own = [
            (
                Hook::Writer,
                Counter::WriterDropped,
                std::mem::take(&mut self.events_dropped),
            ),
            (Hook::Writer, Counter::EdgesLost, lost),
            (Hook::CgroupMkdir, Counter::Unnamed, std::mem::take(&mut self.unnamed)),
        ];
        let folded = self.listeners.take_folded().into_iter();
        stats.extend(
            counted_by(&flows)
                .chain(own)
                .chain(folded.map(|(hook, listeners)| (hook, Counter::Folded, listeners)))
                .filter_map(|(hook, counter, value)| stats_row(hook, counter, value, interval)),
        );
        stats.extend(std::mem::take(&mut self.blind).into_iter().filter_map(|blind| {
            let nanos = u64::try_from(blind.end.0.saturating_sub(blind.start.0)).unwrap_or_default();
            stats_row(Hook::TaskFile, Counter::BlindNanos, nanos, blind)
        }));
        if stats.iter().any(|row| row.counter.loss() == Loss::Edges) {
            self.known.missed();
        }
        let (open, found) = self.judge_looks(interval, &mut stats);
        Counted {
            interval,
            flows,
            sockets,
            open,
            found,
            stats,
        }
    }

    /// How far the counters of the hooks have grown since the last interval.
    fn grown(&mut self, counters: &[HookCounters], interval: Interval) -> Vec<StatsRow> {
        let mut stats = Vec::new();
        for now in counters {
            let before = self.before.get(&now.id).copied();
            let is_states = now.id == HookId::InetSockSetState;
            let proved = now.counters.unended + if is_states { self.unended } else { 0 };
            // What is proved is among what the kernel counts, if that counts it. What is rescued at this moment may already be
            // subtracted and not yet be added.
            let now = HookCounters {
                recursion_misses: now
                    .recursion_misses
                    .max(proved)
                    .max(before.map_or(0, |before| before.recursion_misses)),
                ..*now
            };
            self.before.insert(now.id, now);
            let did = growth(
                &now.counters,
                &before.map_or_else(Counters::default, |before| before.counters),
            );
            stats.extend(stats_rows(now.id, &did, interval));
            let missed = now
                .recursion_misses
                .saturating_sub(before.map_or(0, |before| before.recursion_misses));
            stats.extend(stats_row(hook(now.id), Counter::RecursionMissed, missed, interval));
        }
        stats
    }

    /// Takes attempts to connect that nothing more will be heard of: those for which no packet left had no way to go. How the
    /// others ended is not known, unless the last look at the sockets tells; then the kernel skipped the program that waited for
    /// it.
    pub(super) fn attempts(&mut self, attempts: &[Attempt]) {
        let ended = self
            .looks
            .last()
            .map(|look| look.ended_unseen(attempts))
            .unwrap_or_default();
        self.unended += ended.len() as u64;
        for attempt in attempts {
            let outcome = match ended.get(&attempt.cookie) {
                _ if attempt.state != ATTEMPT_SENT => Outcome::Unreachable,
                Some(outcome) => *outcome,
                None => Outcome::Unknown,
            };
            let mut event = attempt.event(outcome);
            let value = FlowValue {
                first_ns: event.ts_ns,
                last_ns: event.ts_ns,
                count: 1,
                samples: 1,
            };
            self.attempts.push((FlowKey::of(&event), value));
            if let Some(redaction) = &self.redaction {
                redaction.event(&mut event);
            }
            self.chunk.push(event);
        }
    }

    /// Takes sockets that were found open, which are judged when the next interval ends.
    pub(super) fn looked(&mut self, looked: Looked, surroundings: &mut Surroundings) {
        for found in looked.sockets.iter() {
            surroundings.namespaces.ask(found.socket.netns, found.socket.pid);
        }
        for kind in looked.unfollowed() {
            self.sockets.found(HookId::TaskFile, kind, looked.at_ns);
        }
        self.looked_until = self.offset.time(BootNanos(looked.at_ns));
        self.looks.push(looked);
    }

    /// A look at the open sockets failed: what was opened unseen since the one before, and is not open at the next, nobody will
    /// know of.
    pub(super) fn look_failed(&mut self, at_ns: u64) {
        let end = self.offset.time(BootNanos(at_ns)).max(self.looked_until);
        self.blind.push(Interval {
            start: self.looked_until,
            end,
        });
        self.looked_until = end;
    }

    /// Takes what was counted of listeners, and what the looks found of them.
    fn follow_listeners(&mut self, counted: &[(ListenKey, ListenValue)]) {
        let redacted = |looked: &Looked| -> listen::Found {
            let listeners = looked.listeners().into_iter();
            let hidden = listeners.map(|(mut key, waiting)| {
                if let Some(redaction) = &self.redaction {
                    redaction.listen(&mut key);
                }
                (key, waiting)
            });
            hidden.collect()
        };
        let looks: Vec<_> = self.looks.iter().map(|looked| (looked, redacted(looked))).collect();
        for (_, found) in looks.iter().filter(|(looked, _)| looked.is_first) {
            self.listeners.begin(found);
        }
        for (looked, _) in &looks {
            self.listeners.look_began(self.offset.time(BootNanos(looked.at_ns)));
        }
        self.listeners.drained(counted);
        for (looked, found) in looks {
            let at = self.offset.time(BootNanos(looked.at_ns));
            self.listeners.look(&found, at, self.last_look);
            self.last_look = Some(at);
        }
    }

    /// What the looks say beyond what was counted.
    fn judge_looks(&mut self, interval: Interval, stats: &mut Vec<StatsRow>) -> (Vec<OpenFlow>, Vec<Event>) {
        let (mut open, mut found) = (Vec::new(), Vec::new());
        for looked in std::mem::take(&mut self.looks) {
            let judged = self.known.judge(&looked);
            let counts = [
                (Counter::Samples, judged.events.len() as u64),
                (Counter::Folded, judged.folded),
                (Counter::EdgesLost, looked.sockets.left_out()),
            ];
            for mut event in judged.events {
                if let Some(redaction) = &self.redaction {
                    redaction.event(&mut event);
                }
                found.push(event);
            }
            for mut flow in judged.flows {
                if let Some(redaction) = &self.redaction {
                    redaction.flow(&mut flow.key);
                }
                open.push(flow);
            }
            let rows = counts
                .into_iter()
                .filter_map(|(counter, value)| stats_row(Hook::TaskFile, counter, value, interval));
            stats.extend(rows);
        }
        (open, found)
    }

    fn add_overflow(&mut self, overflow: &Overflow) {
        let Overflow {
            kind: _,
            hook: _,
            sampled,
            occurrences,
            pad: _,
            ts_ns,
            key,
        } = *overflow;
        if self.overflow.len() >= OVERFLOW && !self.overflow.contains_key(&key) {
            self.edges_lost += u64::from(occurrences);
            return;
        }
        let value = self.overflow.entry(key).or_insert_with(|| FlowValue {
            first_ns: ts_ns,
            last_ns: ts_ns,
            ..FlowValue::default()
        });
        value.first_ns = value.first_ns.min(ts_ns);
        value.last_ns = value.last_ns.max(ts_ns);
        value.count += u64::from(occurrences);
        value.samples += u64::from(sampled);
    }
}

/// What each hook counted.
fn counted_by(flows: &[(FlowKey, FlowValue)]) -> impl Iterator<Item = (Hook, Counter, u64)> {
    let mut counted: BTreeMap<HookId, u64> = BTreeMap::new();
    for (key, value) in flows {
        if let Some(hook) = HookId::from_id(key.hook) {
            *counted.entry(hook).or_default() += value.count;
        }
    }
    counted
        .into_iter()
        .map(|(id, count)| (hook(id), Counter::Counted, count))
}

#[cfg(test)]
mod tests;
