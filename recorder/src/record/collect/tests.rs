//! What the kernel tells, put together.

use super::{Collector, Looked};
use crate::clock::Offset;
use crate::kernel::config::{Drained, HookCounters};
use crate::kernel::open::{Look, OpenSockets};
use crate::kernel::record::{CgroupPath, Record};
use crate::record::open::tests::{bytes, client};
use crate::record::surroundings::Surroundings;
use flowtape_recorder_ebpf::abi::attempt::{ATTEMPT_ASKED, ATTEMPT_SENT, Attempt};
use flowtape_recorder_ebpf::abi::counters::Counters;
use flowtape_recorder_ebpf::abi::event::Event;
use flowtape_recorder_ebpf::abi::flow::{FlowKey, FlowValue, Overflow};
use flowtape_recorder_ebpf::abi::id::{HookId, Outcome, RecordKind};
use flowtape_recorder_ebpf::abi::open::OpenSocket;
use flowtape_schemas::node::{ClockRow, Counter, Hook, StatsRow};
use flowtape_schemas::time::Time;

fn offset() -> Offset {
    Offset::of(&ClockRow {
        boot_nanos: 0,
        wall_time: Time(0),
    })
}

fn collector() -> Collector {
    Collector::new(offset(), Time(100), 4_096, None)
}

fn overflow(port: u16, ts_ns: u64, sampled: u8) -> Record {
    let key = FlowKey {
        service_port: port,
        ..FlowKey::default()
    };
    Record::Overflow(Overflow {
        sampled,
        occurrences: 1,
        ts_ns,
        key,
        ..Overflow::default()
    })
}

fn counters(invocations: u64, ring_full: u64, misses: u64) -> Vec<HookCounters> {
    vec![HookCounters {
        id: HookId::InetSockSetState,
        counters: Counters {
            invocations,
            ring_full,
            ..Counters::default()
        },
        rescued: 0,
        recursion_misses: misses,
    }]
}

fn count(stats: &[StatsRow], counter: Counter) -> Option<u64> {
    stats.iter().find(|row| row.counter == counter).map(|row| row.value)
}

#[test]
fn counters_become_what_grew_and_zeros_have_no_row() {
    let mut all = collector();
    let first = all.end_interval(Time(200), Drained::default(), &counters(5, 0, 0));
    let second = all.end_interval(Time(300), Drained::default(), &counters(9, 2, 1));
    assert_eq!((first.interval.start, first.interval.end), (Time(100), Time(200)));
    assert_eq!((second.interval.start, second.interval.end), (Time(200), Time(300)));
    assert_eq!(count(&first.stats, Counter::Invocations), Some(5));
    assert_eq!(count(&first.stats, Counter::RingFull), None);
    assert_eq!(count(&second.stats, Counter::Invocations), Some(4));
    assert_eq!(count(&second.stats, Counter::RingFull), Some(2));
    assert_eq!(count(&second.stats, Counter::RecursionMissed), Some(1));
    let third = all.end_interval(Time(400), Drained::default(), &counters(9, 2, 1));
    assert!(third.stats.is_empty());
    let fewer_missed = all.end_interval(Time(500), Drained::default(), &counters(9, 2, 0));
    let as_before = all.end_interval(Time(600), Drained::default(), &counters(9, 2, 1));
    assert!(fewer_missed.stats.is_empty() && as_before.stats.is_empty());
}

#[test]
fn occurrences_the_map_had_no_room_for_are_counted_here() {
    let mut all = collector();
    let mut around = Surroundings::new();
    for record in [overflow(80, 120, 1), overflow(80, 110, 0), overflow(81, 130, 1)] {
        all.take(record, &mut around, offset());
    }
    let drained = Drained {
        flows: vec![(
            FlowKey::default(),
            FlowValue {
                count: 7,
                ..FlowValue::default()
            },
        )],
        ..Drained::default()
    };
    let counted = all.end_interval(Time(200), drained, &[]);
    assert_eq!(count(&counted.stats, Counter::Counted), Some(10));
    let port_80 = counted.flows.iter().find(|(key, _)| key.service_port == 80).unwrap().1;
    assert_eq!(
        (port_80.count, port_80.samples, port_80.first_ns, port_80.last_ns),
        (2, 1, 110, 120)
    );
    assert!(
        all.end_interval(Time(300), Drained::default(), &[]).flows.is_empty(),
        "counted once"
    );
}

#[test]
fn attempts_that_wait_are_rows_and_events() {
    let mut all = collector();
    let attempt = |state, asked_port| Attempt {
        state,
        asked_port,
        remote_port: 9,
        ts_ns: 120,
        ..Attempt::default()
    };
    all.attempts(&[attempt(ATTEMPT_ASKED, 80), attempt(ATTEMPT_SENT, 0)]);
    assert_eq!(all.take_chunk().len(), 2);
    let counted = all.end_interval(Time(200), Drained::default(), &[]);
    let rows: Vec<_> = counted
        .flows
        .iter()
        .map(|(key, value)| (key.service_port, key.outcome, value.count, value.samples))
        .collect();
    let (unreachable, unknown) = (Outcome::Unreachable.id(), Outcome::Unknown.id());
    assert_eq!(rows, [(80, unreachable, 1, 1), (9, unknown, 1, 1)]);
    assert_eq!(count(&counted.stats, Counter::Counted), Some(2));
}

/// A look at the end of a window finds that the kernel kept the end of a handshake to itself.
#[test]
fn a_handshake_whose_end_nobody_was_shown_is_proof_of_a_skipped_run() {
    const LATE: u64 = 5_000_000_000;
    let mut all = collector();
    let socket = |cookie: u16, state| OpenSocket {
        cookie: cookie.into(),
        remote_port: 80 + cookie,
        state,
        ..client(6)
    };
    let attempt = |cookie: u16, ts_ns| {
        let socket = socket(cookie, 2);
        Attempt {
            state: ATTEMPT_SENT,
            cookie: socket.cookie,
            cgroup_id: socket.cgroup_id,
            netns: socket.netns,
            local_ip: socket.local_ip,
            remote_ip: socket.remote_ip,
            remote_port: socket.remote_port,
            ts_ns,
            ..Attempt::default()
        }
    };
    let (established, syn_sent, close) = (1, 2, 7);
    let mut open = OpenSockets::default();
    for (cookie, state) in [(1, established), (2, syn_sent), (3, close), (4, established)] {
        open.add(Look::After, &bytes(&socket(cookie, state)));
    }
    let look = Looked {
        at_ns: LATE,
        is_first: false,
        sockets: open,
        samples: 8,
    };
    all.looked(look, &mut Surroundings::new());
    // The fourth began just before the look, and nobody holds the fifth.
    all.attempts(&[
        attempt(1, 10),
        attempt(2, 10),
        attempt(3, 10),
        attempt(4, LATE - 1),
        attempt(5, 10),
    ]);
    let counted = all.end_interval(Time(200), Drained::default(), &counters(9, 0, 1));
    let rows = counted.flows.iter().map(|(key, _)| (key.service_port, key.outcome));
    let (is_established, unknown) = (Outcome::Established.id(), Outcome::Unknown.id());
    let expected = [
        (81, is_established),
        (82, unknown),
        (83, unknown),
        (84, unknown),
        (85, unknown),
    ];
    assert_eq!(rows.collect::<Vec<_>>(), expected);
    let missed = count(&counted.stats, Counter::RecursionMissed);
    assert_eq!(missed, Some(2), "one of them the kernel counted itself");
    let open: Vec<_> = counted.open.iter().map(|open| open.key.service_port).collect();
    assert_eq!(open, [84], "what was established is told once");
}

/// The kernel proves the same where a socket, or one at its address, connects anew.
#[test]
fn what_sockets_prove_is_not_added_to_what_the_kernel_counted() {
    let missed = |misses, unended| {
        let mut counters = counters(9, 0, misses);
        counters[0].counters.unended = unended;
        let counted = collector().end_interval(Time(200), Drained::default(), &counters);
        count(&counted.stats, Counter::RecursionMissed)
    };
    assert_eq!(
        [missed(0, 0), missed(0, 3), missed(2, 3), missed(3, 2)],
        [None, Some(3), Some(3), Some(3)]
    );
}

#[test]
fn events_are_handed_over_in_chunks_and_drops_are_counted() {
    let mut all = collector();
    let mut around = Surroundings::new();
    let event = Record::Event(Event {
        kind: RecordKind::Accept.id(),
        ..Event::default()
    });
    let mut handed = 0;
    for _ in 0..super::CHUNK + 3 {
        all.take(event.clone(), &mut around, offset());
        handed += all.full_chunk().map_or(0, |chunk| chunk.len());
    }
    assert_eq!((handed, all.take_chunk().len()), (super::CHUNK, 3));
    all.dropped(3);
    let counted = all.end_interval(Time(200), Drained::default(), &[]);
    assert_eq!(count(&counted.stats, Counter::WriterDropped), Some(3));
}

#[test]
fn control_groups_reach_their_tracker() {
    let mut all = collector();
    let mut around = Surroundings::new();
    let change = |made, ts_ns| {
        Record::Cgroup(CgroupPath {
            made,
            ts_ns,
            id: 7,
            path: "/a".to_owned(),
            cut: false,
        })
    };
    all.take(change(true, 150), &mut around, offset());
    all.take(change(false, 160), &mut around, offset());
    let ended = around.cgroups.take_ended();
    assert_eq!(
        (ended[0].valid_from, ended[0].valid_to),
        (Some(Time(150)), Some(Time(160)))
    );
}

#[test]
fn a_look_that_fails_is_blind_time_since_the_one_before() {
    let mut all = collector();
    let blind = |all: &mut Collector, at| -> Vec<(i64, i64, u64)> {
        let stats = all.end_interval(Time(at), Drained::default(), &[]).stats;
        assert!(
            stats
                .iter()
                .all(|row| (row.hook, row.counter) == (Hook::TaskFile, Counter::BlindNanos))
        );
        let shown = |row: &StatsRow| (row.interval_start.0, row.interval_end.0, row.value);
        stats.iter().map(shown).collect()
    };
    all.look_failed(150);
    all.look_failed(180);
    assert_eq!(blind(&mut all, 200), [(100, 150, 50), (150, 180, 30)]);
    assert_eq!(blind(&mut all, 300), []);
    let looked = Looked {
        at_ns: 320,
        is_first: false,
        sockets: OpenSockets::default(),
        samples: 8,
    };
    all.looked(looked, &mut Surroundings::new());
    all.look_failed(350);
    assert_eq!(blind(&mut all, 400), [(320, 350, 30)]);
}
