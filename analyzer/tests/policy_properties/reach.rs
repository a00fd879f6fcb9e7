//! The fast engine: what it says of all classes at once is what the naive evaluator says of each connection.

use std::collections::BTreeMap;
use std::net::IpAddr;

use flowtape::policy::kind::PolicyKind;
use flowtape::policy::model::{Peer, Peers, Policy, PolicySet, Ports, Rule};
use flowtape::policy::one_or_more::OneOrMore;
use flowtape::policy::ports::Protocol;
use flowtape::policy::select::Selector;
use flowtape::semantics::bits::Bits;
use flowtape::semantics::class::{Class, Classes};
use flowtape::semantics::eval::{Basis, Connection, eval};
use flowtape::semantics::reach::Reach;
use flowtape::semantics::representative::with_representatives;
use flowtape::semantics::row::Row;
use flowtape::semantics::traffic::Traffic;
use flowtape::semantics::world::{Endpoint, NamedPort, Pod, World};
use proptest::collection::{btree_map, vec};
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::{select, subsequence};
use proptest::test_runner::TestCaseError;

use super::arbitrary::{NAMES, address, few, labels, layered_set, mixed_set, policy_set, quiet, small_selector};

/// Ports at and beside the ends of the ranges that [`policy_set`] makes.
pub(crate) const PORTS: [u16; 16] = [
    1, 2, 3, 5, 7, 8, 11, 12, 13, 40_000, 65_529, 65_530, 65_531, 65_533, 65_534, 65_535,
];

/// Worlds with pods of one, two and no addresses, with named ports, on nodes and on their networks; with an API server and DNS
/// names that may be anywhere.
pub(crate) fn worlds() -> impl Strategy<Value = World> {
    let port = (select(vec!["http", "y", "on"]), select(&Protocol::ALL[..]), 1u16..13);
    let ports = vec(port, 0..3);
    let pod = (
        labels(),
        vec(address(), 0..3),
        prop_oneof![4 => Just(false), 1 => any::<bool>()],
        ports,
        0usize..3,
    );
    let nodes = btree_map(
        select(vec!["n0".to_owned(), "n1".to_owned()]),
        vec(address(), 1..3),
        0..3,
    );
    let names = vec((select(NAMES[..2].to_vec()).prop_map(str::to_owned), address()), 0..4);
    let known = (vec(address(), 0..2), names);
    (labels(), labels(), vec(pod, 1..6), nodes, known).prop_map(|(x, y, pods, nodes, (api_server, names))| {
        let namespaces = BTreeMap::from([("x".to_owned(), x), ("y".to_owned(), y)]);
        let pods = pods
            .into_iter()
            .enumerate()
            .map(|(at, (labels, addresses, host_network, ports, node))| Pod {
                namespace: if at % 2 == 0 { "x" } else { "y" }.to_owned(),
                name: at.to_string(),
                labels,
                addresses,
                host_network,
                node: (node < 2).then(|| format!("n{node}")),
                ports: ports
                    .into_iter()
                    .map(|(name, protocol, port)| NamedPort {
                        name: name.to_owned(),
                        protocol,
                        port,
                    })
                    .collect(),
            });
        let world = World::new(namespaces, pods, nodes).unwrap();
        world.with_api_server(api_server).with_names(names)
    })
}

/// Every row of a set, by source.
fn rows(reach: &Reach<'_, '_>) -> Vec<Row> {
    let everybody = Bits::all(reach.classes().len());
    (0..reach.blocks())
        .flat_map(|block| reach.connections(block, &everybody))
        .collect()
}

/// Whether policies decide about a connection between two ends.
pub(crate) fn is_governed(from: Endpoint<'_>, to: Endpoint<'_>) -> bool {
    let families = [from, to].map(|end| end.address().map(|address| address.is_ipv4()));
    let apart = matches!(families, [Some(from), Some(to)] if from != to);
    !apart && (from.selectable_pod().is_some() || to.selectable_pod().is_some())
}

fn traffic(connection: &Connection<'_>, row: &Row, to: usize) -> bool {
    let allowed = row.with(to).map(|traffic| traffic.ports(connection.protocol));
    allowed.is_some_and(|ports| ports.contains(connection.port))
}

/// Of every pod of every class with every other, and with an address of every cell.
fn says_what_nested_loops_say(sets: &[PolicySet], world: &World) -> Result<(), TestCaseError> {
    let sets: Vec<&PolicySet> = sets.iter().collect();
    let world = with_representatives(world, &sets);
    let classes = Classes::new(&world, &sets);
    for set in &sets {
        let reach = Reach::new(&classes, set);
        let rows = rows(&reach);
        prop_assert_eq!(rows.len(), classes.len());
        for (source, row) in rows.iter().enumerate() {
            let governed = classes.governed(source);
            for destination in 0..classes.len() {
                for from in classes.ends(source) {
                    for to in classes.ends(destination) {
                        prop_assert_eq!(governed.contains(destination), is_governed(from, to));
                        for protocol in Protocol::ALL {
                            for port in PORTS {
                                let connection = Connection {
                                    from,
                                    to,
                                    protocol,
                                    port,
                                };
                                let verdict = eval(set, &world, &connection);
                                let undecided = [Basis::SamePod, Basis::OwnNode];
                                if !is_governed(from, to) || undecided.contains(&verdict.ingress.basis) {
                                    continue;
                                }
                                prop_assert_eq!(
                                    traffic(&connection, row, destination),
                                    verdict.allowed(),
                                    "{:?}",
                                    connection
                                );
                            }
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(few())]

    #[test]
    fn the_engine_decides_by_tiers_as_nested_loops_do(sets in vec(layered_set(small_selector().boxed()), 1..3), world in worlds()) {
        says_what_nested_loops_say(&sets, &world)?;
    }
}

proptest! {
    #![proptest_config(quiet())]

    #[test]
    fn the_engine_says_what_nested_loops_say(sets in vec(mixed_set(), 1..3), world in worlds()) {
        says_what_nested_loops_say(&sets, &world)?;
    }

    /// Every end is in exactly one class: pods under each of their addresses, and any address at all.
    #[test]
    fn everybody_is_in_one_class(set in mixed_set(), world in worlds(), outside in address()) {
        let classes = Classes::new(&world, &[&set]);
        for pod in world.pods() {
            for end in world.endpoints(pod) {
                let holding = (0..classes.len()).filter(|&class| classes.ends(class).any(|one| one == end));
                prop_assert!(holding.count() >= 1);
            }
        }
        let cells = classes.list().iter().filter_map(|class| class.addresses.as_ref());
        let holding = cells.filter(|cell| {
            cell.cidr.contains(outside) && !cell.except.iter().any(|hole| hole.contains(outside))
        });
        prop_assert_eq!(holding.count(), 1);
    }

    /// What is asked of some destinations is what is known of all.
    #[test]
    fn part_of_a_row_is_a_part_of_the_row(
        set in layered_set(small_selector().boxed()),
        world in worlds(),
        some in subsequence((0..16).collect::<Vec<usize>>(), 0..16),
    ) {
        let classes = Classes::new(&world, &[&set]);
        let reach = Reach::new(&classes, &set);
        let among = Bits::of(classes.len(), some.into_iter().filter(|&class| class < classes.len()));
        for block in 0..reach.blocks() {
            let whole = reach.connections(block, &Bits::all(classes.len()));
            for (part, whole) in reach.connections(block, &among).iter().zip(&whole) {
                for class in 0..classes.len() {
                    let expected = if among.contains(class) { whole.with(class) } else { None };
                    prop_assert_eq!(part.with(class), expected);
                }
            }
        }
    }

    /// For every selector that somebody can meet there is a pod that it selects.
    #[test]
    fn every_selector_has_somebody(set in policy_set(small_selector().boxed()), world in worlds()) {
        let grown = with_representatives(&world, &[&set]);
        for pod in world.pods() {
            prop_assert_eq!(grown.pod(&pod.namespace, &pod.name), Some(pod));
        }
        for policy in &set {
            // In a namespace of one pod for every set of labels there are, what selects nobody selects nobody at all.
            let possible = every_label().iter().any(|labels| policy.subject.matches(labels));
            let selected = |pod: &Pod| pod.namespace == policy.namespace && policy.subject.matches(&pod.labels);
            prop_assert_eq!(grown.pods().any(selected), possible);
        }
        for (_, rule) in set.rules() {
            let Peers::Of(peers) = &rule.peers else { continue };
            for peer in peers {
                if let Peer::Pods { namespaces: Some(namespaces), pods } = peer {
                    let every = every_label();
                    let possible = every.iter().any(|labels| pods.matches(labels))
                        && every.iter().any(|labels| namespaces.matches(labels));
                    let selected = |pod: &Pod| {
                        pods.matches(&pod.labels) && namespaces.matches(grown.namespace_labels(&pod.namespace).unwrap())
                    };
                    prop_assert_eq!(grown.pods().any(selected), possible);
                }
            }
        }
    }
}

/// Every set of labels that the selectors of a small world can tell apart.
fn every_label() -> Vec<BTreeMap<String, String>> {
    let values = [None, Some(""), Some("a"), Some("b"), Some("c")];
    let mut every = vec![BTreeMap::new()];
    for key in ["app", "tier", "zone"] {
        every = every
            .iter()
            .flat_map(|labels| {
                values.map(|value| {
                    let mut labels = labels.clone();
                    labels.extend(value.map(|value| (key.to_owned(), value.to_owned())));
                    labels
                })
            })
            .collect();
    }
    every
}

/// A policy that lets pods of one app be reached by those of another.
fn only_from(server: &str, client: &str) -> Policy {
    let app = |value: &str| Selector::from_labels([("app", value)]);
    Policy {
        kind: PolicyKind::NetworkPolicy,
        namespace: "x".to_owned(),
        name: server.to_owned(),
        subject: app(server),
        ingress: Some(vec![Rule::new(
            Peers::Of(OneOrMore::one(Peer::pods(app(client)))),
            Ports::Any,
        )]),
        egress: None,
        notes: Vec::new(),
        source: None,
    }
}

#[test]
fn rows_of_many_classes_are_found_in_their_blocks() {
    let pods = (0..200).map(|at| Pod {
        namespace: "x".to_owned(),
        name: format!("p{at:03}"),
        labels: BTreeMap::from([("app".to_owned(), format!("a{at}"))]),
        addresses: vec![IpAddr::from([10, 0, 0, u8::try_from(at).unwrap()])],
        host_network: false,
        node: None,
        ports: Vec::new(),
    });
    let world = World::new(
        BTreeMap::from([("x".to_owned(), BTreeMap::new())]),
        pods,
        BTreeMap::new(),
    )
    .unwrap();
    let policies = (0..200).map(|at| only_from(&format!("a{at}"), &format!("a{}", (at * 7 + 1) % 200)));
    let set = PolicySet::new(policies).unwrap();
    let classes = Classes::new(&world, &[&set]);
    let of = |app: usize| {
        let is = |class: &Class<'_>| {
            class
                .pods
                .first()
                .is_some_and(|(pod, _)| pod.labels["app"] == format!("a{app}"))
        };
        classes.list().iter().position(is).unwrap()
    };
    let rows = rows(&Reach::new(&classes, &set));
    for server in 0..200 {
        let client = (server * 7 + 1) % 200;
        for other in 0..200 {
            let allowed = rows[of(other)].with(of(server));
            assert_eq!(allowed.is_some(), other == client, "{other} -> {server}");
            assert!(allowed.is_none_or(|allowed| *allowed == Traffic::all()));
        }
    }
}
