//! Each kind of edge: the right direction, outcome, addresses, ports and owners.

use std::net::{Ipv4Addr, Ipv6Addr};

use flowtape_recorder_ebpf::abi::address::Address;
use flowtape_recorder_ebpf::abi::event::{Event, FLAG_TASK, FLAG_V4_MAPPED};
use flowtape_recorder_ebpf::abi::flow::{FOLDED_NOT, FlowKey};
use flowtape_recorder_ebpf::abi::id::{Direction, HookId, Outcome as FlowOutcome, RecordKind};

use crate::cgroup::Group;
use crate::stage::{Recording, config};
use crate::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    ("ipv4", || established("v4", LOOPBACK4, LOOPBACK4, 4, false)),
    ("ipv6", || established("v6", LOOPBACK6, LOOPBACK6, 6, false)),
    ("dual_stack_server", || {
        established("dual-from-v4", Address::UNSPECIFIED, LOOPBACK4, 4, false)
    }),
    ("mapped_client", || {
        established("dual-from-mapped", Address::UNSPECIFIED, LOOPBACK4, 4, true)
    }),
    ("mptcp_is_one_connection", mptcp),
    ("owner_is_the_socket_not_the_task", crossed),
    ("refused", refused),
    ("abandoned", abandoned),
    ("timeout_and_unreachable", silent),
    ("simultaneous_open", simultaneous),
    ("cgroups_made_and_removed", cgroups),
];

const LOOPBACK4: Address = Address::from_v4(Ipv4Addr::LOCALHOST.octets());
const LOOPBACK6: Address = Address::from_bytes(Ipv6Addr::LOCALHOST.octets());

/// One connection, seen from both sides.
fn established(job: &str, listens_on: Address, both: Address, ip_version: u8, client_is_mapped: bool) -> Outcome {
    let group = Group::new()?;
    let (recording, facts) = Recording::of(&config(), group.path(), &[job])?;
    let netns = facts.netns()?;
    let (port, client_port, pid): (u16, u16, u32) = (
        facts.number("port")?,
        facts.number("client_port")?,
        facts.number("pid")?,
    );

    let [listen] = recording.events_in(netns, RecordKind::Listen)[..] else {
        return Err("not one listen".into());
    };
    assert_eq!(
        (listen.local_ip, listen.local_port, listen.backlog),
        (listens_on, port, 17)
    );
    assert_eq!((listen.remote_ip, listen.remote_port), (Address::UNSPECIFIED, 0));
    assert_eq!(
        (listen.flags & FLAG_TASK, listen.pid, listen.task_cgroup_id),
        (FLAG_TASK, pid, group.id)
    );
    let [unlisten] = recording.events_in(netns, RecordKind::Unlisten)[..] else {
        return Err("not one unlisten".into());
    };
    assert_eq!((unlisten.local_port, unlisten.cookie), (port, listen.cookie));
    let [(key, value)] = recording.listens_in(netns)[..] else {
        return Err("not one listener".into());
    };
    assert_eq!((key.cgroup_id, key.local_ip, key.port), (group.id, listens_on, port));
    assert_eq!((value.opened, value.closed, value.backlog), (1, 1, 17));
    assert_eq!((value.first_ns, value.last_ns), (listen.ts_ns, unlisten.ts_ns));

    let [connect] = recording.events_in(netns, RecordKind::ConnectOk)[..] else {
        return Err("not one connect".into());
    };
    let [accept] = recording.events_in(netns, RecordKind::Accept)[..] else {
        return Err("not one accept".into());
    };
    for event in [connect, accept] {
        assert_eq!(
            (event.local_ip, event.remote_ip, event.ip_version),
            (both, both, ip_version)
        );
        assert_eq!(
            (event.cgroup_id, event.outcome),
            (group.id, FlowOutcome::Established.id())
        );
        assert!(event.cookie != 0 && event.cookie != listen.cookie);
    }
    assert_eq!(
        (connect.local_port, connect.remote_port, connect.pid),
        (client_port, port, pid)
    );
    assert_eq!(
        (accept.local_port, accept.remote_port, accept.pid),
        (port, client_port, 0)
    );
    assert_eq!(connect.flags & FLAG_V4_MAPPED != 0, client_is_mapped);
    assert_eq!(accept.flags & FLAG_V4_MAPPED != 0, listens_on == Address::UNSPECIFIED);
    assert!(accept.cookie != connect.cookie);

    check_flow(&recording, connect, Direction::Out, port)?;
    check_flow(&recording, accept, Direction::In, port)?;
    assert_eq!(recording.tcp()?.counters.read_fail, 0);
    recording.check_books()
}

/// The flow of a single event has the event's edge, time and nothing else.
fn check_flow(recording: &Recording, event: &Event, direction: Direction, port: u16) -> Outcome {
    let [(key, value)] = recording.flows_in(event.netns, direction, FlowOutcome::Established)[..] else {
        return Err("not one flow".into());
    };
    let wanted = FlowKey {
        cgroup_id: event.cgroup_id,
        netns: event.netns,
        service_port: port,
        protocol: 6,
        direction: direction.id(),
        local_ip: event.local_ip,
        remote_ip: event.remote_ip,
        asked_ip: Address::UNSPECIFIED,
        asked_port: 0,
        outcome: FlowOutcome::Established.id(),
        ip_version: event.ip_version,
        hook: HookId::InetSockSetState.id(),
        folded: FOLDED_NOT,
        pad: [0; 2],
    };
    assert_eq!(*key, wanted);
    assert_eq!((value.count, value.samples), (1, 1));
    assert_eq!((value.first_ns, value.last_ns), (event.ts_ns, event.ts_ns));
    Ok(())
}

/// MPTCP shows once and not twice: its subflow is TCP, the socket above it is passed over.
fn mptcp() -> Outcome {
    if std::fs::read_to_string("/proc/sys/net/mptcp/enabled").is_err() {
        // A kernel without it cannot get it wrong.
        return Ok(());
    }
    established("mptcp", LOOPBACK4, LOOPBACK4, 4, false)
}

/// The accepted socket belongs to the listener's control group, though the client's task ran the handshake.
fn crossed() -> Outcome {
    let (server, client) = (Group::new()?, Group::new()?);
    let second = client.path().to_str().ok_or("a path that is no text")?;
    let (recording, facts) = Recording::of(&config(), server.path(), &["crossed", second])?;
    let netns = facts.netns()?;
    let owners = |direction| -> Vec<u64> {
        let flows = recording.flows_in(netns, direction, FlowOutcome::Established);
        flows.iter().map(|(key, _)| key.cgroup_id).collect()
    };
    assert_eq!(owners(Direction::Out), [client.id]);
    assert_eq!(owners(Direction::In), [server.id]);
    recording.check_books()
}

fn refused() -> Outcome {
    let group = Group::new()?;
    let (recording, facts) = Recording::of(&config(), group.path(), &["refused"])?;
    let netns = facts.netns()?;
    let ports: [u16; 2] = [facts.number("port4")?, facts.number("port6")?];
    let failed = recording.events_in(netns, RecordKind::ConnectFail);
    let seen: Vec<_> = failed
        .iter()
        .map(|event| (event.ip_version, event.remote_port, event.errno))
        .collect();
    assert_eq!(seen, [(4, ports[0], 111), (6, ports[1], 111)]);
    assert!(
        failed.iter().all(|event| event.local_port != 0),
        "the client's port is known after CLOSE: {failed:?}"
    );
    let flows = recording.flows_in(netns, Direction::Out, FlowOutcome::Refused);
    assert_eq!(flows.len(), 2);
    assert!(
        flows
            .iter()
            .all(|(key, value)| value.count == 1 && key.cgroup_id == group.id)
    );
    assert_eq!(recording.count_in(netns, Direction::Out, FlowOutcome::Established), 0);
    recording.check_books()
}

fn abandoned() -> Outcome {
    let group = Group::new()?;
    let (recording, facts) = Recording::of(&config(), group.path(), &["abandoned"])?;
    let netns = facts.netns()?;
    let [(key, value)] = recording.flows_in(netns, Direction::Out, FlowOutcome::Aborted)[..] else {
        return Err(format!("not one aborted flow: {:?}", recording.drained.flows).into());
    };
    assert_eq!((key.service_port, value.count), (facts.number("port")?, 1));
    recording.check_books()
}

fn silent() -> Outcome {
    let group = Group::new()?;
    let (recording, facts) = Recording::of(&config(), group.path(), &["silent"])?;
    let netns = facts.netns()?;
    for (outcome, port, errno) in [
        (FlowOutcome::TimedOut, "timeout_port", 110),
        (FlowOutcome::Unreachable, "unreachable_port", 113),
    ] {
        let [(key, value)] = recording.flows_in(netns, Direction::Out, outcome)[..] else {
            return Err(format!("not one flow that is {outcome:?}: {:?}", recording.drained.flows).into());
        };
        assert_eq!((key.service_port, value.count), (facts.number(port)?, 1));
        let failed = recording.events_in(netns, RecordKind::ConnectFail);
        assert!(
            failed
                .iter()
                .any(|event| event.errno == errno && event.remote_port == key.service_port)
        );
    }
    recording.check_books()
}

fn simultaneous() -> Outcome {
    let group = Group::new()?;
    let (recording, facts) = Recording::of(&config(), group.path(), &["simultaneous"])?;
    let netns = facts.netns()?;
    let [connect] = recording.events_in(netns, RecordKind::ConnectOk)[..] else {
        return Err("not one connect".into());
    };
    let port: u16 = facts.number("port")?;
    assert_eq!((connect.local_port, connect.remote_port), (port, port));
    assert!(recording.events_in(netns, RecordKind::Accept).is_empty());
    recording.check_books()
}

fn cgroups() -> Outcome {
    let mut kernel = flowtape_recorder::kernel::Kernel::load(&config())?;
    let group = Group::new()?;
    let (id, name) = (
        group.id,
        group
            .path()
            .file_name()
            .and_then(|name| name.to_str())
            .map(str::to_owned),
    );
    let name = name.ok_or("a path that is no text")?;
    drop(group);
    let mut recording = Recording::default();
    recording.finish(&mut kernel)?;
    let seen: Vec<_> = recording
        .cgroups
        .iter()
        .filter(|change| change.id == id)
        .map(|change| (change.made, change.cut))
        .collect();
    assert_eq!(seen, [(true, false), (false, false)]);
    assert!(
        recording
            .cgroups
            .iter()
            .filter(|change| change.id == id)
            .all(|change| change.path == format!("/{name}"))
    );
    Ok(())
}
