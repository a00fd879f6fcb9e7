//! What became of datagrams, from rows of every kind that the recorder writes: in any order, from any number of nodes.

use flowtape::findings::{Code, Findings};
use flowtape::flow;
use flowtape::identity::cluster::Cluster;
use flowtape::tape::{NodeTape, Tape};
use flowtape_schemas::address::Address;
use flowtape_schemas::metadata::ClusterRows;
use flowtape_schemas::node::{Direction, FlowRow, Hook, Outcome};
use flowtape_schemas::time::Time;
use proptest::prelude::{Just, proptest};
use proptest::strategy::Strategy as _;

const CLIENT: [u8; 4] = [203, 0, 113, 1];
const SERVER: [u8; 4] = [203, 0, 113, 2];

fn address(bytes: [u8; 4]) -> Address {
    Address::from(std::net::IpAddr::from(bytes))
}

/// Datagrams of the client, or what the server received of them.
fn row(direction: Direction, outcome: Outcome, hook: Hook, count: u64, second: i64) -> FlowRow {
    let (local, remote) = match direction {
        Direction::In => (SERVER, CLIENT),
        Direction::Out | Direction::None | Direction::Unknown => (CLIENT, SERVER),
    };
    let at = Time(second * 1_000_000_000);
    FlowRow {
        interval_start: at,
        interval_end: at,
        direction,
        protocol: 17,
        local_ip: Some(address(local)),
        remote_ip: Some(address(remote)),
        remote_folded: false,
        service_port: Some(514),
        asked_ip: None,
        asked_port: None,
        outcome,
        cgroup_id: None,
        netns: None,
        count,
        samples: 0,
        first_seen: at,
        last_seen: at,
        predates_window: false,
        hook,
    }
}

fn connected(count: u64, second: i64) -> FlowRow {
    row(Direction::Out, Outcome::Unknown, Hook::SendLength, count, second)
}

fn unconnected(count: u64, second: i64) -> FlowRow {
    row(Direction::Out, Outcome::Unknown, Hook::Sendmsg4, count, second)
}

fn refused(count: u64, second: i64) -> FlowRow {
    row(Direction::Out, Outcome::Refused, Hook::ErrorReport, count, second)
}

/// A reply was seen: the fact without a datagram of its own.
fn replied(second: i64) -> FlowRow {
    row(Direction::Out, Outcome::Established, Hook::Recvmsg4, 0, second)
}

fn received(count: u64, second: i64) -> FlowRow {
    row(Direction::In, Outcome::Established, Hook::Recvmsg4, count, second)
}

/// Outcomes and counts of the edges that rows make, and how many datagrams a finding calls unconfirmed.
fn judged(nodes: &[Vec<FlowRow>]) -> (Vec<(Outcome, u64)>, u64) {
    let node = |(number, flows): (usize, &Vec<FlowRow>)| NodeTape {
        name: format!("n{number}"),
        flows: flows.clone(),
        ..NodeTape::default()
    };
    let tape = Tape {
        nodes: nodes.iter().enumerate().map(node).collect(),
        ..Tape::default()
    };
    let mut findings = Findings::default();
    let cluster = Cluster::new(&ClusterRows::default(), &mut findings);
    let edges = flow::edges(&tape, &cluster, &mut findings).edges;
    let unconfirmed = findings
        .list()
        .into_iter()
        .filter(|one| one.code == Code::UdpUnconfirmed);
    (
        edges
            .iter()
            .map(|edge| (edge.key.outcome, edge.evidence.count))
            .collect(),
        unconfirmed.map(|one| one.count).sum(),
    )
}

#[test]
fn a_connected_socket_without_an_error_was_heard() {
    assert_eq!(judged(&[vec![connected(5, 1)]]), (vec![(Outcome::Established, 5)], 0));
    assert_eq!(
        judged(&[vec![connected(5, 1), unconnected(2, 2)]]),
        (vec![(Outcome::Established, 7)], 0)
    );
}

#[test]
fn an_unconnected_socket_alone_knows_nothing() {
    assert_eq!(judged(&[vec![unconnected(5, 1)]]), (vec![(Outcome::Unknown, 5)], 5));
    let asked = row(Direction::Out, Outcome::Unknown, Hook::Connect4, 1, 1);
    assert_eq!(
        judged(&[vec![asked]]),
        (vec![(Outcome::Unknown, 1)], 1),
        "connecting sends nothing"
    );
}

#[test]
fn a_reply_or_the_server_s_socket_confirms() {
    for evidence in [replied(3), received(4, 3)] {
        assert_eq!(
            judged(&[vec![unconnected(5, 1)], vec![evidence]]),
            (vec![(Outcome::Established, 5)], 0)
        );
    }
}

#[test]
fn each_refusal_answers_one_datagram() {
    assert_eq!(
        judged(&[vec![connected(3, 1), refused(3, 1)]]),
        (vec![(Outcome::Refused, 3)], 0)
    );
    assert_eq!(
        judged(&[vec![connected(5, 1), refused(3, 2)]]),
        (vec![(Outcome::Refused, 3), (Outcome::Unknown, 2)], 2)
    );
    assert_eq!(
        judged(&[vec![unconnected(5, 1), refused(3, 2)]]),
        (vec![(Outcome::Refused, 3), (Outcome::Unknown, 5)], 5),
        "what unconnected sockets sent is not what was refused"
    );
    assert_eq!(
        judged(&[vec![connected(5, 1), refused(3, 2), received(2, 3)]]),
        (vec![(Outcome::Established, 2), (Outcome::Refused, 3)], 0)
    );
}

proptest! {
    #[test]
    fn order_and_nodes_leave_no_trace(
        rows in Just(vec![
            connected(2, 1), connected(3, 11), refused(1, 2), refused(2, 12), unconnected(4, 3), unconnected(1, 21),
        ]).prop_shuffle(),
        split in 0..7_usize,
    ) {
        let (first, second) = rows.split_at(split.min(rows.len()));
        let judged = judged(&[first.to_vec(), second.to_vec()]);
        assert_eq!(judged, (vec![(Outcome::Refused, 3), (Outcome::Unknown, 7)], 7));
    }
}
