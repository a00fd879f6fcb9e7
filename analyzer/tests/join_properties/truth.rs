//! Edges against the connections that the tape was made from.

use std::collections::{BTreeMap, BTreeSet};

use flowtape::flow::edge::{Edge, Peer, Transport};
use flowtape::identity::Identity;
use flowtape::tape::Tape;
use flowtape_scenario::Scenario;
use flowtape_scenario::connection::{Connection, connections};
use flowtape_scenario::layout::Layout;
use flowtape_scenario::model::{Kind, Outcome as Ended};
use flowtape_schemas::node::Outcome;
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

use crate::{AMBIGUOUS, Fact, arbitrary, fact, facts, is_told, of_counts, of_samples, record, some_nodes};

/// What a connection was, by those who know.
fn fact_of(scenario: &Scenario, layout: &Layout, connection: &Connection) -> Fact {
    let name = |pod: Option<usize>, address: std::net::IpAddr| match pod {
        Some(pod) => {
            let workload = &scenario.workloads[layout.pods[pod].workload];
            let kind = if workload.kind == Kind::Pod {
                "Pod"
            } else {
                "Deployment"
            };
            format!("{}/{kind}/{}", workload.name.namespace, workload.name.name)
        }
        None => address.to_string(),
    };
    let owner = |address: std::net::IpAddr| {
        let mut pods = layout.pods.iter();
        pods.position(|pod| pod.addresses.contains(&address) && pod.lives_at(connection.at))
    };
    let outcome = match connection.outcome {
        Ended::Established => Outcome::Established,
        Ended::Refused => Outcome::Refused,
        Ended::Timeout => Outcome::Timeout,
        Ended::Unreachable => Outcome::Unreachable,
        Ended::Unknown => Outcome::Unknown,
    };
    (
        name(owner(connection.client.0), connection.client.0),
        name(owner(connection.backend.0), connection.backend.0),
        Transport(connection.protocol.number()),
        connection.backend.1,
        outcome,
    )
}

/// How often everything happened, and on which nodes it could be seen.
fn truth(scenario: &Scenario) -> BTreeMap<Fact, (u64, BTreeSet<usize>)> {
    let layout = Layout::of(scenario).unwrap();
    let mut truth: BTreeMap<Fact, (u64, BTreeSet<usize>)> = BTreeMap::new();
    for connection in connections(scenario, &layout).unwrap() {
        let (count, nodes) = truth.entry(fact_of(scenario, &layout, &connection)).or_default();
        *count += 1;
        let sockets = [connection.client_socket, connection.server_socket];
        nodes.extend(sockets.iter().flatten().map(|socket| socket.node));
    }
    truth
}

/// What counts without samples have otherwise than with them, although they are sure of it: an edge that is lost, or only
/// there without them, or one of another Service. What counts only suppose, samples may decide.
fn what_samples_change(tape: &Tape) -> Vec<String> {
    let (counts, samples) = (of_counts(tape), of_samples(tape));
    // Which process it was on the network of a node, samples may tell.
    let fact = |edge: &Edge| {
        let (from, to, protocol, port, outcome) = fact(edge);
        let from = if is_on_host(&edge.key.from) {
            "a node".to_owned()
        } else {
            from
        };
        (from, to, protocol, port, outcome)
    };
    let facts = |edges: &[Edge]| -> BTreeSet<Fact> { edges.iter().map(fact).collect() };
    let (told, known) = (facts(&counts), facts(&samples));
    let seen = samples.iter().filter(|edge| !edge.evidence.assumed);
    let seen: BTreeSet<Fact> = seen.map(fact).collect();
    let mut changes: Vec<String> = Vec::new();
    let lost = known.iter().filter(|fact| !is_told(fact, &told));
    changes.extend(lost.map(|fact| format!("without samples {fact:?} is lost")));
    for edge in counts.iter().filter(|edge| !edge.evidence.assumed) {
        let fact = fact(edge);
        let is_open = fact.0 == AMBIGUOUS || fact.1 == AMBIGUOUS;
        if !known.contains(&fact) {
            if !is_open {
                changes.push(format!("samples take {fact:?} away"));
            }
            continue;
        }
        let Some(same) = samples.iter().find(|other| other.key == edge.key) else {
            continue;
        };
        let (before, after) = (&edge.evidence, &same.evidence);
        if !after.services.iter().all(|service| before.services.contains(service)) {
            changes.push(format!(
                "{fact:?} has other Services with samples: {:?}",
                after.services
            ));
        }
        let mut certain = before
            .services
            .iter()
            .filter(|service| !before.rivalled.contains(service));
        if !certain.all(|service| after.services.contains(service)) {
            changes.push(format!("samples take Services of {fact:?} away: {:?}", before.services));
        }
        if !seen.contains(&fact) {
            changes.push(format!("samples make {fact:?} doubtful"));
        }
    }
    changes
}

/// Whether a peer is on the network of a node.
fn is_on_host(peer: &Peer) -> bool {
    match &peer.identity {
        Identity::Workload(workload) => workload.host_network,
        Identity::Node { .. } => true,
        Identity::Service { .. } | Identity::External { .. } | Identity::Unknown { .. } => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn a_whole_recording_tells_what_was_and_how_often(scenario in arbitrary::scenario()) {
        let told: BTreeMap<Fact, u64> = of_samples(&record(&scenario).tape)
            .iter()
            .map(|edge| (fact(edge), edge.evidence.count))
            .collect();
        let was: BTreeMap<Fact, u64> = truth(&scenario).into_iter().map(|(fact, (count, _))| (fact, count)).collect();
        prop_assert_eq!(told, was);
    }

    #[test]
    fn some_nodes_tell_nothing_untrue_and_all_that_they_saw(
        scenario in arbitrary::scenario(), bits in 1..7_u8, samples in any::<bool>(),
    ) {
        let recorded = record(&scenario);
        let some = some_nodes(&recorded.tape, bits);
        let edges = if samples { of_samples(&some) } else { of_counts(&some) };
        let truth = truth(&scenario);
        for edge in edges.iter().filter(|edge| !edge.evidence.assumed) {
            let fact = fact(edge);
            let is_open = fact.0 == AMBIGUOUS || fact.1 == AMBIGUOUS;
            prop_assert!(is_open || truth.contains_key(&fact), "{fact:?} was not");
            let is_known = !matches!(edge.key.from.identity, Identity::Service { .. } | Identity::Node { .. });
            prop_assert!(is_known, "{fact:?}");
        }
        let told = facts(&edges);
        for (fact, (_, nodes)) in &truth {
            let seen = nodes.iter().any(|node| bits >> node & 1 == 1);
            prop_assert!(!seen || is_told(fact, &told), "{fact:?} is lost");
        }
    }

    #[test]
    fn one_more_node_takes_nothing_away_that_was_seen(scenario in arbitrary::scenario(), node in 0..3_u8, bits in 1..7_u8) {
        let recorded = record(&scenario);
        let fewer = of_samples(&some_nodes(&recorded.tape, bits));
        let more = facts(&of_samples(&some_nodes(&recorded.tape, bits | 1 << node)));
        for fact in facts(fewer.iter().filter(|edge| !edge.evidence.assumed)) {
            let is_open = fact.0 == AMBIGUOUS || fact.1 == AMBIGUOUS;
            prop_assert!(is_open || more.contains(&fact), "{fact:?}");
        }
    }

    #[test]
    fn without_samples_nothing_is_lost_and_nothing_changes(scenario in arbitrary::scenario(), bits in 1..8_u8) {
        let recorded = record(&scenario);
        let some = some_nodes(&recorded.tape, bits);
        prop_assert_eq!(what_samples_change(&some), Vec::<String>::new());
    }

    #[test]
    fn without_samples_nothing_changes_where_services_and_nodes_mix_it_up(
        scenario in arbitrary::tangle(), bits in 1..8_u8,
    ) {
        let recorded = record(&scenario);
        let some = some_nodes(&recorded.tape, bits);
        prop_assert_eq!(what_samples_change(&some), Vec::<String>::new());
    }
}
