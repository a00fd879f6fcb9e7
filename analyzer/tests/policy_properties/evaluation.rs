//! The evaluator: properties that hold for all policies and pods.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use flowtape::policy::kind::PolicyKind;
use flowtape::policy::model::{Direction, Peer, Peers, Policy, PolicySet, Ports, Rule};
use flowtape::policy::one_or_more::OneOrMore;
use flowtape::policy::ports::Protocol;
use flowtape::policy::profile::Profile;
use flowtape::policy::reading::read_by;
use flowtape::semantics::eval::{Basis, By, Connection, RuleId, Side, eval, side};
use flowtape::semantics::index::{Index, Part};
use flowtape::semantics::world::{Endpoint, World};
use proptest::collection::vec;
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::select;

use super::arbitrary::{address, labels, layered_set, mixed_set, policy_set, quiet, rule, small_selector};
use super::cases::pod;
use super::reach::worlds;

/// Pods `x/0`, `y/1`, `x/2` ... with these labels and addresses, in namespaces with these labels.
pub(crate) fn world() -> impl Strategy<Value = World> {
    let pods = vec((labels(), address()), 2..5);
    (labels(), labels(), pods).prop_map(|(x, y, pods)| {
        let namespaces = BTreeMap::from([("x".to_owned(), x), ("y".to_owned(), y)]);
        let pods = pods
            .into_iter()
            .enumerate()
            .map(|(at, (labels, address))| pod(if at % 2 == 0 { "x" } else { "y" }, &at.to_string(), labels, address));
        World::new(namespaces, pods, BTreeMap::new()).unwrap()
    })
}

/// Every connection between two ends of the world and one outside, on a few ports.
pub(crate) fn connections(world: &World) -> Vec<Connection<'_>> {
    let nodes = world.nodes().values().flatten().copied();
    let known = nodes.chain(world.api_server().iter().copied());
    let outside = known.chain([IpAddr::from([10, 0, 0, 1])]).map(Endpoint::Address);
    let ends: Vec<Endpoint<'_>> = world.pods().map(|pod| world.endpoint(pod)).chain(outside).collect();
    let pairs = ends.iter().flat_map(|&from| ends.iter().map(move |&to| (from, to)));
    let services = [(Protocol::Tcp, 8), (Protocol::Udp, 8), (Protocol::Sctp, 65_535)];
    pairs
        .flat_map(|(from, to)| {
            services.map(|(protocol, port)| Connection {
                from,
                to,
                protocol,
                port,
            })
        })
        .collect()
}

fn with(set: &PolicySet, change: impl FnOnce(&mut Vec<Policy>)) -> PolicySet {
    let mut policies = set.clone().into_policies();
    change(&mut policies);
    PolicySet::new(policies).unwrap()
}

proptest! {
    #![proptest_config(quiet())]

    #[test]
    fn one_more_rule_never_denies_anything(
        set in policy_set(small_selector().boxed()),
        rule in rule(small_selector().boxed()),
        ingress in select(vec![true, false]),
        at in 0usize..4,
        world in world(),
    ) {
        let more = with(&set, |policies| {
            let count = policies.len().max(1);
            let policy = policies.get_mut(at % count);
            let rules = policy.and_then(|policy| if ingress { policy.ingress.as_mut() } else { policy.egress.as_mut() });
            if let Some(rules) = rules {
                rules.push(rule);
            }
        });
        for connection in connections(&world) {
            if eval(&set, &world, &connection).allowed() {
                prop_assert!(eval(&more, &world, &connection).allowed(), "{connection:?}");
            }
        }
    }

    /// A side is isolated by a union if by either part, and then allowed by what either part's rules allow.
    #[test]
    fn policies_add_up(
        left in policy_set(small_selector().boxed()),
        right in policy_set(small_selector().boxed()),
        world in world(),
    ) {
        let union = with(&left, |policies| {
            policies.extend(right.iter().map(|policy| Policy { name: format!("other-{}", policy.name), ..policy.clone() }));
        });
        for connection in connections(&world) {
            for direction in [Direction::Ingress, Direction::Egress] {
                let [a, b, both] = [&left, &right, &union].map(|set| side(set, &world, &connection, direction));
                let expected = match (a.basis, b.basis) {
                    (Basis::Rule, _) | (_, Basis::Rule) => Basis::Rule,
                    (Basis::NoRule, _) | (_, Basis::NoRule) => Basis::NoRule,
                    (other, _) => other,
                };
                prop_assert_eq!(both.basis, expected);
                prop_assert_eq!(both.allowed, expected.allows());
            }
        }
    }

    /// What stands behind a verdict is there when, and only when, rules decided.
    #[test]
    fn verdicts_name_what_they_rest_on(set in layered_set(small_selector().boxed()), world in world()) {
        for connection in connections(&world) {
            let verdict = eval(&set, &world, &connection);
            for Side { allowed, basis, by } in [verdict.egress, verdict.ingress] {
                prop_assert_eq!(allowed, basis.allows());
                prop_assert_eq!(!by.is_empty(), matches!(basis, Basis::Rule | Basis::NoRule | Basis::DenyRule));
                prop_assert!(by.iter().all(|by| by.rule.is_some() == (basis != Basis::NoRule)));
            }
        }
    }

    /// Read as Cilium does, an `ipBlock` says what it says as long as neither pods nor nodes are asked about, and to those it says
    /// nothing. Everybody else reads it as it is. That the fast engine and the arranged set do so as well follows from what they
    /// say of any set.
    #[test]
    fn a_prefix_is_who_is_outside_where_a_plugin_reads_it_so(set in mixed_set(), world in worlds()) {
        for profile in Profile::ALL {
            let read = read_by(profile, set.clone());
            prop_assert!(profile == Profile::Cilium || read == set);
            let without = without_prefixes(&set);
            for connection in connections(&world) {
                for direction in Direction::BOTH {
                    let peer = match direction {
                        Direction::Egress => connection.to,
                        Direction::Ingress => connection.from,
                    };
                    let outside = match peer {
                        Endpoint::Address(address) => !world.is_node(address),
                        Endpoint::Pod { .. } => false,
                    };
                    let matches = outside || profile != Profile::Cilium;
                    let meant = side(if matches { &set } else { &without }, &world, &connection, direction);
                    prop_assert_eq!(side(&read, &world, &connection, direction).basis, meant.basis, "{:?}", connection);
                }
            }
        }
    }

    /// The arranged set says what nested loops say, and rests on the same rules.
    #[test]
    fn arranged_policies_mean_what_nested_loops_say(
        set in prop_oneof![layered_set(small_selector().boxed()), mixed_set()],
        world in worlds(),
    ) {
        let index = Index::new(&set, &world);
        for connection in connections(&world) {
            for direction in [Direction::Ingress, Direction::Egress] {
                let naive = side(&set, &world, &connection, direction);
                let fast = index.side(&connection, direction);
                prop_assert_eq!(fast.basis, naive.basis);
                let rules: BTreeSet<(&str, RuleId)> =
                    fast.parts.iter().map(|part| (set.policies()[part.policy].name.as_str(), part.rule)).collect();
                let (of_cluster, by): (Vec<&By>, Vec<&By>) = naive.by.iter().partition(|by| by.namespace.is_empty());
                let by = by.into_iter().filter_map(|by| Some((by.name.as_str(), by.rule?)));
                prop_assert_eq!(rules, by.collect::<BTreeSet<_>>());
                let decided = fast.of_cluster.map(|rule| index.by(rule));
                prop_assert_eq!(decided.iter().collect::<Vec<_>>(), of_cluster);
            }
        }
    }

    /// A part of a rule matches if and only if a rule of nothing else would.
    #[test]
    fn a_part_matches_as_a_rule_of_its_own_would(set in policy_set(small_selector().boxed()), world in world()) {
        let index = Index::new(&set, &world);
        for connection in connections(&world) {
            for direction in [Direction::Ingress, Direction::Egress] {
                let parts: BTreeSet<Part> = index.side(&connection, direction).parts.into_iter().collect();
                let alone = every_part(&set).filter(|part| part.rule.direction == direction);
                let alone = alone.filter(|part| side(&only(&set, *part), &world, &connection, direction).basis == Basis::Rule);
                prop_assert_eq!(parts, alone.collect::<BTreeSet<_>>());
            }
        }
    }
}

/// The set without the prefixes that its NetworkPolicies name; a rule that names nobody else is gone.
fn without_prefixes(set: &PolicySet) -> PolicySet {
    let rules = |rules: &Vec<Rule>| -> Vec<Rule> {
        let left = |rule: &Rule| {
            let peers = match &rule.peers {
                Peers::Any => Peers::Any,
                Peers::Of(listed) => {
                    let others = listed.iter().filter(|peer| !matches!(peer, Peer::Block { .. }));
                    Peers::Of(OneOrMore::new(others.cloned())?)
                }
            };
            Some(Rule { peers, ..rule.clone() })
        };
        rules.iter().filter_map(left).collect()
    };
    let policies = set.iter().map(|policy| match policy.kind {
        PolicyKind::NetworkPolicy => Policy {
            ingress: policy.ingress.as_ref().map(rules),
            egress: policy.egress.as_ref().map(rules),
            ..policy.clone()
        },
        PolicyKind::CalicoNetworkPolicy
        | PolicyKind::CiliumNetworkPolicy
        | PolicyKind::StagedKubernetesNetworkPolicy => policy.clone(),
    });
    PolicySet::new(policies).unwrap()
}

/// Every part of every rule of a set.
fn every_part(set: &PolicySet) -> impl Iterator<Item = Part> {
    let policies = set.iter().enumerate();
    let rules = policies.flat_map(|(policy, of)| {
        let both = [Direction::Ingress, Direction::Egress].into_iter();
        both.flat_map(move |direction| {
            let rules = of.rules(direction).unwrap_or_default().iter().enumerate();
            rules.map(move |(index, rule)| (policy, RuleId { direction, index }, rule))
        })
    });
    rules.flat_map(|(policy, rule, of)| {
        let peers = match &of.peers {
            Peers::Any => 1,
            Peers::Of(listed) => listed.iter().count(),
        };
        let ports = match &of.ports {
            Ports::Any => 1,
            Ports::Of(listed) => listed.iter().count(),
        };
        let each = (0..peers).flat_map(move |peer| (0..ports).map(move |port| (peer, port)));
        each.map(move |(peer, port)| Part {
            policy,
            rule,
            peer,
            port,
        })
    })
}

/// A set of one policy that allows this part and nothing else.
fn only(set: &PolicySet, part: Part) -> PolicySet {
    let policy = &set.policies()[part.policy];
    let rule = &policy.rules(part.rule.direction).unwrap()[part.rule.index];
    let peers = match &rule.peers {
        Peers::Any => Peers::Any,
        Peers::Of(listed) => Peers::Of(OneOrMore::one(listed.iter().nth(part.peer).unwrap().clone())),
    };
    let ports = match &rule.ports {
        Ports::Any => Ports::Any,
        Ports::Of(listed) => Ports::Of(OneOrMore::one(listed.iter().nth(part.port).unwrap().clone())),
    };
    let rules = vec![Rule::new(peers, ports)];
    let (ingress, egress) = match part.rule.direction {
        Direction::Ingress => (Some(rules), None),
        Direction::Egress => (None, Some(rules)),
    };
    PolicySet::new([Policy {
        ingress,
        egress,
        ..policy.clone()
    }])
    .unwrap()
}
