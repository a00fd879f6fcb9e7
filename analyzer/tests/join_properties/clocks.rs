//! Clocks that are any time apart are found from what nodes counted of the same connections.

use flowtape::findings::Findings;
use flowtape::identity::clock::Clocks;
use flowtape::identity::cluster::Cluster;
use flowtape::identity::timeline::Span;
use flowtape::tape::{NodeTape, Tape};
use flowtape_schemas::address::Address;
use flowtape_schemas::metadata::ClusterRows;
use flowtape_schemas::node::{Direction, FlowRow, Hook, Outcome};
use flowtape_schemas::time::Time;
use proptest::collection::vec;
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

const SECOND: i64 = 1_000_000_000;

fn address(node: usize) -> Address {
    let node = u8::try_from(node).unwrap();
    Address::from(std::net::IpAddr::from([10, 244, node, 2]))
}

fn row(direction: Direction, (local, remote): (usize, usize), count: u64, span: (i64, i64)) -> FlowRow {
    let (first, last) = (Time(span.0), Time(span.1));
    FlowRow {
        interval_start: first,
        interval_end: last,
        direction,
        protocol: 6,
        local_ip: Some(address(local)),
        remote_ip: Some(address(remote)),
        remote_folded: false,
        service_port: Some(80),
        asked_ip: None,
        asked_port: None,
        outcome: Outcome::Established,
        cgroup_id: None,
        netns: None,
        count,
        samples: 0,
        first_seen: first,
        last_seen: last,
        predates_window: false,
        hook: Hook::SetState,
    }
}

/// Nodes whose clocks are ahead by so many seconds; each is the client of the next, from first to last.
fn tape(ahead: &[i64], delay: i64) -> Tape {
    let mut tape = Tape::default();
    for (place, own) in ahead.iter().enumerate() {
        let mut node = NodeTape {
            name: format!("n{place}"),
            ..NodeTape::default()
        };
        let own = own * SECOND;
        if place + 1 < ahead.len() {
            let span = (10 * SECOND + own, 50 * SECOND + own);
            node.flows.push(row(Direction::Out, (place, place + 1), 5, span));
        }
        if place > 0 {
            let span = (10 * SECOND + own + delay, 50 * SECOND + own + delay);
            node.flows.push(row(Direction::In, (place, place - 1), 5, span));
        }
        node.flows.sort_unstable();
        tape.nodes.push(node);
    }
    tape
}

fn at(seconds: i64) -> Span {
    let time = Time(seconds * SECOND);
    Span {
        first: time,
        last: time,
    }
}

proptest! {
    #[test]
    fn one_instant_is_one_instant_on_every_node(ahead in vec(-300..300_i64, 2..6), delay in 0..20_000_000_i64) {
        let tape = tape(&ahead, delay);
        let cluster = Cluster::new(&ClusterRows::default(), &mut Findings::default());
        let clocks = Clocks::new(&tape, &cluster.services);
        let instants = ahead.iter().enumerate().map(|(place, own)| clocks.aligned(&format!("n{place}"), at(30 + own)));
        let instants: Vec<i64> = instants.map(|span| span.first.0).collect();
        let (least, most) = (instants.iter().min().unwrap(), instants.iter().max().unwrap());
        let together = ahead.iter().max().unwrap() - ahead.iter().min().unwrap() <= 1;
        // Clocks that keep time are left alone, and each way adds its delay.
        let slack = if together { SECOND } else { 5 * delay };
        prop_assert!(most - least <= slack, "{instants:?} of {ahead:?}");
        // Whichever clock the metadata has, it is within what a node's time may mean to it.
        let of_metadata = |place: usize| clocks.in_metadata(&format!("n{place}"), at(30 + ahead[place]));
        let mut sorted = ahead.clone();
        sorted.sort_unstable();
        for right in ahead.iter().filter(|right| sorted.iter().filter(|other| other == right).count() == 1) {
            let agreed = ahead.iter().any(|one| 2 * ahead.iter().filter(|other| (*other - one).abs() <= 1).count() > ahead.len());
            for place in 0..ahead.len() {
                let span = of_metadata(place);
                let wide = Span { first: Time(span.first.0 - slack - SECOND), last: Time(span.last.0 + slack + SECOND) };
                prop_assert!(agreed || wide.covers(at(30 + right)), "{span:?} of {ahead:?}");
            }
        }
    }

    #[test]
    fn most_clocks_are_right(wrong in 3..300_i64, place in 0..4_usize, delay in 0..20_000_000_i64) {
        let mut ahead = [0_i64; 4];
        ahead[place] = wrong;
        let tape = tape(&ahead, delay);
        let cluster = Cluster::new(&ClusterRows::default(), &mut Findings::default());
        let clocks = Clocks::new(&tape, &cluster.services);
        for (node, own) in ahead.iter().enumerate() {
            let span = clocks.in_metadata(&format!("n{node}"), at(30 + own));
            prop_assert!((span.first.0 - 30 * SECOND).abs() <= 5 * delay, "{span:?}");
            prop_assert_eq!(span.first, span.last);
        }
    }

    #[test]
    fn what_may_be_other_connections_tells_nothing(wrong in 3..300_i64, more in 1..5_u64, longer in 1..30_i64) {
        let cluster = Cluster::new(&ClusterRows::default(), &mut Findings::default());
        let apart = [0, wrong];
        for change in [|row: &mut FlowRow, more: u64, _: i64| row.count += more,
            |row: &mut FlowRow, _: u64, longer: i64| row.last_seen = Time(row.last_seen.0 + longer * SECOND),
            |row: &mut FlowRow, _: u64, _: i64| row.outcome = Outcome::Refused,
            |row: &mut FlowRow, _: u64, _: i64| row.predates_window = true] {
            let mut tape = tape(&apart, 0);
            change(&mut tape.nodes[1].flows[0], more, longer);
            prop_assert_eq!(Clocks::new(&tape, &cluster.services), Clocks::default());
        }
    }
}
