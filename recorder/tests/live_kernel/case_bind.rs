//! Sockets that are bound: TCP and UDP, each told, and for UDP a port that the program chose makes a listener.

use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use flowtape_recorder::clock::Offset;
use flowtape_recorder::kernel::config::KernelConfig;
use flowtape_recorder::listen::Listeners;
use flowtape_recorder_ebpf::abi::address::Address;
use flowtape_recorder_ebpf::abi::control::SampleLimits;
use flowtape_recorder_ebpf::abi::event::{Event, FLAG_TASK, FLAG_UNCOUNTED, FLAG_V4_MAPPED};
use flowtape_recorder_ebpf::abi::id::{HookId, Protocol, RecordKind};
use flowtape_recorder_ebpf::abi::listen::{ListenKey, ListenValue};
use flowtape_recorder_ebpf::abi::quota::LISTENERS;
use flowtape_schemas::node::ClockRow;
use flowtape_schemas::time::Time;

use crate::case_count::one_page;
use crate::cgroup::Group;
use crate::stage::{Facts, Recording, config};
use crate::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    ("bound_ports_are_told_and_chosen_ones_of_udp_listen", ports),
    ("bound_at_the_second_try", second_thoughts),
    ("bound_by_the_kernel_is_no_listener", unasked),
    ("bound_and_given_up", ends),
    ("bound_beyond_the_map_of_listeners_is_told_by_events", small_map),
    ("bound_beyond_the_map_of_sockets_is_counted_as_lost", crowded),
    ("bound_again_and_again_sends_few_events_where_few_are_wanted", thinned),
    ("bound_to_ever_another_port_is_folded_and_counted", folded),
    ("bound_while_the_ring_is_full_is_counted_by_the_map", full_ring),
];

const LOOPBACK4: Address = Address::from_v4(Ipv4Addr::LOCALHOST.octets());
const LOOPBACK6: Address = Address::from_bytes(Ipv6Addr::LOCALHOST.octets());
const ANY4: Address = Address::from_v4(Ipv4Addr::UNSPECIFIED.octets());

/// Address, port, sockets that began and ceased.
type Listener = (Address, u16, u32, u32);

fn record(config: &KernelConfig, job: &[&str]) -> Outcome<(Recording, Facts, Group)> {
    let group = Group::new()?;
    let (recording, facts) = Recording::of(config, group.path(), job)?;
    check_books(&recording)?;
    Ok((recording, facts, group))
}

/// Events of a worker, known by its control group: the number of a namespace is given away again when it ends.
fn told<'a>(recording: &'a Recording, group: &Group, kind: RecordKind) -> Vec<&'a Event> {
    let of_worker = |event: &&Event| (event.kind, event.cgroup_id) == (kind.id(), group.id);
    recording.events.iter().filter(of_worker).collect()
}

/// What is counted of a worker's listeners over UDP.
fn counted(recording: &Recording, group: &Group) -> Vec<(ListenKey, ListenValue)> {
    let mut listens = recording.listens();
    listens.retain(|key, _| (key.cgroup_id, key.protocol) == (group.id, Protocol::Udp.id()));
    listens.into_iter().collect()
}

/// The same by port.
fn listeners(recording: &Recording, group: &Group) -> Vec<Listener> {
    let mut listeners: Vec<Listener> = counted(recording, group)
        .iter()
        .map(|(key, value)| (key.local_ip, key.port, value.opened, value.closed))
        .collect();
    listeners.sort_unstable_by_key(|listener| listener.1);
    listeners
}

/// Checks what must hold whatever else the machine did meanwhile.
fn check_books(recording: &Recording) -> Outcome {
    for id in [HookId::PostBind4, HookId::PostBind6, HookId::SockRelease] {
        let counters = recording.hook(id)?.counters;
        let events = recording.events.iter().filter(|event| event.hook == id.id()).count();
        let offered = counters.samples + counters.ring_full + counters.thinned;
        if u64::try_from(events)? != counters.samples || counters.invocations != counters.filtered + offered {
            return Err(format!("{id:?}: {events} events: {counters:?}").into());
        }
    }
    for id in [HookId::Bind4, HookId::Bind6] {
        let counters = recording.hook(id)?.counters;
        assert_eq!(
            counters.invocations, counters.filtered,
            "{id:?} tells nothing by itself"
        );
    }
    Ok(())
}

fn ports() -> Outcome {
    let (recording, facts, group) = record(&config(), &["bind"])?;
    let asked = [
        (LOOPBACK4, HookId::PostBind4, 0),
        (LOOPBACK6, HookId::PostBind6, 0),
        (ANY4, HookId::PostBind4, 0),
        (LOOPBACK4, HookId::PostBind6, FLAG_V4_MAPPED),
        (Address::UNSPECIFIED, HookId::PostBind6, 0),
    ];
    let pid: u32 = facts.number("pid")?;
    // What listens by that is counted by its event alone.
    for (protocol, first, counts) in [(Protocol::Tcp, 6_000_u16, 0), (Protocol::Udp, 17_000, FLAG_UNCOUNTED)] {
        let events: Vec<&Event> = told(&recording, &group, RecordKind::Bind)
            .into_iter()
            .filter(|event| event.protocol == protocol.id())
            .collect();
        let mut expected = Vec::new();
        for (number, (address, hook, flags)) in (0_u16..).zip(asked) {
            expected.push((Some(first + number), address, hook.id(), flags | FLAG_TASK | counts));
            // The kernel chose another one for the same address, except for the last.
            if number < 4 {
                expected.push((None, address, hook.id(), flags | FLAG_TASK));
            }
        }
        let chosen = |port: u16| (first..first + 5).contains(&port).then_some(port);
        let seen: Vec<_> = events
            .iter()
            .map(|event| (chosen(event.local_port), event.local_ip, event.hook, event.flags))
            .collect();
        assert_eq!(seen, expected, "{protocol:?}");
        for event in events {
            assert_eq!(
                (event.pid, event.task_cgroup_id, event.netns),
                (pid, group.id, facts.netns()?)
            );
            assert!(event.cookie > 0 && event.local_port > 0 && event.remote_port == 0);
        }
    }
    let expected: Vec<Listener> = (17_000..)
        .zip(asked)
        .map(|(port, (address, ..))| (address, port, 1, 1))
        .collect();
    assert_eq!(listeners(&recording, &group), expected);
    for (key, value) in counted(&recording, &group) {
        assert_eq!(key.netns, facts.netns()?);
        assert!(
            [HookId::PostBind4, HookId::PostBind6]
                .map(|hook| u32::from(hook.id()))
                .contains(&value.hook)
        );
        assert!(value.backlog == 0 && value.first_ns < value.last_ns, "{value:?}");
    }
    let ended = told(&recording, &group, RecordKind::Unlisten);
    let ports: Vec<u16> = ended.iter().map(|event| event.local_port).collect();
    assert_eq!(ports, (17_000..17_005).collect::<Vec<u16>>());
    assert!(ended.iter().all(|event| event.hook == HookId::SockRelease.id()));
    Ok(())
}

/// What was asked for in vain says nothing about the socket.
fn second_thoughts() -> Outcome {
    let (recording, _, group) = record(&config(), &["bind-twice"])?;
    let expected = [(LOOPBACK4, 17_100, 1, 1), (LOOPBACK4, 17_101, 1, 1)];
    assert_eq!(listeners(&recording, &group), expected);
    assert_eq!(told(&recording, &group, RecordKind::Bind).len(), 3);
    Ok(())
}

fn unasked() -> Outcome {
    let (recording, _, group) = record(&config(), &["bind-unasked"])?;
    assert_eq!(listeners(&recording, &group), [(LOOPBACK4, 17_200, 1, 1)]);
    assert_eq!(told(&recording, &group, RecordKind::Bind).len(), 1);
    Ok(())
}

/// A listener ends as what it began, whatever its socket became or was asked to become.
fn ends() -> Outcome {
    let (recording, _, group) = record(&config(), &["bind-ends"])?;
    let expected = [
        (LOOPBACK4, 17_300, 1, 1),
        (ANY4, 17_301, 1, 1),
        (Address::UNSPECIFIED, 17_302, 2, 2),
        (LOOPBACK4, 17_303, 1, 1),
        (LOOPBACK4, 17_304, 1, 1),
    ];
    assert_eq!(listeners(&recording, &group), expected);
    Ok(())
}

/// Every listener is known from its beginning to its end, also those for which the map had no room; those beyond the quota as
/// one.
fn small_map() -> Outcome {
    const PORTS: usize = 400;
    // The map counts where not every event is wanted.
    let config = KernelConfig {
        listen_entries: 16,
        ..limited(1_000)
    };
    let (recording, _, group) = record(&config, &["bind-many", &PORTS.to_string()])?;
    let uncounted = recording
        .events
        .iter()
        .filter(|event| event.flags & FLAG_UNCOUNTED != 0);
    assert!(uncounted.count() >= 2 * (PORTS - 16));
    let mut listeners = Listeners::new(Offset::of(&ClockRow {
        boot_nanos: 0,
        wall_time: Time(0),
    }));
    recording.events.iter().for_each(|event| listeners.note(event));
    listeners.drained(&recording.drained.listens);
    let mut ended = listeners.take_ended();
    ended.retain(|row| row.cgroup_id == Some(group.id));
    assert!(
        ended
            .iter()
            .all(|row| row.valid_from < row.valid_to && row.valid_from.is_some())
    );
    let folded = ended.iter().filter(|row| row.port == 0).count();
    assert_eq!((ended.len() - folded, folded), (usize::try_from(LISTENERS)?, 1));
    let mut live = listeners.live();
    live.retain(|row| row.cgroup_id == Some(group.id));
    assert!(live.is_empty(), "{live:?}");
    Ok(())
}

/// More sockets at once than there is room for: those that are not known as listeners are counted.
fn crowded() -> Outcome {
    const PORTS: u64 = 100;
    let config = KernelConfig {
        bound_entries: 16,
        ..config()
    };
    let (recording, _, group) = record(&config, &["bind-at-once", &PORTS.to_string()])?;
    let opened: u32 = counted(&recording, &group).iter().map(|(_, value)| value.opened).sum();
    let lost = recording.hook(HookId::Bind4)?.counters.edge_lost;
    // Others on this machine may take some of the room, and lose some as well.
    assert!(opened <= 16 && u64::from(opened) + lost >= PORTS, "{opened} and {lost}");
    assert_eq!(told(&recording, &group, RecordKind::Bind).len(), 100);
    Ok(())
}

/// So many events of an edge at most.
fn limited(connections: u32) -> KernelConfig {
    KernelConfig {
        limits: SampleLimits {
            connections,
            datagrams: 0,
        },
        ..config()
    }
}

/// The limit of connections is that of listeners, and of each group's sockets that are bound and do not listen.
fn thinned() -> Outcome {
    const EACH: u32 = 100;
    let (recording, facts, group) = record(&limited(8), &["bind-again", &EACH.to_string()])?;
    assert_eq!(listeners(&recording, &group), [(LOOPBACK4, 17_400, EACH, EACH)]);
    let events = |kind, protocol: Protocol| {
        let of_protocol =
            |event: &&&Event| event.protocol == protocol.id() && event.netns == facts.netns().unwrap_or(0);
        told(&recording, &group, kind).iter().filter(of_protocol).count()
    };
    let udp = events(RecordKind::Bind, Protocol::Udp) + events(RecordKind::Unlisten, Protocol::Udp);
    assert_eq!((udp, events(RecordKind::Bind, Protocol::Tcp)), (8, 8));
    let thinned =
        [HookId::PostBind4, HookId::SockRelease].map(|id| recording.hook(id).map(|hook| hook.counters.thinned));
    let [bound, released] = thinned;
    assert!(
        bound? + released? >= u64::from(3 * EACH - 16),
        "each that sent no event is counted"
    );
    Ok(())
}

/// Whoever binds a port of its own choosing for each of its questions takes no more of the map than its quota.
fn folded() -> Outcome {
    const EACH: u32 = 400;
    let (recording, _, group) = record(&limited(8), &["bind-many", &EACH.to_string()])?;
    let quota = u32::try_from(LISTENERS)?;
    let by_port = listeners(&recording, &group);
    let beyond = EACH - quota;
    assert_eq!(by_port[0], (Address::UNSPECIFIED, 0, beyond, beyond));
    let own = &by_port[1..];
    assert_eq!(own.len(), usize::try_from(quota)?);
    assert!(
        own.iter()
            .all(|(address, _, opened, closed)| (*address, *opened, *closed) == (LOOPBACK4, 1, 1))
    );
    assert!(recording.hook(HookId::PostBind4)?.counters.folded >= u64::from(beyond));
    Ok(())
}

/// Each is counted once, by its event or by the map.
fn full_ring() -> Outcome {
    const EACH: u32 = 500;
    let group = Group::new()?;
    let (recording, _) = Recording::unread(&one_page(), group.path(), &["bind-again", &EACH.to_string()])?;
    check_books(&recording)?;
    assert_eq!(listeners(&recording, &group), [(LOOPBACK4, 17_400, EACH, EACH)]);
    assert!(recording.hook(HookId::PostBind4)?.counters.ring_full > 0);
    Ok(())
}
