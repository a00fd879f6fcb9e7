//! UDP: who began, what was answered, and each datagram counted once.

use flowtape_recorder_ebpf::abi::event::{FLAG_TASK, FLAG_V4_MAPPED};
use flowtape_recorder_ebpf::abi::flow::{FlowKey, FlowValue};
use flowtape_recorder_ebpf::abi::id::{Direction, HookId, Outcome as FlowOutcome, Protocol, RecordKind};

use crate::cgroup::{self, Group};
use crate::stage::{Recording, config};
use crate::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    ("udp_asked_and_answered", || {
        asked("udp-asked", "v4", HookId::Sendmsg4, HookId::Recvmsg4)
    }),
    ("udp_asked_and_answered_over_ipv6", || {
        asked("udp-asked", "v6", HookId::Sendmsg6, HookId::Recvmsg6)
    }),
    ("udp_asked_and_answered_mapped", || {
        asked("udp-asked", "mapped", HookId::Sendmsg4, HookId::Recvmsg6)
    }),
    ("udp_connected", || connected("v4", HookId::Recvmsg4)),
    ("udp_connected_over_ipv6", || connected("v6", HookId::Recvmsg6)),
    ("udp_connected_mapped", || connected("mapped", HookId::Recvmsg6)),
    ("udp_connected_and_named_counts_once", named),
    ("udp_connected_without_traffic_is_no_edge", silent),
    ("udp_refused", refused),
    ("udp_on_a_port_nobody_chose_only_answers", answers),
];

/// Datagrams that each of these jobs sends to the server.
const SENT: u64 = 20;

/// The flows over UDP of a worker, in one direction and one outcome.
fn udp(recording: &Recording, netns: u32, direction: Direction, outcome: FlowOutcome) -> Vec<(FlowKey, FlowValue)> {
    let flows = recording.flows_in(netns, direction, outcome);
    let is_udp = |(key, _): &&&(FlowKey, FlowValue)| key.protocol == Protocol::Udp.id();
    flows.iter().filter(is_udp).map(|flow| **flow).collect()
}

/// An unconnected client asks, the server answers: the answers are no edge, and from the first of them on the client's
/// datagrams are known to arrive.
fn asked(job: &str, version: &str, sends: HookId, receives: HookId) -> Outcome {
    let group = Group::new()?;
    let (recording, facts) = Recording::of(&config(), group.path(), &[job, version, &SENT.to_string()])?;
    let netns = facts.netns()?;
    let (port, client_port): (u16, u16) = (facts.number("port")?, facts.number("client_port")?);

    let [(unknown, first)] = udp(&recording, netns, Direction::Out, FlowOutcome::Unknown)[..] else {
        return Err(format!("not one unanswered flow: {:?}", recording.drained.flows).into());
    };
    let [(established, rest)] = udp(&recording, netns, Direction::Out, FlowOutcome::Established)[..] else {
        return Err("not one answered flow".into());
    };
    assert_eq!((first.count, rest.count, rest.samples), (1, SENT - 1, 8));
    for key in [unknown, established] {
        assert_eq!(
            (key.service_port, key.cgroup_id, key.protocol),
            (port, group.id, Protocol::Udp.id())
        );
        assert_eq!(key.ip_version, if version == "v6" { 6 } else { 4 });
        assert_eq!((key.asked_port, key.asked_ip.is_unspecified()), (0, true));
    }
    assert_eq!(unknown.hook, sends.id());
    let [(served, value)] = udp(&recording, netns, Direction::In, FlowOutcome::Established)[..] else {
        return Err("not one served flow".into());
    };
    assert_eq!(
        (served.service_port, served.hook, served.cgroup_id),
        (port, receives.id(), group.id)
    );
    assert_eq!(
        (served.remote_ip, value.count, value.samples),
        (established.remote_ip, SENT, 8)
    );

    let out = recording.events_in(netns, RecordKind::UdpOut);
    assert_eq!(out.len(), 9, "one unanswered and the first eight answered ones");
    assert!(
        out.iter()
            .all(|event| (event.local_port, event.remote_port) == (client_port, port))
    );
    assert!(
        out.iter()
            .all(|event| event.flags & FLAG_TASK != 0 && event.task_cgroup_id == group.id)
    );
    assert!(
        out.iter()
            .all(|event| (event.flags & FLAG_V4_MAPPED != 0) == (version == "mapped"))
    );
    let incoming = recording.events_in(netns, RecordKind::UdpIn);
    assert!(
        incoming
            .iter()
            .all(|event| (event.local_port, event.remote_port) == (port, client_port))
    );
    for hook in [sends, receives] {
        recording.check_books_of(hook)?;
    }
    Ok(())
}

/// What a connected socket sends is counted as it leaves. It reads without asking for an address, so nobody sees an answer.
fn connected(version: &str, receives: HookId) -> Outcome {
    let group = Group::new()?;
    let (recording, facts) = Recording::of(&config(), group.path(), &["udp-connected", version, &SENT.to_string()])?;
    let netns = facts.netns()?;
    let port: u16 = facts.number("port")?;
    let [(key, value)] = udp(&recording, netns, Direction::Out, FlowOutcome::Unknown)[..] else {
        return Err(format!("not one flow: {:?}", recording.drained.flows).into());
    };
    assert_eq!((key.service_port, value.count, value.samples), (port, SENT, 8));
    assert_eq!((key.hook, key.cgroup_id), (HookId::SockSendLength.id(), group.id));
    assert_eq!(
        (key.asked_port, key.ip_version),
        (0, if version == "v6" { 6 } else { 4 })
    );
    assert!(udp(&recording, netns, Direction::Out, FlowOutcome::Established).is_empty());
    let [(served, value)] = udp(&recording, netns, Direction::In, FlowOutcome::Established)[..] else {
        return Err("not one served flow".into());
    };
    assert_eq!(
        (served.service_port, served.hook, value.count),
        (port, receives.id(), SENT)
    );
    recording.check_books_of(HookId::SockSendLength)
}

/// A connected socket may name an address all the same: its own peer's counts once, another's counts there.
fn named() -> Outcome {
    let group = Group::new()?;
    let (recording, facts) = Recording::of(&config(), group.path(), &["udp-named"])?;
    let netns = facts.netns()?;
    let (port, other): (u16, u16) = (facts.number("port")?, facts.number("other_port")?);
    let mut seen: Vec<_> = udp(&recording, netns, Direction::Out, FlowOutcome::Unknown)
        .iter()
        .map(|(key, value)| (key.service_port, value.count))
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, [(port, 3), (other, 2)]);
    Ok(())
}

/// Resolvers connect a socket only to learn their own address.
fn silent() -> Outcome {
    let group = Group::new()?;
    let (recording, facts) = Recording::of(&config(), group.path(), &["udp-silent"])?;
    let netns = facts.netns()?;
    let is_ours = |(key, _): &(FlowKey, FlowValue)| key.netns == netns && cgroup::is_ours(key.cgroup_id);
    assert!(!recording.drained.flows.iter().any(is_ours));
    assert!(recording.attempts_in(netns).is_empty());
    Ok(())
}

fn refused() -> Outcome {
    let group = Group::new()?;
    let (recording, facts) = Recording::of(&config(), group.path(), &["udp-refused"])?;
    let netns = facts.netns()?;
    let port: u16 = facts.number("port")?;
    let [(key, value)] = udp(&recording, netns, Direction::Out, FlowOutcome::Refused)[..] else {
        return Err(format!("not one refusal: {:?}", recording.drained.flows).into());
    };
    assert_eq!((key.service_port, key.cgroup_id, value.count), (port, group.id, 1));
    assert_eq!(key.hook, HookId::SkErrorReport.id());
    let [event] = recording.events_in(netns, RecordKind::ConnectFail)[..] else {
        return Err("not one event".into());
    };
    assert_eq!((event.errno, event.remote_port), (111, port));
    Ok(())
}

/// A datagram to a port that the kernel chose is an answer, whoever sent it: no edge into that socket.
fn answers() -> Outcome {
    let group = Group::new()?;
    let (recording, facts) = Recording::of(&config(), group.path(), &["udp-answers"])?;
    let netns = facts.netns()?;
    assert!(udp(&recording, netns, Direction::In, FlowOutcome::Established).is_empty());
    Ok(())
}
