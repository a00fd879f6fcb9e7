//! What a window records: every operation once, with its pod, its listener and its times.

use flowtape_schemas::cluster::Bound;
use flowtape_schemas::manifest::{HookState, Origin, Stop};
use flowtape_schemas::node::{
    CgroupRow, ClockRow, Counter, Direction, EventKind, EventRow, Hook, ListenRow, NetnsRow, Outcome as FlowOutcome,
    Runtime, SocketFamily, SocketRow, SocketType,
};

use crate::recording::Recording;
use crate::tape::Tape;
use crate::worker::{CONTAINER, POD, UDP_PORT, Worker};
use crate::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    ("a_window_says_what_happened", window),
    ("a_signal_ends_a_window_cleanly", signal),
    ("first_k_thins_events_and_keeps_counts", first_k),
    ("rotated_files_add_up", rotation),
    ("two_recorders_see_the_same", two_at_once),
];

const CONNECTIONS: u64 = 300;
/// One more over IPv6.
const ALL: u64 = CONNECTIONS + 1;

fn window() -> Outcome {
    let recording = Recording::start(&["--duration", "2s", "--interval", "300ms"])?;
    let worker = Worker::connects(1, CONNECTIONS)?;
    let ended = recording.wait()?;
    ended.must_be_complete()?;
    let tape = Tape::at(ended.tape());
    tape.must_be_whole()?;

    let manifest = tape.manifest()?;
    let node = &manifest.nodes[0];
    assert_eq!(
        (manifest.origin, node.stop, node.name.as_str()),
        (Origin::Recorded, Stop::Clean, "n1")
    );
    // Of our own nothing is lost, as the samples of its flows say; datagrams of others here may have had their share.
    let told = [Counter::RingFull, Counter::WriterDropped, Counter::SteppedDown];
    let told = told
        .map(|counter| tape.counter(counter))
        .into_iter()
        .sum::<Outcome<u64>>()?;
    assert_eq!((node.lost_events, node.lost_edges), (told, 0));
    assert!(node.hooks.iter().all(|hook| hook.state == HookState::Attached));
    let length = node.window.end.0 - node.window.start.0;
    assert!((1_900_000_000..4_000_000_000).contains(&length), "{length} ns");

    for direction in [Direction::Out, Direction::In] {
        let flows = tape.flows(worker.cgroup_id, direction)?;
        assert_eq!(flows.iter().map(|row| row.count).sum::<u64>(), ALL, "{direction}");
        for row in &flows {
            assert_eq!((row.netns, row.service_port), (Some(worker.netns), Some(worker.port)));
            assert_eq!((row.outcome, row.samples), (FlowOutcome::Established, row.count));
            assert!(node.window.start <= row.first_seen && row.last_seen <= node.window.end);
        }
        let events: Vec<EventRow> = tape.rows()?;
        let events = events
            .iter()
            .filter(|row| row.cgroup_id == Some(worker.cgroup_id) && row.direction == direction);
        let (v6, v4): (Vec<_>, Vec<_>) = events.partition(|row| row.remote_ip.is_some_and(|ip| ip.ip().is_ipv6()));
        assert_eq!((v4.len() as u64, v6.len()), (CONNECTIONS, 1), "{direction}");
        let kind = if direction == Direction::Out {
            EventKind::Connect
        } else {
            EventKind::Accept
        };
        assert!(
            v4.iter()
                .chain(&v6)
                .all(|row| row.kind == kind && row.socket_cookie.is_some())
        );
    }
    sockets(&tape, &worker)?;
    surroundings(&tape, &worker)
}

/// One for each connection, and the listener's; accepted ones are not made by `socket()`.
fn sockets(tape: &Tape, worker: &Worker) -> Outcome {
    let mut rows: Vec<SocketRow> = tape.rows()?;
    rows.retain(|row| (row.cgroup_id, row.netns) == (Some(worker.cgroup_id), Some(worker.netns)));
    let of_udp = |row: &&SocketRow| row.socket_type == SocketType::Dgram;
    assert_eq!(rows.iter().filter(of_udp).map(|row| row.count).sum::<u64>(), 3);
    rows.retain(|row| !of_udp(&row));
    for (family, count) in [(SocketFamily::Inet, CONNECTIONS), (SocketFamily::Inet6, 2)] {
        let rows: Vec<&SocketRow> = rows.iter().filter(|row| row.family == family).collect();
        assert_eq!(rows.iter().map(|row| row.count).sum::<u64>(), count, "{family}");
        for row in rows {
            assert_eq!((row.socket_type, row.protocol), (SocketType::Stream, 6));
            assert_eq!(row.hook, Hook::SockCreate);
        }
        let mut events: Vec<EventRow> = tape.rows()?;
        events.retain(|row| row.kind == EventKind::Socket && row.cgroup_id == Some(worker.cgroup_id));
        events.retain(|row| (row.family, row.socket_type) == (Some(family), Some(SocketType::Stream)));
        assert_eq!(events.len() as u64, count, "{family}");
        assert!(
            events
                .iter()
                .all(|row| row.socket_cookie.is_some() && row.pid.is_some() && row.local_port.is_none())
        );
    }
    Ok(())
}

/// Control group, namespace, listener, clock.
fn surroundings(tape: &Tape, worker: &Worker) -> Outcome {
    let groups: Vec<CgroupRow> = tape.rows()?;
    let group = groups
        .iter()
        .find(|row| row.cgroup_id == worker.cgroup_id)
        .ok_or("no row of the control group")?;
    assert_eq!(
        (group.pod_uid.as_deref(), group.container_id.as_deref()),
        (Some(POD), Some(CONTAINER))
    );
    assert_eq!(
        (group.runtime, group.from_bound),
        (Some(Runtime::Unnamed), Bound::Observed)
    );
    assert_eq!((group.valid_to, group.to_bound), (None, Bound::Assumed));
    assert!(groups.iter().any(|row| row.path == "/" && row.pod_uid.is_none()));

    let namespaces: Vec<NetnsRow> = tape.rows()?;
    let namespace = namespaces
        .iter()
        .find(|row| row.netns == worker.netns)
        .ok_or("no row of the namespace")?;
    assert_eq!((namespace.pod_uid.as_deref(), namespace.is_host), (Some(POD), false));
    assert_eq!(namespaces.iter().filter(|row| row.is_host).count(), 1);

    let mut listens: Vec<ListenRow> = tape.rows()?;
    listens.retain(|row| (row.cgroup_id, row.netns) == (Some(worker.cgroup_id), Some(worker.netns)));
    listens.sort_unstable_by_key(|row| row.port);
    let seen: Vec<_> = listens
        .iter()
        .map(|row| (row.port, row.protocol, row.hook, row.valid_to.is_some()))
        .collect();
    let expected = [
        (worker.port, 6, Hook::SetState, false),
        (UDP_PORT, 17, Hook::PostBind4, false),
        (UDP_PORT + 1, 17, Hook::PostBind6, true),
    ];
    assert_eq!(seen, expected);
    assert!(listens.iter().all(|row| row.valid_from.is_some()));
    assert_eq!((listens[0].local_ip, listens[1].backlog), (None, None));

    let clock: Vec<ClockRow> = tape.rows()?;
    assert_eq!(clock.len(), 2, "at the start and at the end");
    assert!(clock[0].boot_nanos < clock[1].boot_nanos);
    Ok(())
}

fn signal() -> Outcome {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let recording = Recording::start(&[])?;
        let worker = Worker::connects(1, 50)?;
        let id = worker.cgroup_id;
        drop(worker);
        let ended = recording.stop(signal)?;
        ended.must_be_complete()?;
        let tape = Tape::at(ended.tape());
        tape.must_be_whole()?;
        assert_eq!(tape.operations(id, Direction::Out)?, 51);
        let groups: Vec<CgroupRow> = tape.rows()?;
        let group = groups
            .iter()
            .find(|row| row.cgroup_id == id && row.container_id.is_some() && row.to_bound == Bound::Observed);
        assert!(
            group.is_some_and(|row| row.valid_from < row.valid_to),
            "its end was seen"
        );
        let listens: Vec<ListenRow> = tape.rows()?;
        let listen = listens
            .iter()
            .find(|row| row.cgroup_id == Some(id) && row.protocol == 6)
            .ok_or("no row of the listener")?;
        assert!(listen.valid_from < listen.valid_to, "{listen:?}");
    }
    Ok(())
}

fn first_k() -> Outcome {
    let recording = Recording::start(&["--events", "first:8", "--interval", "1h"])?;
    let worker = Worker::connects(3, 100)?;
    let ended = recording.stop(libc::SIGTERM)?;
    ended.must_be_complete()?;
    let tape = Tape::at(ended.tape());
    assert_eq!(tape.operations(worker.cgroup_id, Direction::Out)?, 301);
    let events: Vec<EventRow> = tape.rows()?;
    let clients = |row: &&EventRow| row.cgroup_id == Some(worker.cgroup_id) && row.direction == Direction::Out;
    assert_eq!(events.iter().filter(clients).count(), 3 * 8 + 1);
    assert_eq!(
        tape.manifest()?.nodes[0].lost_events,
        tape.counter(Counter::SteppedDown)?
    );
    assert!(tape.counter(Counter::SteppedDown)? >= 2 * 3 * 92);
    Ok(())
}

fn rotation() -> Outcome {
    let recording = Recording::start(&["--rotation", "200ms", "--interval", "100ms"])?;
    let mut sent = Vec::new();
    for _ in 0..4 {
        let worker = Worker::connects(2, 100)?;
        sent.push(worker.cgroup_id);
        drop(worker);
        std::thread::sleep(std::time::Duration::from_millis(150));
    }
    let ended = recording.stop(libc::SIGTERM)?;
    ended.must_be_complete()?;
    let tape = Tape::at(ended.tape());
    tape.must_be_whole()?;
    let counted: u64 = sent
        .iter()
        .map(|&group| tape.operations(group, Direction::Out))
        .sum::<Outcome<u64>>()?;
    assert_eq!(counted, 4 * 201);
    let files = tape.manifest()?.files;
    assert!(
        files.iter().filter(|file| file.table == "flows").count() > 1,
        "{files:?}"
    );
    let groups: Vec<CgroupRow> = tape.rows()?;
    let containers: Vec<u64> = groups
        .iter()
        .filter(|row| row.container_id.is_some() && sent.contains(&row.cgroup_id))
        .map(|row| row.cgroup_id)
        .collect();
    let distinct: std::collections::BTreeSet<u64> = containers.iter().copied().collect();
    assert_eq!((containers.len(), distinct.len()), (4, 4), "each control group once");
    Ok(())
}

fn two_at_once() -> Outcome {
    let first = Recording::start(&[])?;
    let second = Recording::start(&["--events", "first:1"])?;
    let worker = Worker::connects(2, 100)?;
    for recording in [first, second] {
        let ended = recording.stop(libc::SIGTERM)?;
        ended.must_be_complete()?;
        for direction in [Direction::Out, Direction::In] {
            assert_eq!(Tape::at(ended.tape()).operations(worker.cgroup_id, direction)?, 201);
        }
    }
    Ok(())
}
