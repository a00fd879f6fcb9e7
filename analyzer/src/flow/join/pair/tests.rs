//! Pairing against cases and against nested loops.

use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::time::Time;
use proptest::collection::vec;
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};

use super::{Pair, pairs};
use crate::flow::join::question::{Questions, Way};
use crate::tape::{Operation, Operations, RowAt};

const SECOND: i64 = 1_000_000_000;

fn client(row: usize) -> RowAt {
    RowAt { node: 0, row }
}

fn server(row: usize) -> RowAt {
    RowAt { node: 1, row }
}

/// Operations as row, port and time.
type Told = (RowAt, u16, i64);

fn operations(told: impl IntoIterator<Item = Told>) -> Operations {
    let mut operations = Operations::new();
    for (at, port, time) in told {
        operations.entry(at).or_default().push(Operation {
            client_port: Some(port),
            time: Time(time),
        });
    }
    operations
}

fn related(ways: &[(usize, usize, Way)]) -> Questions {
    let mut related: BTreeMap<RowAt, BTreeMap<RowAt, Way>> = BTreeMap::new();
    for (near, far, way) in ways {
        related
            .entry(client(*near))
            .or_default()
            .insert(server(*far), way.clone());
    }
    Questions {
        changing: BTreeSet::new(),
        related,
    }
}

/// The rows, ports and first times of what is paired.
fn found(questions: &Questions, told: &[Told]) -> BTreeSet<(RowAt, RowAt, u16, i64)> {
    let pairs = pairs(questions, &operations(told.iter().copied()), |_, span| span);
    let key = |Pair { client, server }: Pair| {
        assert_eq!(client.port, server.port);
        (client.at, server.at, client.port, client.times[0].0)
    };
    pairs.into_iter().map(key).collect()
}

fn translated() -> Way {
    Way::Translated("n2".to_owned())
}

#[test]
fn a_port_that_both_sides_name_at_one_time_is_one_connection() {
    let questions = related(&[(0, 0, Way::Direct), (0, 1, Way::Direct)]);
    let told = [
        (client(0), 40_000, 0),
        (client(0), 40_001, SECOND),
        (server(0), 40_001, SECOND + 1),
        (server(1), 40_000, 1),
        (server(1), 40_001, 9 * SECOND),
    ];
    let expected = [
        (client(0), server(1), 40_000, 0),
        (client(0), server(0), 40_001, SECOND),
    ];
    assert_eq!(found(&questions, &told), expected.into());
}

#[test]
fn what_has_two_other_halves_is_not_paired() {
    let questions = related(&[(0, 0, Way::Direct), (1, 0, Way::Direct)]);
    let told = [
        (client(0), 40_000, 0),
        (client(1), 40_000, SECOND),
        (server(0), 40_000, SECOND),
    ];
    assert_eq!(found(&questions, &told), BTreeSet::new());
    let questions = related(&[(0, 0, Way::Direct), (0, 1, Way::Direct)]);
    let told = [(client(0), 40_000, 0), (server(0), 40_000, 0), (server(1), 40_000, 0)];
    assert_eq!(found(&questions, &told), BTreeSet::new());
}

#[test]
fn an_address_of_its_own_goes_before_one_of_a_node() {
    let questions = related(&[(0, 0, Way::Direct), (1, 0, translated()), (1, 1, translated())]);
    let told = [
        (client(0), 40_000, 0),
        (client(1), 40_000, 0),
        (server(0), 40_000, 1),
        (server(1), 40_000, 1),
    ];
    let expected = [(client(0), server(0), 40_000, 0), (client(1), server(1), 40_000, 0)];
    assert_eq!(found(&questions, &told), expected.into());
}

#[test]
fn a_port_that_a_translator_chose_is_the_clients_by_chance() {
    let questions = related(&[(0, 0, translated())]);
    let crowd = |first: u16| (0..300_u16).map(move |place| (first + place, i64::from(place) * SECOND / 10));
    let clients = crowd(40_000).map(|(port, time)| (client(0), port, time));
    let kept = crowd(40_000).map(|(port, time)| (server(0), port, time + 1));
    // One of three hundred is the same, as may be by chance.
    let chosen = crowd(50_000).map(|(port, time)| (server(0), if port == 50_150 { 40_150 } else { port }, time + 1));
    let all: Vec<Told> = clients.clone().chain(kept.take(200)).collect();
    let told: Vec<Told> = clients.chain(chosen).collect();
    assert_eq!(found(&questions, &told), BTreeSet::new());
    assert_eq!(found(&questions, &all).len(), 200);
}

#[test]
fn the_datagrams_of_one_socket_are_one_conversation() {
    let questions = related(&[(0, 0, Way::Direct), (0, 1, Way::Direct)]);
    let mut told: Vec<Told> = (0..5).map(|place| (client(0), 40_000, place * SECOND)).collect();
    told.extend((0..5).map(|place| (server(0), 40_000, place * SECOND + 1)));
    let pairs = pairs(&questions, &operations(told), |_, span| span);
    let counts: Vec<(usize, usize)> = pairs
        .iter()
        .map(|pair| (pair.client.times.len(), pair.server.times.len()))
        .collect();
    assert_eq!(counts, [(5, 5)]);
}

/// The pairing by nested loops: for each two operations that nothing else explains.
fn naive(questions: &Questions, told: &[Told]) -> BTreeSet<(RowAt, RowAt, u16, i64)> {
    let near = |a: &Told, b: &Told| a.1 == b.1 && (a.2 - b.2).abs() <= 2 * SECOND;
    let way = |a: &Told, b: &Told| {
        let servers = questions.related.get(&a.0).or_else(|| questions.related.get(&b.0))?;
        servers.get(&b.0).or_else(|| servers.get(&a.0)).cloned()
    };
    let halves = |one: &Told| -> Vec<Told> {
        let others = told
            .iter()
            .filter(|other| near(one, other) && way(one, other).is_some());
        others.copied().collect()
    };
    let mut found = BTreeSet::new();
    for one in told.iter().filter(|one| one.0.node == 0) {
        if let [only] = halves(one).as_slice()
            && halves(only).len() == 1
        {
            found.insert((one.0, only.0, one.1, one.2));
        }
    }
    found
}

/// Operations of few rows and ports, none of which is near another one of the same row and port.
fn sparse() -> impl Strategy<Value = Vec<Told>> {
    let one = (0..2_usize, 0..3_usize, 0..4_u16, 0..12_i64, 0..5_i64);
    vec(one, 0..24).prop_map(|all| {
        let mut seen = BTreeSet::new();
        let mut told = Vec::new();
        for (node, row, port, place, off) in all {
            if seen.insert((node, row, port, place)) {
                told.push((
                    RowAt { node, row },
                    40_000 + port,
                    place * 5 * SECOND + off * SECOND / 4,
                ));
            }
        }
        told
    })
}

proptest! {
    #[test]
    fn pairs_agree_with_nested_loops(told in sparse(), ways in vec((0..3_usize, 0..3_usize), 0..6)) {
        let ways: Vec<_> = ways.into_iter().map(|(near, far)| (near, far, Way::Direct)).collect();
        let questions = related(&ways);
        prop_assert_eq!(found(&questions, &told), naive(&questions, &told));
    }

    #[test]
    fn nothing_is_paired_twice(told in sparse(), ways in vec((0..3_usize, 0..3_usize, 0..2_u8), 0..6)) {
        let way = |kind| if kind == 0 { Way::Direct } else { translated() };
        let ways: Vec<_> = ways.into_iter().map(|(near, far, kind)| (near, far, way(kind))).collect();
        let all = pairs(&related(&ways), &operations(told), |_, span| span);
        let keys: BTreeSet<_> = all.iter().flat_map(|pair| [pair.client.key(), pair.server.key()]).collect();
        prop_assert_eq!(keys.len(), 2 * all.len());
        for Pair { client, server } in all {
            let (near, far) = (client.times.first().unwrap(), server.times.first().unwrap());
            prop_assert!((near.0 - far.0).abs() <= 2 * SECOND);
        }
    }
}
