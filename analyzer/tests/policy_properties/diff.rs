//! Two policy sets against each other: what the diff says is what the naive evaluator says of every connection, and saying the
//! same in other words is no difference.

use std::collections::BTreeMap;
use std::net::IpAddr;

use flowtape::diff::change::{Change, Diff, Side};
use flowtape::diff::peer::Peer as Compared;
use flowtape::diff::policy_sets_in;
use flowtape::identity::Workload;
use flowtape::parse::kubernetes;
use flowtape::policy::cidr::Cidr;
use flowtape::policy::model::{Peer, Peers, Policy, PolicySet, PortMatch, PortRule, Ports, Rule};
use flowtape::policy::one_or_more::OneOrMore;
use flowtape::policy::ports::{PortRange, PortSet, Protocol};
use flowtape::policy::select::Labels;
use flowtape::semantics::class::Classes;
use flowtape::semantics::eval::{Connection, eval};
use flowtape::semantics::representative::for_comparison;
use flowtape::semantics::world::{Endpoint, Pod, World};
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::{Config as ProptestConfig, TestCaseError};

use super::arbitrary::{layered_set, mixed_set, policy_set, quiet, small_selector};
use super::cases::pod;
use super::reach::{PORTS, is_governed, worlds};

fn sets() -> impl Strategy<Value = PolicySet> {
    prop_oneof![policy_set(small_selector().boxed()), mixed_set()]
}

fn layered_sets() -> impl Strategy<Value = PolicySet> {
    layered_set(small_selector().boxed())
}

fn diff(before: &PolicySet, after: &PolicySet, world: &World) -> Diff {
    policy_sets_in(before, after, world, &BTreeMap::new())
}

/// Every pod under each of its addresses, each twice, so that a pod can be asked about with another one of its kind; and an
/// address of every kind.
pub(super) struct Ends<'w> {
    pods: Vec<[Pod; 2]>,
    world: &'w World,
    outside: Vec<Endpoint<'w>>,
}

impl<'w> Ends<'w> {
    pub(super) fn new(world: &'w World, sets: &[&PolicySet]) -> Self {
        let classes = Classes::new(world, sets);
        let lowest = classes
            .list()
            .iter()
            .filter_map(|class| class.addresses.as_ref()?.lowest());
        let outside = lowest.map(Endpoint::Address).collect();
        // On no node, because traffic from a pod's own node is no matter of policies.
        let on_no_node = |pod: &Pod, mark: &str| Pod {
            name: format!("{}{mark}", pod.name),
            node: pod.node.clone().filter(|_| pod.host_network),
            ..pod.clone()
        };
        let pods = world.pods().map(|pod| [on_no_node(pod, ""), on_no_node(pod, "+")]);
        Self {
            pods: pods.collect(),
            outside,
            world,
        }
    }

    fn side(&self, twin: usize) -> Vec<Endpoint<'_>> {
        let pods = self.pods.iter().flat_map(|pod| self.world.endpoints(&pod[twin]));
        pods.chain(self.outside.iter().copied()).collect()
    }

    /// Calls with each connection that policies decide about, and whether each set allows it.
    pub(super) fn judged(&self, sets: [&PolicySet; 2], mut with: impl FnMut(&Connection<'_>, [bool; 2])) {
        let (clients, servers) = (self.side(0), self.side(1));
        for from in &clients {
            for to in servers
                .iter()
                .filter(|to| is_governed(*from, **to) && !is_itself(*from, **to))
            {
                for protocol in Protocol::ALL {
                    for port in PORTS {
                        let connection = Connection {
                            from: *from,
                            to: *to,
                            protocol,
                            port,
                        };
                        with(
                            &connection,
                            sets.map(|set| eval(set, self.world, &connection).allowed()),
                        );
                    }
                }
            }
        }
    }
}

/// Whether both are one pod that stands for no others.
fn is_itself(from: Endpoint<'_>, to: Endpoint<'_>) -> bool {
    match (from, to) {
        (Endpoint::Pod { pod: from, .. }, Endpoint::Pod { pod: to, .. }) => {
            let stands_for_others = from.name.starts_with(['*', '[']);
            from.namespace == to.namespace && format!("{}+", from.name) == to.name && !stands_for_others
        }
        (Endpoint::Pod { .. } | Endpoint::Address(_), _) => false,
    }
}

/// Whether a peer of a change is an end of a connection.
fn is(peer: &Compared, end: Endpoint<'_>) -> bool {
    match (peer, end) {
        (Compared::Everybody, _) => true,
        (Compared::EveryPod, end) => end.selectable_pod().is_some(),
        (Compared::Workload(Workload { namespace, name, .. }), Endpoint::Pod { pod, .. }) => {
            pod.namespace == *namespace && pod.name.trim_end_matches('+') == *name
        }
        (Compared::Addresses { cidr, except }, end) if end.selectable_pod().is_none() => {
            let within = |address| cidr.contains(address) && !except.iter().any(|hole| hole.contains(address));
            end.address().is_some_and(within)
        }
        _ => false,
    }
}

fn is_about(change: &Change, connection: &Connection<'_>, side: Side) -> bool {
    change.side == side
        && change.pair.protocol.to_string() == connection.protocol.name()
        && change.ports.contains(connection.port)
        && is(&change.pair.from, connection.from)
        && is(&change.pair.to, connection.to)
}

/// Each connection that only one set allows is in a change, and each port of a change is one that only that side allows.
fn is_what_nested_loops_find(before: &PolicySet, after: &PolicySet, world: &World) -> Result<(), TestCaseError> {
    let diff = diff(before, after, world);
    let sets = [before, after];
    let (world, _) = for_comparison(world, before, after);
    let mut found = vec![[false; PORTS.len()]; diff.changes.len()];
    let mut missed = Vec::new();
    Ends::new(&world, &sets).judged(sets, |connection, allowed| {
        let side = match allowed {
            [true, false] => Side::Before,
            [false, true] => Side::After,
            [true, true] | [false, false] => return,
        };
        let mut told = false;
        for (change, found) in diff.changes.iter().zip(&mut found) {
            if is_about(change, connection, side) {
                told = true;
                let at = PORTS.iter().position(|port| *port == connection.port);
                found[at.unwrap_or_default()] = true;
            }
        }
        if !told {
            missed.push(format!("{side:?}: {connection:?}"));
        }
    });
    prop_assert!(missed.is_empty(), "{missed:?}\n{:?}", diff.changes);
    for (change, found) in diff.changes.iter().zip(found) {
        for (port, found) in PORTS.iter().zip(found) {
            prop_assert_eq!(change.ports.contains(*port), found, "{} at port {}", change, port);
        }
    }
    Ok(())
}

proptest! {
    // Each case asks nested loops about hundreds of pods.
    #![proptest_config(ProptestConfig { cases: 4, ..quiet() })]

    #[test]
    fn a_diff_of_tiers_is_what_nested_loops_find(before in layered_sets(), after in layered_sets(), world in worlds()) {
        is_what_nested_loops_find(&before, &after, &world)?;
    }
}

proptest! {
    #![proptest_config(quiet())]

    #[test]
    fn a_diff_is_what_nested_loops_find(before in sets(), after in sets(), world in worlds()) {
        is_what_nested_loops_find(&before, &after, &world)?;
    }

    #[test]
    fn a_set_does_not_differ_from_itself(set in layered_sets(), world in worlds()) {
        let diff = diff(&set, &set, &world);
        prop_assert_eq!((diff.changes, diff.rewrites), (vec![], vec![]));
        prop_assert!(diff.unresolved.is_empty());
    }

    #[test]
    fn exchanging_the_sets_mirrors_the_diff(before in layered_sets(), after in layered_sets(), world in worlds()) {
        prop_assert_eq!(diff(&before, &after, &world).mirrored(), diff(&after, &before, &world));
    }

    #[test]
    fn the_same_in_other_words_is_no_difference(set in sets(), world in worlds()) {
        let words = in_other_words(&set);
        let said = diff(&set, &words, &world);
        prop_assert_eq!(said.changes, vec![]);
        // Names are compared by standing for numbers that no rule has; where rules have nearly all of them it is said that they are not.
        prop_assert!(said.unresolved.is_empty() || has_nearly_every_number(&words), "{:?}", said.unresolved);
    }
}

/// Under whichever of its addresses: what a pod may send to itself is no matter of policies.
#[test]
fn a_pod_of_several_addresses_is_no_other_to_itself() {
    let before = "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: only-tcp-out, namespace: x}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
  egress:
    - ports: [{protocol: TCP}]
    - to: [{ipBlock: {cidr: 2001:db8::2/128}}]
      ports: [{protocol: TCP, port: 80}]
";
    let before = kubernetes::parse([("file", before)]).unwrap().set;
    let after = PolicySet::new(Vec::new()).unwrap();
    let [one, other]: [IpAddr; 2] = ["2001:db8::1", "2001:db8::2"].map(|address| address.parse().unwrap());
    for addresses in [vec![one, one], vec![one, other]] {
        let pod = Pod {
            addresses,
            ..pod("x", "0", Labels::new(), one)
        };
        let namespaces = BTreeMap::from([("x".to_owned(), Labels::new())]);
        let world = World::new(namespaces, [pod], BTreeMap::new()).unwrap();
        let changes = diff(&before, &after, &world).changes;
        let sends = |change: &&Change| matches!(&change.pair.from, Compared::Workload(from) if from.name == "0");
        let sent: Vec<String> = changes
            .iter()
            .filter(sends)
            .map(|change| change.pair.protocol.to_string())
            .collect();
        assert_eq!(sent, ["UDP", "SCTP"], "{changes:?}");
    }
}

/// The same set with another policy for each direction, under other names and twice, rules turned round, a rule for each peer
/// and port, and prefixes and ranges cut in two.
fn in_other_words(set: &PolicySet) -> PolicySet {
    let mut said = Vec::new();
    for policy in set {
        for (word, ingress, egress) in [
            ("in", policy.ingress.clone(), None),
            ("out", None, policy.egress.clone()),
        ] {
            if ingress.is_none() && egress.is_none() {
                continue;
            }
            for time in ["once", "twice"] {
                said.push(Policy {
                    name: format!("{}-{word}-{time}", policy.name),
                    ingress: ingress.as_deref().map(apart),
                    egress: egress.as_deref().map(apart),
                    ..policy.clone()
                });
            }
        }
    }
    PolicySet::new(said).unwrap()
}

fn has_nearly_every_number(set: &PolicySet) -> bool {
    let ports = set.rules().filter_map(|(_, rule)| match &rule.ports {
        Ports::Any => None,
        Ports::Of(ports) => Some(ports),
    });
    let ranges = ports.flatten().filter_map(|port| match port.port {
        PortMatch::Range(range) => Some(range),
        PortMatch::Any | PortMatch::Named(_) => None,
    });
    let free = ranges.collect::<PortSet>().complement();
    // The names that sets are made of, of three protocols.
    free.ranges()
        .iter()
        .map(|range| usize::from(range.last() - range.first()) + 1)
        .sum::<usize>()
        < 6 * 3
}

fn apart(rules: &[Rule]) -> Vec<Rule> {
    let mut said = Vec::new();
    for Rule { peers, ports, .. } in rules.iter().rev() {
        let peers: Vec<Peers> = match peers {
            Peers::Any => vec![Peers::Any],
            Peers::Of(listed) => listed
                .iter()
                .flat_map(halves)
                .map(|peer| Peers::Of(OneOrMore::one(peer)))
                .collect(),
        };
        let ports: Vec<Ports> = match ports {
            Ports::Any => vec![Ports::Any],
            Ports::Of(listed) => listed
                .iter()
                .flat_map(pieces)
                .map(|port| Ports::Of(OneOrMore::one(port)))
                .collect(),
        };
        for peers in &peers {
            said.extend(ports.iter().map(|ports| Rule::new(peers.clone(), ports.clone())));
        }
    }
    said
}

fn halves(peer: &Peer) -> Vec<Peer> {
    let Peer::Block { cidr, except } = peer else {
        return vec![peer.clone()];
    };
    let upper = Cidr::new(cidr.last(), cidr.length() + 1);
    let lower = Cidr::new(cidr.network(), cidr.length() + 1);
    let (Some(lower), Some(upper)) = (lower, upper) else {
        return vec![peer.clone()];
    };
    let half = |half: Cidr| {
        let inside = except.iter().copied().filter(|hole| half.covers(*hole));
        // An exception that is a whole half leaves nothing of it.
        let gone = inside.clone().any(|hole| hole == half);
        (!gone).then(|| Peer::block_except(half, inside).unwrap())
    };
    let halves: Vec<Peer> = [lower, upper].into_iter().filter_map(half).collect();
    if halves.is_empty() { vec![peer.clone()] } else { halves }
}

fn pieces(port: &PortRule) -> Vec<PortRule> {
    let of = |range: PortRange| PortRule {
        protocol: port.protocol,
        port: PortMatch::Range(range),
    };
    match &port.port {
        PortMatch::Any => vec![
            of(PortRange::new(1, 80).unwrap()),
            of(PortRange::new(70, 65_535).unwrap()),
        ],
        PortMatch::Range(range) if range.first() < range.last() => {
            let middle = range.first() + (range.last() - range.first()) / 2;
            let cut = [(range.first(), middle), (middle + 1, range.last())];
            cut.map(|(first, last)| of(PortRange::new(first, last).unwrap()))
                .to_vec()
        }
        PortMatch::Range(_) | PortMatch::Named(_) => vec![port.clone()],
    }
}
