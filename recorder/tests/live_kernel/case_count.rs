//! Nothing is lost that is not counted: tiny buffers, tiny maps, and drains in the middle of a storm.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use flowtape_recorder::kernel::Kernel;
use flowtape_recorder::kernel::config::{HookState, KernelConfig};
use flowtape_recorder_ebpf::abi::control::{SAMPLE_ALL, SampleLimits};
use flowtape_recorder_ebpf::abi::id::{Direction, Outcome as FlowOutcome};

use crate::cgroup::{Group, is_ours};
use crate::stage::{Recording, config, page_size, work};
use crate::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    ("ring_of_one_page_loses_no_edge", ring_of_one_page),
    ("flow_map_of_sixteen_overflows_into_the_ring", small_map),
    ("map_and_ring_both_full_are_counted", small_map_and_ring),
    ("sample_limit_thins_events_only", thinned),
    ("drains_in_a_storm_are_exact", storm),
    ("what_the_kernel_skips_is_rescued", rescued),
    ("nothing_is_left_behind", nothing_left),
    ("sizes_that_cannot_work_are_refused", sizes),
];

/// The smallest ring buffer on a machine with pages of 4 KiB.
pub(crate) fn one_page() -> KernelConfig {
    KernelConfig {
        ring_bytes: page_size(),
        ..config()
    }
}

fn ring_of_one_page() -> Outcome {
    const SENT: u64 = 5_000;
    let group = Group::new()?;
    let (recording, facts) = Recording::unread(&one_page(), group.path(), &["many", &SENT.to_string()])?;
    let netns = facts.netns()?;
    assert_eq!(
        recording.count_in(netns, Direction::Out, FlowOutcome::Established),
        SENT
    );
    assert_eq!(
        recording.count_in(netns, Direction::In, FlowOutcome::Established),
        facts.number::<u64>("accepted")?
    );
    assert_eq!(
        recording
            .flows_in(netns, Direction::Out, FlowOutcome::Established)
            .len(),
        1
    );
    let counters = recording.tcp()?.counters;
    assert!(
        counters.ring_full > SENT,
        "the ring was meant to overflow: {counters:?}"
    );
    assert_eq!((counters.map_full, counters.edge_lost), (0, 0));
    recording.check_books()
}

fn small_map() -> Outcome {
    const SENT: u64 = 400;
    let group = Group::new()?;
    let config = KernelConfig {
        flow_entries: 16,
        ..config()
    };
    let (recording, facts) = Recording::of(&config, group.path(), &["spread", &SENT.to_string()])?;
    let netns = facts.netns()?;
    for direction in [Direction::Out, Direction::In] {
        assert_eq!(recording.count_in(netns, direction, FlowOutcome::Established), SENT);
    }
    let counters = recording.tcp()?.counters;
    assert_eq!(recording.drained.flows.len(), 16);
    assert_eq!((counters.ring_full, counters.edge_lost), (0, 0));
    assert!(counters.map_full >= 2 * SENT - 16);
    recording.check_books()
}

fn small_map_and_ring() -> Outcome {
    const SENT: u64 = 400;
    let group = Group::new()?;
    let config = KernelConfig {
        flow_entries: 16,
        ..one_page()
    };
    let (recording, facts) = Recording::unread(&config, group.path(), &["spread", &SENT.to_string()])?;
    let netns = facts.netns()?;
    let counters = recording.tcp()?.counters;
    assert!(
        counters.edge_lost > 0,
        "map and ring were meant to overflow: {counters:?}"
    );
    let seen: u64 = [Direction::Out, Direction::In]
        .map(|direction| recording.count_in(netns, direction, FlowOutcome::Established))
        .iter()
        .sum();
    // Others on this machine may have lost some as well; the books below hold for everybody together, to the last one.
    assert!(
        seen < 2 * SENT && seen + counters.edge_lost >= 2 * SENT,
        "{seen} seen, {counters:?}"
    );
    recording.check_books()
}

fn limit(connections: u32) -> SampleLimits {
    SampleLimits {
        connections,
        datagrams: 0,
    }
}

fn thinned() -> Outcome {
    const SENT: u64 = 300;
    let group = Group::new()?;
    let mut kernel = Kernel::load(&KernelConfig {
        limits: limit(8),
        ..config()
    })?;
    let mut recording = Recording::default();
    let limited = work(group.path(), &["many", &SENT.to_string()], || {
        recording.poll(&mut kernel)
    })?;
    kernel.set_sample_limits(limit(SAMPLE_ALL))?;
    let unlimited = work(group.path(), &["many", &SENT.to_string()], || {
        recording.poll(&mut kernel)
    })?;
    recording.finish(&mut kernel)?;
    for (facts, samples) in [(limited, 8), (unlimited, SENT)] {
        let netns = facts.netns()?;
        for direction in [Direction::Out, Direction::In] {
            let [(_, value)] = recording.flows_in(netns, direction, FlowOutcome::Established)[..] else {
                return Err("not one flow".into());
            };
            assert_eq!((value.count, value.samples), (SENT, samples));
        }
    }
    assert!(recording.tcp()?.counters.thinned >= 2 * (SENT - 8));
    recording.check_books()
}

fn storm() -> Outcome {
    let group = Group::new()?;
    let mut kernel = Kernel::load(&config())?;
    let mut recording = Recording::default();
    let mut drains = 0_u32;
    let facts = work(group.path(), &["storm", "3000"], || {
        drains += 1;
        recording.drain(&mut kernel)?;
        recording.poll(&mut kernel)
    })?;
    recording.finish(&mut kernel)?;
    let netns = facts.netns()?;
    let (connected, accepted): (u64, u64) = (facts.number("connected")?, facts.number("accepted")?);
    let hook = recording.tcp()?;
    assert!(drains > 20, "only {drains} drains");
    assert_eq!(hook.counters.ring_full, 0, "a ring of the default size loses nothing");
    let out = recording.count_in(netns, Direction::Out, FlowOutcome::Established);
    let taken = recording.count_in(netns, Direction::In, FlowOutcome::Established);
    assert_eq!(
        (out, taken, hook.recursion_misses),
        (connected, accepted, 0),
        "{hook:?}"
    );
    for (_, value) in &recording.drained.flows {
        assert!(value.count > 0 && value.first_ns <= value.last_ns, "{value:?}");
    }
    recording.check_books()
}

/// An interrupt in the middle of the program makes the kernel skip it; the instance behind it stands in. The kernel skips
/// each recorder's program at moments of its own, so two recorders see the same only if each makes up for what it was not
/// shown, and does nothing twice.
fn rescued() -> Outcome {
    const TRIES: u32 = 20;
    for _ in 0..TRIES {
        let group = Group::new()?;
        let (mut first, mut second) = (Kernel::load(&config())?, Kernel::load(&config())?);
        let mut recordings = [Recording::default(), Recording::default()];
        let [one, other] = &mut recordings;
        let facts = work(group.path(), &["crossfire", "1000"], || {
            one.poll(&mut first)?;
            other.poll(&mut second)
        })?;
        let kernels = [&mut first, &mut second].into_iter();
        let mut seen = kernels.zip(recordings).map(|(kernel, mut recording)| -> Outcome<_> {
            recording.finish(kernel)?;
            recording.check_books()?;
            let hook = recording.tcp()?;
            assert_eq!(hook.recursion_misses, 0, "{hook:?}");
            let netns = facts.netns()?;
            let events = recording.events.iter();
            let events = events.filter(|event| event.netns == netns && is_ours(event.cgroup_id));
            let mut events: Vec<_> = events.map(|event| (event.cookie, event.kind)).collect();
            let sent = events.len();
            events.sort_unstable();
            events.dedup();
            assert_eq!(events.len(), sent, "nothing is told twice");
            Ok((hook.rescued, events))
        });
        let (first_rescued, first_events) = seen.next().ok_or("two recorders")??;
        let (second_rescued, second_events) = seen.next().ok_or("two recorders")??;
        assert!(first_events == second_events, "what one recorder saw the other missed");
        if first_rescued > 0 && second_rescued > 0 {
            return Ok(());
        }
    }
    Err(format!("no interrupt came at the right moment in {TRIES} storms").into())
}

/// A recorder that goes away leaves no program in the kernel.
fn nothing_left() -> Outcome {
    let kernel = Kernel::load(&config())?;
    let ours = own_programs()?;
    let attached = kernel.hooks().iter().filter(|hook| hook.state == HookState::Available);
    assert!(ours.len() > attached.count(), "each hook, and one twice: {ours:?}");
    let still_there = || -> Outcome<usize> {
        let loaded = aya::programs::loaded_programs().collect::<Result<Vec<_>, _>>()?;
        Ok(loaded.iter().filter(|program| ours.contains(&program.id())).count())
    };
    assert_eq!(still_there()?, ours.len());
    drop(kernel);
    // The kernel frees a program after a grace period, which takes its time on a busy machine.
    let began = Instant::now();
    while began.elapsed() < Duration::from_mins(1) {
        if still_there()? == 0 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err("a program is still loaded".into())
}

/// Numbers of the programs that this process holds (`bpf_prog_show_fdinfo`, `kernel/bpf/syscall.c`, v6.12). No other program
/// has had any of them, unlike names, which those of another recorder have as well.
fn own_programs() -> Outcome<BTreeSet<u32>> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir("/proc/self/fdinfo")? {
        // The descriptor of this directory is gone by the time it is looked at.
        let Ok(text) = std::fs::read_to_string(entry?.path()) else {
            continue;
        };
        let numbers = text.lines().filter_map(|line| line.strip_prefix("prog_id:"));
        for number in numbers {
            found.insert(number.trim().parse()?);
        }
    }
    Ok(found)
}

fn sizes() -> Outcome {
    for ring_bytes in [0, 1, page_size() / 2, page_size() + 1, page_size() * 3] {
        let Err(error) = Kernel::load(&KernelConfig { ring_bytes, ..config() }) else {
            return Err(format!("a ring of {ring_bytes} bytes was taken").into());
        };
        assert!(error.to_string().contains(&ring_bytes.to_string()), "{error}");
    }
    assert!(
        Kernel::load(&KernelConfig {
            flow_entries: 0,
            ..config()
        })
        .is_err()
    );
    assert!(
        Kernel::load(&KernelConfig {
            object: Some("/nonexistent.o".into()),
            ..config()
        })
        .is_err()
    );
    Ok(())
}
