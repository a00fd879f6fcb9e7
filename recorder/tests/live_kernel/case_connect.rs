//! What the program asked for: attempts that fail before a packet leaves, that never end, or that are sent elsewhere.

use std::net::{Ipv4Addr, SocketAddrV4};

use flowtape_recorder::kernel::Kernel;
use flowtape_recorder::kernel::config::{HookState, KernelConfig};
use flowtape_recorder_ebpf::abi::address::Address;
use flowtape_recorder_ebpf::abi::attempt::{ATTEMPT_ASKED, ATTEMPT_SENT};
use flowtape_recorder_ebpf::abi::flow::FlowKey;
use flowtape_recorder_ebpf::abi::id::{Direction, HookId, Outcome as FlowOutcome, Protocol};

use crate::balancer::Balancer;
use crate::cgroup::{self, Group};
use crate::job_connect::BACKEND_PORT;
use crate::stage::{Recording, config, work};
use crate::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    ("unreachable_before_a_packet_leaves", no_route),
    ("handshake_open_at_the_end", open_at_the_end),
    ("attempts_without_room_are_counted", no_room),
    ("handshakes_without_room_are_counted_exactly", unheld),
    ("balanced_before_us", || balanced(true)),
    ("balanced_after_us", || balanced(false)),
    ("passive_only_attaches_no_cgroup_program", passive),
];

/// The first attempt of a socket is counted when it asks again. The last one is counted by whoever drains, or when another
/// socket of this machine gets the same address first.
fn no_route() -> Outcome {
    let group = Group::new()?;
    let (recording, facts) = Recording::of(&config(), group.path(), &["no-route"])?;
    let netns = facts.netns()?;
    let flows = recording.flows_in(netns, Direction::Out, FlowOutcome::Unreachable);
    for (hook, port) in [(HookId::Connect4, "port4"), (HookId::Connect6, "port6")] {
        let port: u16 = facts.number(port)?;
        let counted: Vec<_> = flows.iter().filter(|(key, _)| key.hook == hook.id()).collect();
        let [(key, value)] = counted[..] else {
            return Err(format!("not one flow of {hook:?}: {flows:?}").into());
        };
        assert_eq!((key.service_port, key.cgroup_id), (port, group.id));
        let waiting = recording.attempts_in(netns);
        let waiting: Vec<_> = waiting.iter().filter(|attempt| attempt.hook == hook.id()).collect();
        assert_eq!(value.count + u64::try_from(waiting.len())?, 2, "{waiting:?}");
        for attempt in waiting {
            assert_eq!((attempt.state, attempt.pid), (ATTEMPT_ASKED, facts.number("pid")?));
            // What comes of it is the same edge.
            let edge = FlowKey::of(&attempt.event(FlowOutcome::Unreachable));
            assert_eq!(edge, *key);
        }
        recording.check_books_of(hook)?;
    }
    Ok(())
}

fn open_at_the_end() -> Outcome {
    let group = Group::new()?;
    let directory = tempfile::tempdir()?;
    let (ready, done) = (directory.path().join("ready"), directory.path().join("done"));
    let mut kernel = Kernel::load(&config())?;
    let mut recording = Recording::default();
    let facts = work(group.path(), &["open", &text(&ready)?, &text(&done)?], || {
        if ready.exists() && !done.exists() {
            recording.finish(&mut kernel)?;
            std::fs::write(&done, "")?;
        }
        Ok(())
    })?;
    let netns = facts.netns()?;
    let [attempt] = recording.attempts_in(netns)[..] else {
        return Err(format!("not one attempt: {:?}", recording.drained.attempts).into());
    };
    let port: u16 = facts.number("port")?;
    assert_eq!(
        (
            attempt.state,
            attempt.remote_port,
            attempt.asked_port,
            attempt.cgroup_id
        ),
        (ATTEMPT_SENT, port, port, group.id)
    );
    assert_eq!(attempt.local_ip, Address::from_v4([192, 0, 2, 1]));
    let event = attempt.event(FlowOutcome::Unknown);
    assert_eq!(
        (event.remote_ip, event.asked_port),
        (Address::from_v4([192, 0, 2, 9]), 0)
    );
    assert_eq!(recording.count_in(netns, Direction::Out, FlowOutcome::Unreachable), 0);
    Ok(())
}

/// With room for one attempt, every one that was asked for is there, or counted as lost, and none is both.
fn no_room() -> Outcome {
    const SENT: u64 = 300;
    let group = Group::new()?;
    let (recording, facts) = Recording::of(&no_room_for_two(), group.path(), &["many-no-route", &SENT.to_string()])?;
    let netns = facts.netns()?;
    let counted = recording.count_in(netns, Direction::Out, FlowOutcome::Unreachable);
    let waiting = u64::try_from(recording.attempts_in(netns).len())?;
    let counters = recording.hook(HookId::Connect4)?.counters;
    assert!(counters.unkept > 0, "there was meant to be no room: {counters:?}");
    // Others on this machine may have lost some as well, and may have taken the room.
    assert!(counted + waiting < SENT && counted + waiting + counters.edge_lost >= SENT);
    // Those that get a handshake lose nothing for lack of room.
    assert_eq!(
        recording.count_in(netns, Direction::Out, FlowOutcome::Refused),
        facts.number::<u64>("refused")?
    );
    assert!(counters.unkept_sent >= facts.number::<u64>("refused")?.saturating_sub(1));
    Ok(())
}

/// Handshakes that find no room: those that end in the window are recorded, those that are open at its end are lost, and both
/// together are all, to the last one. A recorder with room for everything sees what others on this machine add to that.
fn unheld() -> Outcome {
    const OPEN: u64 = 60;
    const ENDED: u64 = 40;
    const TRIES: u32 = 10;
    for _ in 0..TRIES {
        let group = Group::new()?;
        let (mut witness, mut others) = (Kernel::load(&config())?, Recording::default());
        let (mut kernel, mut recording) = (Kernel::load(&no_room_for_two())?, Recording::default());
        let directory = tempfile::tempdir()?;
        let (ready, done) = (directory.path().join("ready"), directory.path().join("done"));
        let (open, ended) = (OPEN.to_string(), ENDED.to_string());
        let job = ["many-open", &open, &ended, &text(&ready)?, &text(&done)?];
        let facts = work(group.path(), &job, || {
            if ready.exists() && !done.exists() {
                recording.finish(&mut kernel)?;
                others.finish(&mut witness)?;
                std::fs::write(&done, "")?;
            }
            recording.poll(&mut kernel)?;
            others.poll(&mut witness)
        })?;
        let netns = facts.netns()?;
        let seen = clients(&recording, |id| id == group.id);
        let lost: u64 = [HookId::InetSockSetState, HookId::Connect4, HookId::Connect6]
            .iter()
            .map(|id| Ok(recording.hook(*id)?.counters.edge_lost))
            .sum::<Outcome<u64>>()?;
        let foreign = clients(&others, |id| id != group.id);
        assert_eq!(
            clients(&others, |id| id == group.id),
            OPEN + ENDED,
            "with room nothing is lost"
        );
        assert!(recording.count_in(netns, Direction::Out, FlowOutcome::Refused) >= ENDED);
        let counted = seen + lost;
        assert!(
            (OPEN + ENDED..=OPEN + ENDED + foreign).contains(&counted) && lost > 0,
            "{seen} recorded and {lost} lost, and {foreign} of others"
        );
        if foreign == 0 {
            break;
        }
    }
    Ok(())
}

fn no_room_for_two() -> KernelConfig {
    KernelConfig {
        connect_entries: 1,
        ..config()
    }
}

fn text(path: &std::path::Path) -> Outcome<String> {
    Ok(path.to_str().ok_or("a path that is no text")?.to_owned())
}

/// Connections and attempts that clients over TCP made, in these control groups.
fn clients(recording: &Recording, is_wanted: impl Fn(u64) -> bool) -> u64 {
    let is_client = |key: &FlowKey| {
        (key.direction, key.protocol) == (Direction::Out.id(), Protocol::Tcp.id()) && is_wanted(key.cgroup_id)
    };
    let flows = recording.drained.flows.iter().filter(|(key, _)| is_client(key));
    let counted: u64 = flows.map(|(_, value)| value.count).sum();
    let overflows = recording.overflows.iter().filter(|overflow| is_client(&overflow.key));
    let attempts = recording.drained.attempts.iter();
    let waiting = attempts.filter(|attempt| is_wanted(attempt.cgroup_id));
    counted + (overflows.count() + waiting.count()) as u64
}

/// A connection to an address of a Service: whoever puts the backend in its place first decides what we are asked for, and
/// the handshake shows the backend either way.
fn balanced(before_us: bool) -> Outcome {
    // Of a network for benchmarks (RFC 2544), in a number that no other test has.
    let [a, b, ..] = std::process::id().to_le_bytes();
    let service = Ipv4Addr::new(198, if before_us { 19 } else { 18 }, a, b);
    let backend = SocketAddrV4::new(Ipv4Addr::LOCALHOST, BACKEND_PORT);
    let group = Group::new()?;
    let mut kernel = Kernel::load(&config())?;
    // Programs of a control group run before those of the ones above it, and of one group in the order they came.
    let place = if before_us {
        group.path().to_owned()
    } else {
        cgroup::mount()?
    };
    let balancer = Balancer::new(&place, service.into(), backend.into())?;
    let facts = work(
        group.path(),
        &["to", &SocketAddrV4::new(service, 80).to_string()],
        || Ok(()),
    )?;
    drop(balancer);
    let mut recording = Recording::default();
    recording.finish(&mut kernel)?;
    let netns = facts.netns()?;
    let [(key, value)] = recording.flows_in(netns, Direction::Out, FlowOutcome::Established)[..] else {
        return Err(format!("not one flow: {:?}", recording.drained.flows).into());
    };
    assert_eq!((key.service_port, value.count), (BACKEND_PORT, 1));
    assert_eq!(key.remote_ip, Address::from_v4(Ipv4Addr::LOCALHOST.octets()));
    let asked = if before_us {
        (Address::UNSPECIFIED, 0)
    } else {
        (Address::from_v4(service.octets()), 80)
    };
    assert_eq!((key.asked_ip, key.asked_port), asked);
    assert!(recording.attempts_in(netns).is_empty());
    recording.check_books()
}

fn passive() -> Outcome {
    let group = Group::new()?;
    let config = KernelConfig {
        passive_only: true,
        ..config()
    };
    let kernel = Kernel::load(&config)?;
    for hook in kernel.hooks() {
        let expected = if hook.name.starts_with("cgroup/") {
            HookState::NotAskedFor
        } else {
            HookState::Available
        };
        assert_eq!(hook.state, expected, "{}", hook.name);
    }
    drop(kernel);
    let (recording, facts) = Recording::of(&config, group.path(), &["v4"])?;
    let netns = facts.netns()?;
    assert_eq!(recording.count_in(netns, Direction::Out, FlowOutcome::Established), 1);
    recording.check_books()
}
