//! Listeners from the first socket to the last, whoever tells of them.

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
