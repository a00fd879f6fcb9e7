//! Whatever the kernel sends becomes a sound row or an error, never a panic and never a guess.
#![cfg(target_os = "linux")]

use flowtape_recorder::clock::Offset;
use flowtape_recorder::convert::{Interval, edge_order, event_row, flow_row, growth, stats_rows};
use flowtape_recorder_ebpf::abi::address::Address;
use flowtape_recorder_ebpf::abi::counters::Counters;
use flowtape_recorder_ebpf::abi::event::{Comm, Event, FLAG_BY_BINDING, FLAG_TASK};
use flowtape_recorder_ebpf::abi::flow::{FlowKey, FlowValue};
use flowtape_recorder_ebpf::abi::id::{Direction, HookId, Outcome, RecordKind};
use flowtape_schemas::node::{ClockRow, Counter, DirectionSource, EventKind, FlowRow, SocketFamily, SocketType};
use flowtape_schemas::parquet::encode_file;
use flowtape_schemas::time::Time;
use flowtape_schemas::validate::check_file;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

fn offset() -> Offset {
    Offset::of(&ClockRow {
        boot_nanos: 5_000_000_000,
        wall_time: Time(1_767_225_600_000_000_000),
    })
}

const INTERVAL: Interval = Interval {
    start: Time(1_767_225_600_000_000_000),
    end: Time(1_767_225_610_000_000_000),
};

/// Known numbers most of the time, any number now and then.
fn number<T: Copy + std::fmt::Debug + 'static>(
    known: Vec<T>,
    all: impl Strategy<Value = T>,
) -> impl Strategy<Value = T> {
    let count = known.len();
    prop_oneof![9 => (0..count).prop_map(move |at| known[at]), 1 => all]
}

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![
        Just(Address::UNSPECIFIED),
        any::<[u8; 4]>().prop_map(Address::from_v4),
        any::<[u8; 16]>().prop_map(Address::from_bytes),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let numbers = (
        number(RecordKind::ALL.iter().map(|kind| kind.id()).collect(), any::<u16>()),
        number(HookId::ALL.iter().map(|hook| hook.id()).collect(), any::<u8>()),
        number(
            Direction::ALL.iter().map(|direction| direction.id()).collect(),
            any::<u8>(),
        ),
        number(Outcome::ALL.iter().map(|outcome| outcome.id()).collect(), any::<u8>()),
    );
    let words = (
        any::<u8>(),
        any::<[u64; 4]>(),
        any::<[u32; 4]>(),
        any::<[u16; 2]>(),
        any::<[u8; 16]>(),
    );
    (numbers, words, address(), address()).prop_map(
        |((kind, hook, direction, outcome), (flags, long, short, ports, comm), local_ip, remote_ip)| Event {
            kind,
            hook,
            protocol: 6,
            direction,
            outcome,
            ip_version: remote_ip.ip_version(),
            flags,
            ts_ns: long[0],
            cgroup_id: long[1],
            cookie: long[2],
            task_cgroup_id: long[3],
            netns: short[0],
            pid: short[1],
            errno: short[2],
            backlog: short[3],
            local_ip,
            remote_ip,
            local_port: ports[0],
            remote_port: ports[1],
            asked_ip: Address::UNSPECIFIED,
            asked_port: 0,
            family: 0,
            socket_type: 0,
            comm: Comm::from_bytes(comm),
        },
    )
}

fn flow() -> impl Strategy<Value = (FlowKey, FlowValue)> {
    (event(), any::<[u64; 4]>()).prop_map(|(event, long)| {
        let key = FlowKey {
            cgroup_id: event.cgroup_id,
            netns: event.netns,
            service_port: event.local_port,
            protocol: event.protocol,
            direction: event.direction,
            local_ip: event.local_ip,
            remote_ip: event.remote_ip,
            asked_ip: event.asked_ip,
            asked_port: event.asked_port,
            outcome: event.outcome,
            ip_version: event.ip_version,
            hook: event.hook,
            folded: event.flags % 3,
            pad: [0; 2],
        };
        let value = FlowValue {
            first_ns: long[0],
            last_ns: long[1],
            count: long[2],
            samples: long[3],
        };
        (key, value)
    })
}

proptest! {
    #[test]
    fn an_event_becomes_a_sound_row_or_an_error(event in event()) {
        let known = RecordKind::from_id(event.kind).is_some_and(RecordKind::is_event)
            && HookId::from_id(event.hook).is_some()
            && Direction::from_id(event.direction).is_some()
            && Outcome::from_id(event.outcome).is_some();
        let row = event_row(&event, offset());
        let is_found = event.kind == RecordKind::Snapshot.id();
        let alone = RecordKind::from_id(event.kind).is_some_and(|kind| kind.is_event() && !kind.has_peer())
            || is_found && event.direction == Direction::None.id();
        // What has no other side has no outcome, so a number of one that is not known does no harm there.
        prop_assert!(row.is_ok() == known || alone);
        if let Ok(row) = row {
            let kinds = [EventKind::Socket, EventKind::Bind, EventKind::Listen, EventKind::Unlisten];
            prop_assert_eq!(kinds.contains(&row.kind), alone && !is_found);
            prop_assert_eq!(row.outcome.is_none(), alone);
            prop_assert!(!alone || row.remote_ip.is_none());
            prop_assert_eq!(row.pid.is_some(), event.flags & FLAG_TASK != 0 && event.pid != 0);
            prop_assert_eq!(row.cgroup_id.unwrap_or(0), event.cgroup_id);
            prop_assert_eq!(row.netns.unwrap_or(0), event.netns);
            prop_assert_eq!(row.socket_cookie.unwrap_or(0), event.cookie);
            prop_assert_eq!(row.local_ip.map_or(Address::UNSPECIFIED.bytes(), flowtape_schemas::address::Address::bytes), if event.local_ip.is_unspecified() { [0; 16] } else { event.local_ip.bytes() });
            let bytes = encode_file(&[row]).unwrap().into();
            prop_assert!(check_file("events", &bytes, None).is_empty());
        }
    }

    #[test]
    fn a_flow_keeps_its_counts_and_orders_its_times((key, value) in flow()) {
        let row = flow_row(&key, &value, INTERVAL, offset());
        let known = Direction::from_id(key.direction).is_some()
            && Outcome::from_id(key.outcome).is_some()
            && HookId::from_id(key.hook).is_some();
        prop_assert_eq!(row.is_ok(), known);
        if let Ok(row) = row {
            prop_assert!(!row.remote_folded || row.remote_ip.is_none());
            prop_assert_eq!((row.count, row.samples), (value.count, value.samples));
            prop_assert!(row.first_seen <= row.last_seen);
            prop_assert_eq!(row.service_port.unwrap_or(0), key.service_port);
            let bytes = encode_file::<FlowRow>(&[row]).unwrap().into();
            prop_assert!(check_file("flows", &bytes, None).is_empty());
        }
    }

    /// Equal keys stand together, and times rise within a key.
    #[test]
    fn events_are_ordered_by_key_and_then_by_time(mut events in proptest::collection::vec(event(), 0..40)) {
        // Few keys, so that they repeat.
        for event in &mut events {
            (event.cgroup_id, event.netns) = (event.cgroup_id % 2, 1);
            (event.local_ip, event.remote_ip) = (Address::UNSPECIFIED, Address::UNSPECIFIED);
            (event.local_port, event.remote_port) = (event.local_port % 2, event.remote_port % 2);
        }
        events.sort_by(edge_order);
        let key = |event: &Event| {
            let port = if event.direction == Direction::Out.id() { event.remote_port } else { event.local_port };
            (event.direction, event.cgroup_id, port, event.outcome, event.kind)
        };
        let mut done = std::collections::BTreeSet::new();
        for pair in events.windows(2) {
            if key(&pair[0]) == key(&pair[1]) {
                prop_assert!(pair[0].ts_ns <= pair[1].ts_ns);
            } else {
                prop_assert!(done.insert(key(&pair[0])), "a key stands in two places");
            }
        }
    }

    /// Adding up the rows of all intervals gives the counters at the end, whatever happened between.
    #[test]
    fn deltas_add_up(steps in proptest::collection::vec(any::<[u16; flowtape_recorder_ebpf::abi::counters::COUNTERS_LEN]>(), 1..8)) {
        let (mut now, mut sum) = (Counters::default(), 0);
        for step in steps {
            let before = now;
            now = now.plus(Counters::from_words(step.map(u64::from)));
            let rows = stats_rows(HookId::InetSockSetState, &growth(&now, &before), INTERVAL);
            prop_assert!(rows.iter().all(|row| row.value > 0));
            sum += rows.iter().filter(|row| row.counter == Counter::EdgesLost).map(|row| row.value).sum::<u64>();
        }
        prop_assert_eq!(sum, now.edge_lost);
    }
}

#[test]
fn a_number_that_is_not_known_is_named() {
    let event = Event {
        kind: RecordKind::Accept.id(),
        direction: 77,
        ..Event::default()
    };
    let error = event_row(&event, offset()).unwrap_err().to_string();
    assert!(error.contains("direction 77"), "{error}");
}

#[test]
fn a_task_name_ends_at_its_first_zero() {
    let mut event = Event {
        kind: RecordKind::ConnectOk.id(),
        direction: Direction::Out.id(),
        outcome: Outcome::Established.id(),
        flags: FLAG_TASK,
        ..Event::default()
    };
    event.comm = Comm::from_bytes(*b"cu\xffl\0x\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(
        event_row(&event, offset()).unwrap().process.as_deref(),
        Some("cu\u{fffd}l")
    );
    event.comm = Comm::NONE;
    assert_eq!(event_row(&event, offset()).unwrap().process, None);
}

#[test]
fn a_socket_that_was_found_says_how_its_side_is_known() {
    let found = |direction: Direction, flags| Event {
        kind: RecordKind::Snapshot.id(),
        hook: HookId::TaskFile.id(),
        protocol: 6,
        direction: direction.id(),
        outcome: Outcome::Established.id(),
        flags,
        family: 10,
        socket_type: 1,
        ..Event::default()
    };
    for (direction, flags, source) in [
        (Direction::In, 0, DirectionSource::Backlog),
        (Direction::Out, FLAG_BY_BINDING, DirectionSource::BindFlag),
        (Direction::None, 0, DirectionSource::None),
    ] {
        let row = event_row(&found(direction, flags), offset()).unwrap();
        assert_eq!((row.kind, row.direction_source), (EventKind::Snapshot, source));
        assert_eq!(row.outcome.is_none(), direction == Direction::None);
        assert_eq!(
            (row.family, row.socket_type),
            (Some(SocketFamily::Inet6), Some(SocketType::Stream))
        );
    }
}
