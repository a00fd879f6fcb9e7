//! Sockets that are made: each counted once, by its kind, also those that never talk.

use std::collections::BTreeMap;

use flowtape_recorder::kernel::Kernel;
use flowtape_recorder::kernel::config::KernelConfig;
use flowtape_recorder_ebpf::abi::control::SampleLimits;
use flowtape_recorder_ebpf::abi::event::{Event, FLAG_TASK, FLAG_UNCOUNTED};
use flowtape_recorder_ebpf::abi::id::{HookId, RecordKind};
use flowtape_recorder_ebpf::abi::socket::{SocketKey, SocketValue};

use crate::cgroup::Group;
use crate::stage::{Facts, Recording, config, page_size, work};
use crate::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    ("sockets_of_every_kind_are_counted", every_kind),
    ("sockets_made_by_threads_are_counted_to_the_last", storm),
    ("sockets_beyond_the_map_are_counted_by_their_events", small_map),
    ("sockets_beyond_map_and_ring_are_counted_as_lost", small_map_and_ring),
    ("sockets_have_the_events_that_were_asked_for", thinned),
    ("passive_recording_sees_no_sockets_made", passive),
];

/// Family, type and protocol of a socket.
type Kind = (u8, u8, u16);

/// A stream socket of IPv4: how a worker brings up the loopback of its namespace.
const OWN: Kind = (2, 1, 6);

/// Those of the worker that the map counted, all drains added up. Known by its control group: the number of a namespace is
/// given away again when it ends.
fn counted(recording: &Recording, group: &Group, facts: &Facts) -> Outcome<BTreeMap<Kind, SocketValue>> {
    let owner = (group.id, facts.netns()?);
    let mut sums: BTreeMap<Kind, SocketValue> = BTreeMap::new();
    let of_worker = |(key, _): &&(SocketKey, SocketValue)| (key.cgroup_id, key.netns) == owner;
    for (key, value) in recording.drained.sockets.iter().filter(of_worker) {
        let sum = sums.entry((key.family, key.socket_type, key.protocol)).or_default();
        sum.first_ns = value.first_ns;
        sum.last_ns = value.last_ns;
        sum.count += value.count;
        sum.samples += value.samples;
    }
    Ok(sums)
}

/// What the events of the worker say.
fn told<'a>(recording: &'a Recording, group: &Group) -> Vec<&'a Event> {
    let of_worker = |event: &&Event| (event.kind, event.cgroup_id) == (RecordKind::Socket.id(), group.id);
    recording.events.iter().filter(of_worker).collect()
}

/// Events of the worker that say that the map did not count them.
fn uncounted(recording: &Recording, group: &Group) -> Outcome<u64> {
    let is_uncounted = |event: &&&Event| event.flags & FLAG_UNCOUNTED != 0;
    Ok(u64::try_from(
        told(recording, group).iter().filter(is_uncounted).count(),
    )?)
}

/// Checks what must hold whatever else the machine did meanwhile: nothing was made that is not somewhere.
fn check_books(recording: &Recording) -> Outcome {
    let counters = recording.hook(HookId::SockCreate)?.counters;
    let made: u64 = recording.drained.sockets.iter().map(|(_, value)| value.count).sum();
    let events: Vec<&Event> = recording
        .events
        .iter()
        .filter(|event| event.hook == HookId::SockCreate.id())
        .collect();
    let uncounted = events.iter().filter(|event| event.flags & FLAG_UNCOUNTED != 0).count();
    let books = [
        ("runs", counters.invocations, made + counters.map_full),
        ("events", counters.samples, u64::try_from(events.len())?),
        (
            "offers",
            counters.invocations,
            counters.samples + counters.ring_full + counters.thinned,
        ),
        (
            "overflows",
            counters.map_full,
            u64::try_from(uncounted)? + counters.edge_lost,
        ),
    ];
    for (what, is, should) in books {
        if is != should {
            return Err(format!("{what}: {is} is not {should}: {counters:?}").into());
        }
    }
    Ok(())
}

fn every_kind() -> Outcome {
    let group = Group::new()?;
    let (recording, facts) = Recording::of(&config(), group.path(), &["sockets"])?;
    let expected: [Kind; 9] = [
        OWN,
        (2, 1, 262),
        (2, 2, 1),
        (2, 2, 17),
        (2, 3, 1),
        (10, 1, 6),
        (10, 2, 17),
        (10, 2, 58),
        (10, 3, 58),
    ];
    let seen = counted(&recording, &group, &facts)?;
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), expected);
    assert!(
        seen.values().all(|value| value.count == 1) && told(&recording, &group).len() == seen.len(),
        "{seen:?}"
    );
    assert!(
        seen.values()
            .all(|value| value.first_ns > 0 && value.first_ns == value.last_ns)
    );

    let events = told(&recording, &group);
    let mut kinds: Vec<Kind> = events
        .iter()
        .map(|event| (event.family, event.socket_type, event.protocol.into()))
        .collect();
    kinds.sort_unstable();
    // MPTCP is told as TCP: its number does not fit.
    let mut expected =
        expected.map(|(family, kind, protocol)| (family, kind, if protocol == 262 { 6 } else { protocol }));
    expected.sort_unstable();
    assert_eq!(kinds, expected);
    let pid: u32 = facts.number("pid")?;
    for event in events {
        assert_eq!((event.netns, event.task_cgroup_id), (facts.netns()?, group.id));
        assert_eq!(
            (event.flags, event.pid, event.hook),
            (FLAG_TASK, pid, HookId::SockCreate.id())
        );
        assert!(event.cookie > 0 && event.local_port == 0 && event.local_ip.is_unspecified());
    }
    check_books(&recording)
}

fn storm() -> Outcome {
    const THREADS: u64 = 4;
    const EACH: u64 = 20_000;
    let group = Group::new()?;
    let mut kernel = Kernel::load(&config())?;
    let mut recording = Recording::default();
    let job = ["socket-storm", &THREADS.to_string(), &EACH.to_string()];
    let facts = work(group.path(), &job, || {
        recording.drain(&mut kernel)?;
        recording.poll(&mut kernel)
    })?;
    recording.finish(&mut kernel)?;
    let made = THREADS * EACH;
    assert_eq!(facts.number::<u64>("made")?, made);
    let seen = counted(&recording, &group, &facts)?;
    assert_eq!(seen.get(&(2, 2, 17)).map(|value| value.count), Some(made), "{seen:?}");
    assert_eq!(recording.hook(HookId::SockCreate)?.recursion_misses, 0);
    check_books(&recording)
}

/// More kinds than the map has room for; what is beyond, whosever it is, travels one by one.
fn small_map() -> Outcome {
    const KINDS: u64 = 200;
    let group = Group::new()?;
    let config = KernelConfig {
        socket_entries: 16,
        ..config()
    };
    let (recording, facts) = Recording::of(&config, group.path(), &["socket-raw", &KINDS.to_string()])?;
    let in_map: u64 = counted(&recording, &group, &facts)?
        .values()
        .map(|value| value.count)
        .sum();
    assert_eq!(in_map + uncounted(&recording, &group)?, KINDS + 1);
    assert!(in_map <= 16, "{in_map} fitted into a map of 16");
    assert_eq!(recording.drained.sockets.len(), 16, "the map is full");
    check_books(&recording)
}

fn small_map_and_ring() -> Outcome {
    const KINDS: u64 = 200;
    let group = Group::new()?;
    let config = KernelConfig {
        socket_entries: 16,
        ring_bytes: page_size(),
        ..config()
    };
    let (recording, facts) = Recording::of(&config, group.path(), &["socket-raw", &KINDS.to_string()])?;
    let in_map: u64 = counted(&recording, &group, &facts)?
        .values()
        .map(|value| value.count)
        .sum();
    let seen = in_map + uncounted(&recording, &group)?;
    let lost = recording.hook(HookId::SockCreate)?.counters.edge_lost;
    // Others on this machine may have lost some as well; the books hold for everybody together.
    assert!(seen <= KINDS && seen + lost > KINDS, "{seen} seen, {lost} lost");
    check_books(&recording)
}

/// The limit of connections is that of sockets.
fn thinned() -> Outcome {
    const EACH: u64 = 100;
    let group = Group::new()?;
    let config = KernelConfig {
        limits: SampleLimits {
            connections: 8,
            datagrams: 0,
        },
        ..config()
    };
    let (recording, facts) = Recording::of(&config, group.path(), &["socket-storm", "1", &EACH.to_string()])?;
    let seen = counted(&recording, &group, &facts)?;
    let value = seen.get(&(2, 2, 17)).ok_or("nothing was counted")?;
    assert_eq!((value.count, value.samples), (EACH, 8));
    assert_eq!(told(&recording, &group).len(), 8 + 1);
    check_books(&recording)
}

fn passive() -> Outcome {
    let group = Group::new()?;
    let config = KernelConfig {
        passive_only: true,
        ..config()
    };
    let (recording, _) = Recording::of(&config, group.path(), &["sockets"])?;
    assert!(told(&recording, &group).is_empty());
    assert!(recording.drained.sockets.is_empty());
    Ok(())
}
