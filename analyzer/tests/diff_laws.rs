//! The laws of the diff of two recordings, and a naive oracle: single ports, one after the other, over plain lists.

use std::collections::BTreeSet;

use flowtape::diff::change::{Cause, Change, Class, Diff, Reason, Side};
use flowtape::diff::peer::Peer as Compared;
use flowtape::diff::{Recording, recordings};
use flowtape::findings::Samples;
use flowtape::flow::Flows;
use flowtape::flow::edge::{Edge, EdgeKey, Evidence, Peer, ServiceUse, Transport};
use flowtape::identity::{Identity, Names, Reason as Unknown, Role, Workload};
use flowtape_schemas::address::Address;
use flowtape_schemas::node::Outcome;
use flowtape_schemas::time::Time;
use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

fn workload(name: &str) -> Identity {
    Identity::Workload(Workload {
        namespace: "shop".to_owned(),
        kind: "Deployment".to_owned(),
        name: name.to_owned(),
        host_network: false,
    })
}

fn address(last: u8) -> Address {
    Address::from(std::net::IpAddr::from([203, 0, 113, last]))
}

fn edge(from: Identity, to: Identity, protocol: Transport, port: u16, outcome: Outcome) -> Edge {
    let peer = |identity| Peer { identity, role: None };
    Edge {
        key: EdgeKey {
            from: peer(from),
            to: peer(to),
            protocol,
            port,
            outcome,
        },
        evidence: Evidence {
            count: 1,
            first_seen: Time(0),
            last_seen: Time(0),
            seen_by: [].into(),
            predates_window: false,
            nodes: [].into(),
            node_ports: [].into(),
            translated: [].into(),
            services: [].into(),
            rivalled: [].into(),
            port_name: None,
            assumed: false,
            pairs: [].into(),
            samples: Samples::default(),
        },
    }
}

fn identities() -> impl Strategy<Value = Identity> {
    prop_oneof![
        3 => prop::sample::select(vec!["web", "db", "job"]).prop_map(workload),
        1 => Just(Identity::Node { name: "n1".to_owned() }),
        1 => (1..3u8).prop_map(|last| Identity::External { address: address(last), names: Names::default() }),
        1 => prop::sample::select(vec![Unknown::NoPodAtTime, Unknown::Ambiguous, Unknown::Folded])
            .prop_map(|reason| Identity::Unknown { address: Some(address(9)), reason }),
        1 => Just(Identity::Service { namespace: "shop".to_owned(), name: "db".to_owned() }),
    ]
}

fn edges() -> impl Strategy<Value = Edge> {
    let protocols = prop::sample::select(vec![Transport::TCP, Transport::UDP]);
    let outcomes = prop::sample::select(vec![Outcome::Established, Outcome::Unknown, Outcome::Refused]);
    let roles = prop::sample::select(vec![None, None, Some(Role::Dns), Some(Role::OwnNode)]);
    let details = (roles, any::<bool>(), any::<bool>());
    (identities(), identities(), protocols, 80..83u16, outcomes, details).prop_map(
        |(from, to, protocol, port, outcome, (role, assumed, through_service))| {
            let mut edge = edge(from, to, protocol, port, outcome);
            if role == Some(Role::OwnNode) {
                edge.key.from.role = role;
            } else {
                edge.key.to.role = role;
            }
            edge.evidence.assumed = assumed;
            edge.evidence.services.extend(through_service.then(|| ServiceUse {
                namespace: "shop".to_owned(),
                name: "db".to_owned(),
                port: 5432,
            }));
            edge
        },
    )
}

fn tapes() -> impl Strategy<Value = (Flows, bool)> {
    let flows = prop::collection::vec(edges(), 0..10).prop_map(|edges| Flows {
        edges,
        ..Flows::default()
    });
    (flows, any::<bool>())
}

fn diff(before: &(Flows, bool), after: &(Flows, bool)) -> Diff {
    let there = [before, after].map(|(flows, _)| workloads(flows));
    recordings(recording(before, &there[0]), recording(after, &there[1]))
}

fn recording<'a>((flows, complete): &'a (Flows, bool), workloads: &'a BTreeSet<Workload>) -> Recording<'a> {
    Recording {
        flows,
        complete: *complete,
        workloads: Some(workloads),
        length: i64::try_from(flows.edges.len()).ok(),
    }
}

/// Those that a recording shows, as if no other had been there.
fn workloads(flows: &Flows) -> BTreeSet<Workload> {
    let ends = flows.edges.iter().flat_map(|edge| [&edge.key.from, &edge.key.to]);
    let workload = |peer: &Peer| match &peer.identity {
        Identity::Workload(workload) => Some(workload.clone()),
        Identity::Service { .. } | Identity::Node { .. } | Identity::External { .. } | Identity::Unknown { .. } => None,
    };
    ends.filter_map(workload).collect()
}

/// One connection: client, server, protocol, port.
type Tuple = (Identity, Identity, Transport, u16);

fn is_open(identity: &Identity) -> bool {
    matches!(identity, Identity::Unknown { .. } | Identity::Service { .. })
}

/// The edges that policies are made of.
fn counted(tape: &(Flows, bool)) -> Vec<&Edge> {
    let worked = |edge: &&Edge| match (edge.key.outcome, edge.key.protocol) {
        (Outcome::Established, _) => true,
        (Outcome::Unknown, protocol) => protocol == Transport::UDP,
        (Outcome::Refused | Outcome::Timeout | Outcome::Unreachable, _) => false,
    };
    let own_node = |edge: &&Edge| edge.key.from.role == Some(Role::OwnNode);
    tape.0
        .edges
        .iter()
        .filter(worked)
        .filter(|edge| !own_node(edge))
        .collect()
}

fn tuple(edge: &Edge) -> Tuple {
    let key = &edge.key;
    (
        key.from.identity.clone(),
        key.to.identity.clone(),
        key.protocol,
        key.port,
    )
}

/// Whether somebody who cannot be identified may be somebody who is.
fn may_be(open: &Identity, known: &Identity) -> bool {
    match (open, known) {
        (Identity::Unknown { reason, .. }, Identity::External { .. }) => *reason == Unknown::Folded,
        (Identity::Unknown { .. }, _) => true,
        (open, known) => open == known,
    }
}

/// What becomes of one connection that `this` side has, by the definitions.
fn expected(this: &(Flows, bool), other: &(Flows, bool), side: Side, one: &Tuple) -> Option<(Class, Reason)> {
    let (here, there) = (counted(this), counted(other));
    if there.iter().any(|edge| tuple(edge) == *one) {
        return None;
    }
    let of_one: Vec<_> = here.iter().filter(|edge| tuple(edge) == *one).collect();
    for end in [&one.0, &one.1] {
        let reason = match end {
            Identity::Unknown {
                reason: Unknown::Ambiguous,
                ..
            } => Reason::AmbiguousPeer,
            Identity::Unknown { .. } => Reason::UnknownPeer,
            Identity::Service { .. } => Reason::ServiceUnresolved,
            Identity::Workload(_) | Identity::Node { .. } | Identity::External { .. } => continue,
        };
        return Some((Class::Undecided, reason));
    }
    if !other.1 {
        return Some((Class::Undecided, Reason::Incomplete));
    }
    if of_one.iter().all(|edge| edge.evidence.assumed) {
        return Some((Class::Undecided, Reason::BackendsAssumed));
    }
    let through_service = of_one.iter().any(|edge| !edge.evidence.services.is_empty());
    let explains = |edge: &&&Edge| {
        let (from, to, protocol, port) = tuple(edge);
        let server = match &to {
            Identity::Service { .. } => through_service,
            Identity::Workload(_) | Identity::Node { .. } | Identity::External { .. } | Identity::Unknown { .. } => {
                port == one.3 && may_be(&to, &one.1)
            }
        };
        (is_open(&from) || is_open(&to)) && protocol == one.2 && may_be(&from, &one.0) && server
    };
    if there.iter().any(|edge| explains(&edge)) {
        return Some((Class::Undecided, Reason::MaybeUnidentified));
    }
    let pair_there = there.iter().any(|edge| {
        let other = tuple(edge);
        (&other.0, &other.1, other.2) == (&one.0, &one.1, one.2)
    });
    let class = match (side, pair_there) {
        (Side::After, false) => Class::Added,
        (Side::After, true) => Class::Widened,
        (Side::Before, false) => Class::Removed,
        (Side::Before, true) => Class::Narrowed,
    };
    Some((class, Reason::NotSeen))
}

proptest! {
    #[test]
    fn a_recording_does_not_differ_from_itself(tape in tapes()) {
        prop_assert_eq!(diff(&tape, &tape).changes, []);
    }

    #[test]
    fn exchanging_the_sides_mirrors_the_diff(before in tapes(), after in tapes()) {
        prop_assert_eq!(diff(&before, &after).mirrored(), diff(&after, &before));
        prop_assert_eq!(diff(&before, &after).mirrored().mirrored(), diff(&before, &after));
    }

    #[test]
    fn the_order_of_edges_makes_no_difference(before in tapes(), after in tapes()) {
        let mut turned = after.clone();
        turned.0.edges.reverse();
        prop_assert_eq!(diff(&before, &after), diff(&before, &turned));
    }

    #[test]
    fn every_single_port_is_what_the_definitions_say(before in tapes(), after in tapes()) {
        let diff = diff(&before, &after);
        let mut explained = 0;
        for (this, other, side) in [(&before, &after, Side::Before), (&after, &before, Side::After)] {
            let tuples: BTreeSet<Tuple> = counted(this).into_iter().map(tuple).collect();
            for one in tuples {
                let of_one = |change: &&Change| {
                    change.side == side
                        && change.pair.from == Compared::from(&one.0)
                        && change.pair.to == Compared::from(&one.1)
                        && change.pair.protocol == one.2
                        && change.ports.contains(one.3)
                };
                let found: Vec<_> = diff.changes.iter().filter(of_one).collect();
                let expected = expected(this, other, side, &one);
                prop_assert_eq!(found.len(), usize::from(expected.is_some()), "{:?}", one);
                prop_assert_eq!(found.first().map(|change| (change.class, change.reason)), expected, "{:?}", one);
                explained += found.len();
            }
        }
        // Nothing but single connections makes changes.
        let ports = |change: &Change| change.ports.ranges().iter().map(|range| usize::from(range.last() - range.first()) + 1).sum::<usize>();
        prop_assert_eq!(diff.changes.iter().map(ports).sum::<usize>(), explained);
        prop_assert_eq!(diff.summary().values().sum::<u64>(), diff.changes.len() as u64);
        prop_assert!(diff.changes.is_sorted_by_key(|change| (change.class, change.pair.clone())));
    }

    #[test]
    fn what_is_not_seen_says_who_is_absent(before in tapes(), after in tapes()) {
        for change in diff(&before, &after).changes {
            let other = workloads(match change.side {
                Side::Before => &after.0,
                Side::After => &before.0,
            });
            let absent = |peer: &Compared| matches!(peer, Compared::Workload(workload) if !other.contains(workload));
            let absent = [absent(&change.pair.from), absent(&change.pair.to)];
            let told = match change.cause {
                Some(Cause::ClientAbsent) => [true, false],
                Some(Cause::ServerAbsent) => [false, true],
                Some(Cause::BothAbsent) => [true, true],
                Some(Cause::ShorterWindow | Cause::NotExercised) => [false, false],
                None => {
                    prop_assert!(change.reason != Reason::NotSeen, "{change}");
                    continue;
                }
            };
            prop_assert_eq!((told, change.reason), (absent, Reason::NotSeen), "{}", change);
        }
    }

    #[test]
    fn whoever_cannot_be_identified_is_always_listed(before in tapes(), after in tapes()) {
        let diff = diff(&before, &after);
        for (tape, side) in [(&before, Side::Before), (&after, Side::After)] {
            let open: BTreeSet<_> = counted(tape).into_iter().map(tuple).filter(|one| is_open(&one.0) || is_open(&one.1)).map(|one| (one.0, one.1, one.2)).collect();
            prop_assert_eq!(diff.unidentified.iter().filter(|one| one.side == side).count(), open.len());
            prop_assert_eq!(diff.incomplete.contains(&side), !tape.1);
        }
    }
}

#[test]
fn ports_of_a_pair_are_one_change_and_said_with_both_peers() {
    let web_to_db = |port| {
        edge(
            workload("web"),
            workload("db"),
            Transport::TCP,
            port,
            Outcome::Established,
        )
    };
    let flows = |ports: &[u16]| {
        let edges = ports.iter().map(|port| web_to_db(*port)).collect();
        (
            Flows {
                edges,
                ..Flows::default()
            },
            true,
        )
    };
    let told = |before: &[u16], after: &[u16]| -> Vec<String> {
        let diff = diff(&flows(before), &flows(after));
        let told = |change: &Change| format!("{} {change}", change.class.word());
        diff.changes.iter().map(told).collect()
    };
    let pair = "shop/Deployment/web -> shop/Deployment/db TCP";
    assert_eq!(
        told(&[], &[80, 443, 81]),
        [format!(
            "added {pair} 80-81,443: seen only after; shop/Deployment/web and shop/Deployment/db are new"
        )]
    );
    assert_eq!(
        told(&[80, 90], &[80, 443]),
        [
            format!("widened {pair} 443: seen only after"),
            format!("narrowed {pair} 90: seen only before; its workloads are still there")
        ]
    );
    assert_eq!(
        told(&[80], &[]),
        [format!(
            "removed {pair} 80: seen only before; shop/Deployment/web and shop/Deployment/db are gone"
        )]
    );
    // More than a tenth of the edges is missing, which stands for the time here.
    assert_eq!(
        told(&[80, 90], &[80]),
        [format!(
            "narrowed {pair} 90: seen only before; the recording after was shorter"
        )]
    );
}

#[test]
fn port_0_is_no_port_and_not_hidden() {
    let odd = edge(workload("web"), workload("db"), Transport::TCP, 0, Outcome::Established);
    let with = (
        Flows {
            edges: vec![odd],
            ..Flows::default()
        },
        true,
    );
    let diff = diff(&(Flows::default(), true), &with);
    assert_eq!(diff.changes.len(), 1);
    assert_eq!(
        (diff.changes[0].class, diff.changes[0].reason),
        (Class::Undecided, Reason::NotJudged)
    );
    assert_eq!(
        diff.changes[0].to_string(),
        "shop/Deployment/web -> shop/Deployment/db TCP: seen only after, and cannot be judged"
    );
}
