//! What open sockets say, socket by socket.

use flowtape_recorder_ebpf::abi::address::Address;
use flowtape_recorder_ebpf::abi::event::{Event, FLAG_BY_BINDING, FLAG_V4_MAPPED};
use flowtape_recorder_ebpf::abi::flow::{FOLDED_PORT, FOLDED_REMOTE, FlowKey, FlowValue};
use flowtape_recorder_ebpf::abi::id::{Direction, HookId, Outcome};
use flowtape_recorder_ebpf::abi::open::{OpenSocket, PORT_LOCK};

use super::{Judged, KnownEdges, Looked};
use crate::kernel::open::{Look, OpenSockets};

const TCP: u16 = 6;
const UDP: u16 = 17;
const LISTEN: u8 = 10;
const CLOSE: u8 = 7;

/// A connection of 10.0.0.1:40000 to 10.0.0.2:443.
pub(in crate::record) fn client(protocol: u16) -> OpenSocket {
    OpenSocket {
        cookie: 1,
        cgroup_id: 7,
        netns: 8,
        pid: 9,
        family: 2,
        protocol,
        socket_type: if protocol == UDP { 2 } else { 1 },
        state: 1,
        local_ip: Address::from_v4([10, 0, 0, 1]),
        remote_ip: Address::from_v4([10, 0, 0, 2]),
        local_port: 40_000,
        remote_port: 443,
        ..OpenSocket::default()
    }
}

/// Somebody who waits at port 40000 of every address.
fn server(protocol: u16) -> OpenSocket {
    OpenSocket {
        cookie: 20 + u64::from(protocol),
        state: if protocol == UDP { CLOSE } else { LISTEN },
        user_locks: PORT_LOCK,
        local_ip: Address::UNSPECIFIED,
        remote_ip: Address::UNSPECIFIED,
        remote_port: 0,
        family: 10,
        ..client(protocol)
    }
}

pub(in crate::record) fn bytes(socket: &OpenSocket) -> Vec<u8> {
    let OpenSocket {
        cookie,
        cgroup_id,
        netns,
        pid,
        backlog,
        family,
        protocol,
        local_ip,
        remote_ip,
        local_port,
        remote_port,
        socket_type,
        state,
        user_locks,
        comm,
    } = *socket;
    [
        cookie.to_ne_bytes().as_slice(),
        &cgroup_id.to_ne_bytes(),
        &netns.to_ne_bytes(),
        &pid.to_ne_bytes(),
        &backlog.to_ne_bytes(),
        &family.to_ne_bytes(),
        &protocol.to_ne_bytes(),
        &local_ip.bytes(),
        &remote_ip.bytes(),
        &local_port.to_ne_bytes(),
        &remote_port.to_ne_bytes(),
        &socket_type.to_ne_bytes(),
        &[state, user_locks],
        &comm.bytes(),
    ]
    .concat()
}

fn looked(looks: &[(Look, &[OpenSocket])]) -> Looked {
    let mut sockets = OpenSockets::default();
    for (look, found) in looks {
        for socket in *found {
            sockets.add(*look, &bytes(socket));
        }
    }
    Looked {
        at_ns: 5,
        is_first: true,
        sockets,
        samples: u32::MAX,
    }
}

/// What the look that begins a window says of sockets that were there before it.
fn first(sockets: &[OpenSocket]) -> Judged {
    KnownEdges::new(4_096).judge(&looked(&[(Look::Before, sockets), (Look::After, sockets)]))
}

/// The only event there is.
fn only(judged: &Judged) -> Event {
    let [event] = judged.events.as_slice() else {
        panic!("{judged:?}")
    };
    *event
}

/// The side of a connection beside others.
fn side(socket: OpenSocket, others: &[OpenSocket]) -> (u8, bool) {
    let mut judged = first(&[&[socket], others].concat());
    judged.events.retain(|event| event.direction != Direction::None.id());
    let event = only(&judged);
    (event.direction, event.flags & FLAG_BY_BINDING != 0)
}

const OUT: u8 = Direction::Out.id();
const IN: u8 = Direction::In.id();

#[test]
fn the_side_of_a_connection_is_known_by_the_queue_and_by_what_is_bound() {
    let accepted = OpenSocket {
        backlog: 128,
        ..client(TCP)
    };
    let named = OpenSocket {
        user_locks: PORT_LOCK,
        ..client(TCP)
    };
    assert_eq!(side(client(TCP), &[]), (OUT, false));
    assert_eq!(side(accepted, &[]), (IN, false));
    assert_eq!(side(named, &[server(TCP)]), (OUT, true), "it named its port itself");
    assert_eq!(side(client(TCP), &[server(TCP)]), (IN, true), "the queue has no length");
    let multipath = OpenSocket {
        protocol: 262,
        ..client(TCP)
    };
    assert_eq!(side(multipath, &[]), (OUT, false));
    // Others wait elsewhere.
    let elsewhere = OpenSocket {
        netns: 99,
        ..server(TCP)
    };
    let other_address = OpenSocket {
        local_ip: Address::from_v4([10, 0, 0, 9]),
        ..server(TCP)
    };
    for other in [elsewhere, other_address, server(UDP)] {
        assert_eq!(side(client(TCP), &[other]), (OUT, false), "{other:?}");
    }
}

#[test]
fn a_connected_datagram_socket_is_a_client_unless_its_port_is_served() {
    let named = OpenSocket {
        user_locks: PORT_LOCK,
        ..client(UDP)
    };
    assert_eq!(side(client(UDP), &[]), (OUT, true));
    assert_eq!(side(named, &[]), (OUT, true));
    assert_eq!(side(named, &[server(UDP)]), (IN, true));
}

#[test]
fn what_has_no_other_side_is_no_edge() {
    let raw = OpenSocket {
        socket_type: 3,
        ..client(TCP)
    };
    let packet = OpenSocket {
        family: 17,
        ..client(TCP)
    };
    let asking = OpenSocket {
        state: 2,
        ..client(TCP)
    };
    let nobody = OpenSocket {
        remote_ip: Address::UNSPECIFIED,
        ..client(TCP)
    };
    for socket in [raw, packet, asking, nobody] {
        let judged = first(&[socket]);
        assert!(judged.flows.is_empty() && judged.events.is_empty(), "{socket:?}");
    }
    for socket in [server(TCP), server(UDP)] {
        let judged = first(&[socket]);
        assert!(judged.flows.is_empty(), "{socket:?}");
        assert_eq!(only(&judged).direction, Direction::None.id());
    }
    // One that the other side has closed was a connection.
    let closing = OpenSocket {
        state: 8,
        ..client(TCP)
    };
    assert_eq!(first(&[closing]).flows.len(), 1);
}

#[test]
fn a_row_says_what_was_found() {
    let socket = OpenSocket {
        family: 10,
        backlog: 5,
        ..client(TCP)
    };
    let judged = first(&[socket]);
    let [flow] = judged.flows.as_slice() else {
        panic!("{judged:?}")
    };
    let key = flow.key;
    assert_eq!((key.cgroup_id, key.netns, key.service_port), (7, 8, 40_000));
    assert_eq!(
        (key.outcome, key.hook),
        (Outcome::Established.id(), HookId::TaskFile.id())
    );
    assert_eq!((flow.value.count, flow.value.samples, flow.value.first_ns), (0, 1, 5));
    assert!(flow.predates);
    let event = only(&judged);
    assert_eq!((event.family, event.socket_type, event.pid), (10, 1, 9));
    assert!(event.flags & FLAG_V4_MAPPED != 0 && event.flags & FLAG_BY_BINDING == 0);
}

#[test]
fn what_was_counted_is_not_found_again() {
    let edge = first(&[client(TCP)]).flows[0].key;
    let counted = FlowKey {
        hook: HookId::InetSockSetState.id(),
        asked_ip: Address::from_v4([10, 96, 0, 1]),
        asked_port: 443,
        ..edge
    };
    let refused = FlowKey {
        outcome: Outcome::Refused.id(),
        ..counted
    };
    let folded = FlowKey {
        folded: FOLDED_REMOTE,
        ..counted
    };
    let later = looked(&[(Look::After, &[client(TCP)])]);
    let rows = |known: FlowKey, looked: &Looked| {
        let mut edges = KnownEdges::new(4_096);
        edges.counted(&[(known, FlowValue::default())]);
        let flows = edges.judge(looked).flows;
        assert!(edges.judge(&later).flows.is_empty(), "told once");
        flows.iter().map(|flow| flow.predates).collect::<Vec<_>>()
    };
    let sockets = [client(TCP)];
    let between = looked(&[(Look::After, &sockets)]);
    let older = looked(&[(Look::Before, &sockets)]);
    assert_eq!(rows(counted, &between), [] as [bool; 0], "opened in the window");
    assert_eq!(rows(refused, &between), [true], "opened a moment before it");
    assert_eq!(rows(counted, &older), [true], "opened again in the window");
    assert_eq!(rows(counted, &later), [] as [bool; 0]);
    assert_eq!(rows(refused, &later), [true], "it would have been counted");
    assert_eq!(
        rows(folded, &later),
        [false],
        "it may have been counted without its peer"
    );
    let mut missed = KnownEdges::new(4_096);
    missed.missed();
    assert!(
        !missed.judge(&later).flows[0].predates,
        "its opening may be what was missed"
    );
    // That a datagram socket is connected is no edge: its datagrams are counted.
    let datagrams = looked(&[(Look::After, &[client(UDP)])]);
    assert!(KnownEdges::new(4_096).judge(&datagrams).flows.is_empty());
}

#[test]
fn beyond_its_quota_a_share_is_folded_and_every_connection_is_in_a_row() {
    let accepted = |number: u8, port: u16| OpenSocket {
        cookie: u64::from(number) | u64::from(port) << 8,
        remote_ip: Address::from_v4([10, 0, 1, number]),
        local_port: port,
        backlog: 1,
        ..client(TCP)
    };
    let sockets: Vec<OpenSocket> = (1..=5).map(|number| accepted(number, 80)).collect();
    let look = looked(&[(Look::Before, &sockets)]);
    let judged = KnownEdges::new(2).judge(&look);
    let folded = |judged: &Judged, how| judged.flows.iter().filter(|flow| flow.key.folded == how).count();
    assert_eq!((judged.flows.len(), judged.folded), (3, 3));
    assert!(judged.flows.iter().all(|flow| flow.predates));
    assert_eq!(folded(&judged, FOLDED_REMOTE), 1);

    let ports: Vec<OpenSocket> = (1..=300).map(|port| accepted(1, port)).collect();
    let judged = KnownEdges::new(2).judge(&looked(&[(Look::Before, &ports)]));
    assert_eq!((judged.flows.len(), judged.folded), (2 + 256 + 1, 298));
    assert_eq!(folded(&judged, FOLDED_PORT), 1);
}

#[test]
fn an_edge_sends_few_events() {
    let many: Vec<OpenSocket> = (0..20)
        .map(|number| OpenSocket {
            cookie: u64::from(number),
            local_port: 40_000 + number,
            ..client(TCP)
        })
        .collect();
    let mut look = looked(&[(Look::Before, &many)]);
    let events = |look: &Looked| {
        let judged = KnownEdges::new(4_096).judge(look);
        assert_eq!(judged.flows.len(), 1);
        assert_eq!(judged.flows[0].value.samples, judged.events.len() as u64);
        judged.events.len()
    };
    assert_eq!(events(&look), 8);
    look.samples = 3;
    assert_eq!(events(&look), 3);
}

#[test]
fn listeners_and_sockets_without_edges_are_told_by_their_kind() {
    let second = OpenSocket {
        cookie: 3,
        backlog: 9,
        ..server(TCP)
    };
    let ping = OpenSocket {
        cookie: 4,
        socket_type: 2,
        ..client(1)
    };
    let packet = OpenSocket {
        cookie: 5,
        family: 17,
        socket_type: 3,
        ..client(3)
    };
    let gone = OpenSocket {
        cookie: 6,
        local_port: 1,
        ..server(TCP)
    };
    let all = [server(TCP), server(UDP), ping, packet, client(TCP)];
    let look = looked(&[
        (Look::Before, &[&all[..], &[gone]].concat()),
        (Look::After, &[&all[..], &[second]].concat()),
    ]);
    let found: Vec<_> = look.listeners().into_iter().collect();
    let shown: Vec<_> = found
        .iter()
        .map(|(key, waiting)| (key.protocol, key.port, waiting.sockets, waiting.older, waiting.backlog))
        .collect();
    assert_eq!(shown, [(6, 40_000, 2, 1, Some(9)), (17, 40_000, 1, 1, None)]);
    let kinds: Vec<_> = look.unfollowed().into_iter().collect();
    let shown: Vec<_> = kinds.iter().map(|kind| (kind.family, kind.protocol)).collect();
    assert_eq!(shown, [(2, 1), (17, 3)]);
}
