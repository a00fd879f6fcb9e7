//! Generators of policies and of what they are made of.

use std::net::IpAddr;

use flowtape::policy::cidr::Cidr;
use flowtape::policy::cluster::{Action, ClusterKind, ClusterPeer, ClusterPolicy, ClusterRule, Subject, Tier};
use flowtape::policy::kind::PolicyKind;
use flowtape::policy::model::{Direction, Entity, Peer, Peers, Policy, PolicySet, PortMatch, PortRule, Ports, Rule};
use flowtape::policy::one_or_more::OneOrMore;
use flowtape::policy::ports::{PortRange, Protocol};
use flowtape::policy::select::{Labels, Requirement, Selector, Test};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::test_runner::Config as ProptestConfig;

/// Legal label values that some YAML reader takes for something else, or nearly.
pub(crate) const NASTY: [&str; 63] = [
    "y",
    "Y",
    "n",
    "N",
    "yes",
    "Yes",
    "YES",
    "no",
    "No",
    "NO",
    "on",
    "On",
    "ON",
    "off",
    "Off",
    "OFF",
    "true",
    "True",
    "TRUE",
    "false",
    "False",
    "FALSE",
    "null",
    "Null",
    "NULL",
    "1_000",
    "0x1",
    "0xFF",
    "0o17",
    "017",
    "0b101",
    "1e3",
    "1E3",
    "1.5",
    "0",
    "00",
    "08",
    "0.0",
    "1_0.5",
    "2001-01-01",
    "2001-1-1",
    "1.5e-3",
    "6e5",
    "685_230.15",
    "190_20_30.15",
    "0x_0A_74_AE",
    "0b1010_0111_0100_1010_1110",
    "02472256",
    "685230",
    "1-2",
    "e3",
    "x0",
    "inf",
    "nan",
    "Infinity",
    "NaN",
    "a",
    "A1",
    "1a",
    "12e03",
    "1__0",
    "9223372036854775808",
    "123456789012345678901234567890",
];

/// The usual number of cases, and no files written into the source tree.
pub(crate) fn quiet() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A quarter of that, for sets of several layers, each case of which takes long.
pub(crate) fn few() -> ProptestConfig {
    ProptestConfig { cases: 64, ..quiet() }
}

/// A legal label value.
pub(crate) fn label_value() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => Just(String::new()),
        4 => select(&NASTY[..]).prop_map(str::to_owned),
        4 => "[A-Za-z0-9]([-A-Za-z0-9_.]{0,8}[A-Za-z0-9])?",
        4 => "[0-9]([-0-9_.eExXoObB]{0,8}[0-9])?",
    ]
}

/// A legal label key.
pub(crate) fn label_key() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[A-Za-z0-9]([-A-Za-z0-9_.]{0,8}[A-Za-z0-9])?",
        1 => select(&NASTY[..]).prop_map(str::to_owned),
        1 => "[a-z0-9]{1,4}(\\.[a-z0-9]{1,3})?/[A-Za-z0-9]{1,4}",
    ]
}

/// A key or value of a small world, where selectors hit often.
fn small(word: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(word).prop_map(str::to_owned)
}

pub(crate) fn small_key() -> impl Strategy<Value = String> {
    small(&["app", "tier", "zone"])
}

pub(crate) fn small_value() -> impl Strategy<Value = String> {
    small(&["", "a", "b"])
}

/// Labels of a small world.
pub(crate) fn labels() -> impl Strategy<Value = Labels> {
    btree_map(small_key(), small_value(), 0..3)
}

fn some<T: Ord + Clone + std::fmt::Debug>(member: impl Strategy<Value = T>) -> impl Strategy<Value = OneOrMore<T>> {
    vec(member, 1..4).prop_map(|members| OneOrMore::new(members).unwrap())
}

/// A selector over the given keys and values.
pub(crate) fn selector(
    key: impl Strategy<Value = String> + Clone,
    value: impl Strategy<Value = String> + Clone,
) -> impl Strategy<Value = Selector> {
    let test = prop_oneof![
        some(value.clone()).prop_map(Test::In),
        value.prop_map(|value| Test::In(OneOrMore::one(value))),
        some(small_value()).prop_map(Test::NotIn),
        Just(Test::Exists),
        Just(Test::DoesNotExist),
    ];
    vec((key, test).prop_map(|(key, test)| Requirement { key, test }), 0..3).prop_map(Selector::new)
}

/// A selector of a small world.
pub(crate) fn small_selector() -> impl Strategy<Value = Selector> {
    selector(small_key().boxed(), small_value().boxed())
}

/// An address; often one of a small world.
pub(crate) fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0u8..2, 0u8..4).prop_map(|(c, d)| IpAddr::from([10, 0, c, d])),
        any::<[u8; 4]>().prop_map(IpAddr::from),
        (0u16..4).prop_map(|low| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, low])),
        any::<[u8; 16]>()
            .prop_map(IpAddr::from)
            .prop_filter("mapped", |ip| ip.to_canonical() == *ip),
    ]
}

/// A prefix of either family.
pub(crate) fn cidr() -> impl Strategy<Value = Cidr> {
    (address(), 0u8..=128).prop_map(|(address, length)| {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        Cidr::new(address, length.min(longest)).unwrap()
    })
}

/// A range of ports, often at the ends of the number space.
pub(crate) fn port_range() -> impl Strategy<Value = PortRange> {
    let port = || prop_oneof![1u16..12, 65530u16..=65535, 1u16..=65535];
    (port(), port()).prop_map(|(a, b)| PortRange::new(a.min(b), a.max(b)).unwrap())
}

fn port_rule() -> impl Strategy<Value = PortRule> {
    let port = prop_oneof![
        Just(PortMatch::Any),
        port_range().prop_map(PortMatch::Range),
        (1u16..12).prop_map(|port| PortMatch::Range(PortRange::single(port).unwrap())),
        select(vec!["http", "y", "on", "e3", "0x1a", "no"]).prop_map(|name| PortMatch::Named(name.to_owned())),
    ];
    (select(&Protocol::ALL[..]), port).prop_map(|(protocol, port)| PortRule { protocol, port })
}

fn peer(of: impl Strategy<Value = Selector> + Clone) -> impl Strategy<Value = Peer> {
    prop_oneof![
        (option::of(of.clone()), of).prop_map(|(namespaces, pods)| Peer::Pods { namespaces, pods }),
        (cidr(), vec(cidr(), 0..3)).prop_map(|(cidr, holes)| {
            let holes = holes.into_iter().filter(|&hole| hole != cidr && cidr.covers(hole));
            Peer::block_except(cidr, holes).unwrap()
        }),
    ]
}

/// A rule whose selectors come from `of`.
pub(crate) fn rule(of: impl Strategy<Value = Selector> + Clone) -> impl Strategy<Value = Rule> {
    let peers = prop_oneof![1 => Just(Peers::Any), 4 => some(peer(of)).prop_map(Peers::Of)];
    let ports = prop_oneof![1 => Just(Ports::Any), 4 => some(port_rule()).prop_map(Ports::Of)];
    (peers, ports, vec(any::<String>(), 0..2)).prop_map(|(peers, ports, notes)| Rule {
        notes,
        ..Rule::new(peers, ports)
    })
}

/// A set of up to four policies in the namespaces `x` and `y`.
pub(crate) fn policy_set(of: impl Strategy<Value = Selector> + Clone) -> impl Strategy<Value = PolicySet> {
    let rules = || option::of(vec(rule(of.clone()), 0..3));
    let policy = (
        select(vec!["x", "y"]),
        of.clone(),
        rules(),
        rules(),
        vec(any::<String>(), 0..2),
    );
    vec(policy, 0..4).prop_map(|policies| {
        let named = policies
            .into_iter()
            .enumerate()
            .map(|(at, (namespace, subject, ingress, egress, notes))| {
                let ingress = if egress.is_none() {
                    Some(ingress.unwrap_or_default())
                } else {
                    ingress
                };
                let (namespace, name) = (namespace.to_owned(), format!("policy-{at}"));
                Policy {
                    kind: PolicyKind::NetworkPolicy,
                    namespace,
                    name,
                    subject,
                    ingress,
                    egress,
                    notes,
                    source: None,
                }
            });
        PolicySet::new(named).unwrap()
    })
}

/// The same with up to two policies of the cluster around them, often of equal priority.
pub(crate) fn layered_set(of: impl Strategy<Value = Selector> + Clone) -> impl Strategy<Value = PolicySet> {
    let policies = vec(cluster_policy(of.clone()), 0..3);
    (policy_set(of), policies).prop_map(|(set, policies)| {
        let named = policies.into_iter().enumerate().map(|(at, policy)| ClusterPolicy {
            name: format!("cluster-{at}"),
            ..policy
        });
        set.with_cluster(named).unwrap()
    })
}

fn cluster_policy(of: impl Strategy<Value = Selector> + Clone) -> impl Strategy<Value = ClusterPolicy> {
    let rules = || vec(cluster_rule(of.clone()), 0..3);
    let tier = select(vec![Tier::Admin, Tier::Baseline]);
    (tier, 0u16..3, of.clone(), of.clone(), rules(), rules()).prop_map(
        |(tier, priority, namespaces, pods, ingress, egress)| ClusterPolicy {
            kind: ClusterKind::Cluster,
            name: String::new(),
            tier,
            priority,
            subject: Subject { namespaces, pods },
            ingress,
            egress,
            source: None,
        },
    )
}

fn cluster_rule(of: impl Strategy<Value = Selector> + Clone) -> impl Strategy<Value = ClusterRule> {
    let plain = prop_oneof![
        (of.clone(), of.clone()).prop_map(|(namespaces, pods)| Peer::pods_in(namespaces, pods)),
        cidr().prop_map(Peer::block),
    ];
    let peer = prop_oneof![
        6 => plain.prop_map(ClusterPeer::Plain),
        1 => of.prop_map(ClusterPeer::Nodes),
        1 => Just(ClusterPeer::Domains(OneOrMore::one("example.com".to_owned()))),
    ];
    let ports = prop_oneof![1 => Just(Ports::Any), 2 => some(port_rule()).prop_map(Ports::Of)];
    let action = select(vec![Action::Allow, Action::Deny, Action::Pass]);
    (action, some(peer), ports).prop_map(|(action, peers, ports)| ClusterRule {
        action,
        peers,
        ports,
        source: None,
    })
}

/// A set in which policies of Cilium stand beside others, with peers that only those have. Prefixes of NetworkPolicies are whoever
/// has the address, those of Cilium who is outside.
pub(crate) fn mixed_set() -> impl Strategy<Value = PolicySet> {
    let name = select(NAMES.to_vec()).prop_map(|name| Entity::Name(name.to_owned()));
    let entity = prop_oneof![
        2 => Just(None),
        2 => Just(Some(Entity::Nodes)),
        1 => Just(Some(Entity::ApiServer)),
        1 => name.prop_map(Some),
    ];
    let set = policy_set(small_selector().boxed());
    (set, vec(any::<bool>(), 4), vec(entity, 8)).prop_map(|(set, cilium, entities)| {
        let mut entities = entities.into_iter().cycle();
        let policies = set.into_policies().into_iter().zip(cilium).map(|(policy, is_cilium)| {
            if !is_cilium {
                return policy;
            }
            let mut rules = |direction, rules: Vec<Rule>| -> Vec<Rule> {
                let read = |rule: Rule| Rule {
                    peers: of_cilium(&rule.peers, direction, &mut entities),
                    ..rule
                };
                rules.into_iter().map(read).collect()
            };
            Policy {
                kind: PolicyKind::CiliumNetworkPolicy,
                ingress: policy.ingress.map(|of| rules(Direction::Ingress, of)),
                egress: policy.egress.map(|of| rules(Direction::Egress, of)),
                ..policy
            }
        });
        PolicySet::new(policies).unwrap()
    })
}

/// DNS names of a small world.
pub(crate) const NAMES: [&str; 3] = ["a.example.com", "b.example.com", "nobody.example.com"];

/// Clients have no names.
fn of_cilium(peers: &Peers, direction: Direction, entities: &mut impl Iterator<Item = Option<Entity>>) -> Peers {
    let Peers::Of(listed) = peers else { return Peers::Any };
    let is_said = |entity: &Entity| direction == Direction::Egress || !matches!(entity, Entity::Name(_));
    let peers = listed.iter().map(|peer| match peer {
        Peer::Block { cidr, except } => {
            let (cidr, except) = (*cidr, except.clone());
            let outside = Entity::Outside { cidr, except };
            Peer::Entity(entities.next().flatten().filter(is_said).unwrap_or(outside))
        }
        Peer::Pods { .. } | Peer::Entity(_) => peer.clone(),
    });
    Peers::Of(OneOrMore::new(peers).unwrap())
}
