//! A recording against policies, held against a naive oracle: every pod against every pod and some addresses, port by
//! port, with the evaluator alone.

#![expect(clippy::unwrap_used, reason = "what a test prepares must be there")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::LazyLock;

use flowtape::diff::change::{Change, Class, Diff, Pair, Side, Unbounded};
use flowtape::diff::peer::Peer;
use flowtape::diff::{Recording, with_policies};
use flowtape::findings::{Code, Findings};
use flowtape::flow::Flows;
use flowtape::flow::edge::Transport;
use flowtape::flow::governed::{Governed, governed};
use flowtape::identity::cluster::Cluster;
use flowtape::identity::{Identity, Workload};
use flowtape::parse::kubernetes::parse;
use flowtape::policy::cidr::Cidr;
use flowtape::policy::kind::PolicyKind;
use flowtape::policy::model::{Direction, PolicySet};
use flowtape::policy::ports::Protocol;
use flowtape::replay::soundness::pair_verdict;
use flowtape::replay::world::{OTHER_POD, representative, world};
use flowtape::semantics::eval::{Basis, Connection, eval, side};
use flowtape::semantics::world::{Endpoint, Pod, World};
use flowtape::{flow, tape};
use flowtape_scenario::Scenario;
use proptest::prelude::{ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

const SCENARIO: &str = "
window 30s
cluster
  node n1 172.31.0.11 fd00:172:31::11 pods 10.244.1.0/24 fd00:10:244:1::/64
  node n2 172.31.0.12 fd00:172:31::12 pods 10.244.2.0/24 fd00:10:244:2::/64
  namespace shop labels team=a
  namespace ops labels team=b
  deployment shop/web replicas 2 on n1,n2 labels app=web,tier=front ports http:80
  statefulset shop/db replicas 2 on n1,n2 labels app=db,tier=back ports sql:5432
  replica shop/db/1 labels role=replica
  deployment shop/idle replicas 0 labels app=idle ports http:8080
  pod ops/probe on n1 labels app=probe
  daemonset ops/agent labels app=agent host-network
  external 203.0.113.7
traffic
  shop/web -> pod shop/db/0:5432/TCP x3 at 1s..9s
  shop/web -> pod shop/db/1:5432/TCP x3 at 1s..9s
  shop/web -> pod shop/db/0:80/UDP x3 at 1s..9s
  ops/probe -> pod shop/web/1:80/TCP at 2s
  ops/probe -> external 203.0.113.7:443/TCP at 2s
  external 203.0.113.7 -> shop/web:80/TCP at 2s
  node n1 -> pod shop/web/1:80/TCP at 3s
  shop/db -> pod shop/db/0:5432/TCP at 4s
";

const PORTS: [u16; 10] = [1, 79, 80, 81, 443, 5432, 8080, 8081, 8090, 65535];

struct Case {
    cluster: Cluster,
    flows: Flows,
    world: World,
    /// Pods that policies can select, on no node, each followed by a second one of its kind where there can be one.
    pods: Vec<(Workload, Pod)>,
}

static CASE: LazyLock<Case> = LazyLock::new(case);

fn case() -> Case {
    let scenario = Scenario::parse(SCENARIO).unwrap_or_else(|problems| panic!("{problems}"));
    let directory = tempfile::tempdir().unwrap();
    let files = flowtape_scenario::tape::compile(&scenario).unwrap();
    flowtape_scenario::tape::write(directory.path(), &files).unwrap();
    let mut findings = Findings::default();
    let tape = tape::open(&[directory.path().to_owned()], &mut findings).unwrap();
    let cluster = Cluster::new(&tape.cluster, &mut findings);
    let flows = flow::edges(&tape, &cluster, &mut findings);
    let world = world(&cluster);
    let pods = pods(&cluster, &world);
    Case {
        cluster,
        flows,
        world,
        pods,
    }
}

fn workload(cluster: &Cluster, pod: &Pod) -> Workload {
    let mut known = cluster.pods.values();
    if let Some(known) = known.find(|known| known.namespace == pod.namespace && known.name == pod.name) {
        return known.workload.clone();
    }
    let (kind, name) = if pod.name == OTHER_POD {
        ("Pod", OTHER_POD)
    } else {
        assert_eq!(pod.name, representative("Deployment", "idle"));
        ("Deployment", "idle")
    };
    Workload {
        namespace: pod.namespace.clone(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        host_network: false,
    }
}

fn pods(cluster: &Cluster, world: &World) -> Vec<(Workload, Pod)> {
    let mut pods = Vec::new();
    for pod in world.pods().filter(|pod| !pod.host_network) {
        let workload = workload(cluster, pod);
        let free = Pod {
            node: None,
            ..pod.clone()
        };
        if workload.kind != "Pod" || workload.name == OTHER_POD {
            let name = format!("{}-twin", pod.name);
            pods.push((workload.clone(), Pod { name, ..free.clone() }));
        }
        pods.push((workload, free));
    }
    pods
}

impl Case {
    fn diff(&self, flows: &Flows, set: &PolicySet) -> (Diff, Findings) {
        let mut findings = Findings::default();
        let recording = Recording {
            flows,
            complete: true,
            workloads: None,
            length: None,
        };
        let diff = with_policies(recording, &self.cluster, &self.world, set);
        diff.report(&mut findings);
        (diff, findings)
    }

    /// Pairs, protocols and ports that some rule allows, pod by pod.
    fn allowed(&self, set: &PolicySet) -> BTreeSet<(Pair, u16)> {
        let mut allowed = BTreeSet::new();
        let pods = &self.pods;
        for ((from_workload, from), (to_workload, to)) in
            pods.iter().flat_map(|from| pods.iter().map(move |to| (from, to)))
        {
            if from.namespace == to.namespace && from.name == to.name {
                continue;
            }
            for (protocol, port) in every_port() {
                let works = |from, to| {
                    let connection = Connection {
                        from,
                        to,
                        protocol,
                        port,
                    };
                    let verdict = eval(set, &self.world, &connection);
                    let by_rule = verdict.egress.basis == Basis::Rule || verdict.ingress.basis == Basis::Rule;
                    verdict.allowed() && by_rule
                };
                let from_ends = self.world.endpoints(from);
                let mut routes = from_ends.iter().flat_map(|from| {
                    let to_ends = self.world.endpoints(to).into_iter();
                    to_ends.map(move |to| (*from, to))
                });
                if routes.any(|(from, to)| same_family(from, to) && works(from, to)) {
                    let from = Peer::Workload(from_workload.clone());
                    let to = Peer::Workload(to_workload.clone());
                    let protocol = transport(protocol);
                    allowed.insert((Pair { from, to, protocol }, port));
                }
            }
        }
        allowed
    }

    /// Whether some rule allows a workload to talk to an address, or an address to talk to it.
    fn allows_address(
        &self,
        set: &PolicySet,
        workload: &Workload,
        address: IpAddr,
        direction: Direction,
        port: (Protocol, u16),
    ) -> bool {
        let pods = &self.pods;
        let mut of_workload = pods.iter().filter(|(known, _)| known == workload);
        of_workload.any(|(_, pod)| {
            self.world.endpoints(pod).into_iter().any(|own| {
                let far = Endpoint::Address(address);
                let (from, to) = match direction {
                    Direction::Egress => (own, far),
                    Direction::Ingress => (far, own),
                };
                let connection = Connection {
                    from,
                    to,
                    protocol: port.0,
                    port: port.1,
                };
                same_family(from, to) && side(set, &self.world, &connection, direction).basis == Basis::Rule
            })
        })
    }

    /// Whether a peer of a change is at an address.
    fn is_at(&self, peer: &Peer, address: IpAddr) -> bool {
        match peer {
            Peer::Addresses { cidr, except } => {
                cidr.contains(address) && !except.iter().any(|hole| hole.contains(address))
            }
            Peer::Node { name } => self.world.node_addresses(name).contains(&address),
            Peer::Everybody | Peer::EveryPod | Peer::Workload(_) | Peer::Service { .. } | Peer::Unknown { .. } => false,
        }
    }
}

fn every_port() -> impl Iterator<Item = (Protocol, u16)> {
    let protocols = Protocol::ALL.into_iter();
    protocols.flat_map(|protocol| PORTS.into_iter().map(move |port| (protocol, port)))
}

fn same_family(from: Endpoint<'_>, to: Endpoint<'_>) -> bool {
    match (from.address(), to.address()) {
        (Some(from), Some(to)) => from.is_ipv4() == to.is_ipv4(),
        (None, _) | (_, None) => true,
    }
}

fn transport(protocol: Protocol) -> Transport {
    match protocol {
        Protocol::Tcp => Transport::TCP,
        Protocol::Udp => Transport::UDP,
        Protocol::Sctp => Transport::SCTP,
    }
}

/// A peer of a rule, as flow YAML.
fn peers() -> impl Strategy<Value = String> {
    let pods = prop::sample::select(vec![
        "podSelector: {}",
        "podSelector: {matchLabels: {app: web}}",
        "podSelector: {matchLabels: {app: db}}",
        "podSelector: {matchLabels: {role: replica}}",
        "podSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}",
        "podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [web, probe]}]}",
    ]);
    let namespaces = prop::sample::select(vec![
        "",
        ", namespaceSelector: {}",
        ", namespaceSelector: {matchLabels: {team: b}}",
    ]);
    let blocks = prop::sample::select(vec![
        "ipBlock: {cidr: 0.0.0.0/0}",
        "ipBlock: {cidr: 0.0.0.0/0, except: [10.244.0.0/16, 172.31.0.0/24]}",
        "ipBlock: {cidr: 10.244.1.0/24}",
        "ipBlock: {cidr: 10.244.1.3/32}",
        "ipBlock: {cidr: 203.0.113.7/32}",
        "ipBlock: {cidr: 172.31.0.11/32}",
        "ipBlock: {cidr: 'fd00:172:31::12/128'}",
        "ipBlock: {cidr: '::/0', except: ['fd00:10::/32']}",
        "ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.0/25, 203.0.113.128/25]}",
    ]);
    prop_oneof![
        3 => (pods, namespaces).prop_map(|(pods, namespaces)| format!("{{{pods}{namespaces}}}")),
        1 => blocks.prop_map(|block| format!("{{{block}}}")),
    ]
}

fn rules(peers_field: &'static str) -> impl Strategy<Value = String> {
    let ports = prop::sample::select(vec![
        "{port: 80}",
        "{port: http}",
        "{port: sql}",
        "{port: 5432}",
        "{port: 80, protocol: UDP}",
        "{port: 8080, endPort: 8090}",
        "{port: 79, endPort: 444}",
        "{protocol: SCTP}",
        "{}",
    ]);
    let ports = prop::collection::vec(ports, 0..3);
    (prop::collection::vec(peers(), 0..3), ports).prop_map(move |(peers, ports)| {
        let mut fields = Vec::new();
        if !peers.is_empty() {
            fields.push(format!("{peers_field}: [{}]", peers.join(", ")));
        }
        if !ports.is_empty() {
            fields.push(format!("ports: [{}]", ports.join(", ")));
        }
        format!("{{{}}}", fields.join(", "))
    })
}

fn policies() -> impl Strategy<Value = String> {
    let subjects = prop::sample::select(vec![
        "{}",
        "{matchLabels: {app: web}}",
        "{matchLabels: {app: db}}",
        "{matchLabels: {role: replica}}",
        "{matchExpressions: [{key: app, operator: Exists}]}",
        "{matchExpressions: [{key: role, operator: DoesNotExist}]}",
    ]);
    let ingress = prop::option::weighted(0.7, prop::collection::vec(rules("from"), 0..3));
    let egress = prop::option::weighted(0.5, prop::collection::vec(rules("to"), 0..3));
    let policy = (any::<bool>(), subjects, ingress, egress);
    prop::collection::vec(policy, 0..5).prop_map(|policies| {
        let mut text = String::new();
        for (index, (shop, subject, ingress, egress)) in policies.into_iter().enumerate() {
            let namespace = if shop { "shop" } else { "ops" };
            let types: Vec<&str> = [ingress.as_ref().map(|_| "Ingress"), egress.as_ref().map(|_| "Egress")]
                .into_iter()
                .flatten()
                .collect();
            if types.is_empty() {
                continue;
            }
            let _ = write!(
                text,
                "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p{index}, namespace: {namespace}}}\n\
                 spec:\n  podSelector: {subject}\n  policyTypes: [{}]\n",
                types.join(", ")
            );
            for (field, rules) in [("ingress", ingress), ("egress", egress)] {
                if let Some(rules) = rules {
                    let _ = writeln!(text, "  {field}: [{}]", rules.join(", "));
                }
            }
        }
        text
    })
}

fn set_of(text: &str) -> PolicySet {
    parse([("p.yaml", text)])
        .unwrap_or_else(|problems| panic!("{problems}\n{text}"))
        .set
}

/// Ports of single connections that changes of this side tell of.
fn told(changes: &[Change], side: Side) -> BTreeSet<(Pair, u16)> {
    let of_side = changes.iter().filter(|change| change.side == side);
    let single = of_side.flat_map(|change| {
        let ports = PORTS.into_iter().filter(|port| change.ports.contains(*port));
        ports.map(|port| (change.pair.clone(), port))
    });
    single.collect()
}

fn between_workloads(pair: &Pair) -> bool {
    matches!((&pair.from, &pair.to), (Peer::Workload(_), Peer::Workload(_)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_rules_allow_is_what_the_evaluator_allows_pod_by_pod(text in policies()) {
        let (case, set) = (&*CASE, set_of(&text));
        let (diff, _) = case.diff(&Flows::default(), &set);
        prop_assert!(diff.changes.iter().all(|change| change.class == Class::Added && change.side == Side::After));
        let mut found = told(&diff.changes, Side::After);
        found.retain(|(pair, _)| between_workloads(pair));
        prop_assert_eq!(found, case.allowed(&set), "{}", text);
        // Every rule that a change names is one of the set, and no change comes without one.
        for change in &diff.changes {
            prop_assert!(!change.by.is_empty());
            for by in &change.by {
                let policy = set.get(PolicyKind::NetworkPolicy, &by.namespace, &by.name).unwrap();
                let rule = by.rule.unwrap();
                prop_assert!(policy.rules(rule.direction).unwrap().len() > rule.index);
            }
        }
    }

    #[test]
    fn addresses_that_rules_allow_are_those_the_evaluator_allows(text in policies()) {
        let (case, set) = (&*CASE, set_of(&text));
        let (diff, _) = case.diff(&Flows::default(), &set);
        // Who holds a pod's address is told by name.
        let single = |peer: &Peer| match peer {
            Peer::Addresses { cidr, except: _ } if *cidr == Cidr::host(cidr.network()) => Some(cidr.network()),
            Peer::Everybody
            | Peer::EveryPod
            | Peer::Addresses { .. }
            | Peer::Workload(_)
            | Peer::Node { .. }
            | Peer::Service { .. }
            | Peer::Unknown { .. } => None,
        };
        let ends = diff.changes.iter().flat_map(|change| [&change.pair.from, &change.pair.to]);
        for address in ends.filter_map(single) {
            prop_assert_eq!(case.world.endpoint_at(address), Endpoint::Address(address));
        }
        let workloads: BTreeSet<Workload> = case.pods.iter().map(|(workload, _)| workload.clone()).collect();
        for address in ["203.0.113.7", "198.51.100.1", "2001:db8::1", "172.31.0.11", "172.31.0.12", "fd00:172:31::12"] {
            let address: IpAddr = address.parse().unwrap();
            for workload in &workloads {
                for direction in [Direction::Ingress, Direction::Egress] {
                    for port in every_port() {
                        let own = Peer::Workload(workload.clone());
                        let told = diff.changes.iter().any(|change| {
                            let (subject, far) = match direction {
                                Direction::Ingress => (&change.pair.to, &change.pair.from),
                                Direction::Egress => (&change.pair.from, &change.pair.to),
                            };
                            *subject == own && case.is_at(far, address) && change.pair.protocol == transport(port.0) && change.ports.contains(port.1)
                        });
                        let expected = case.allows_address(&set, workload, address, direction, port);
                        // A node is named with all its addresses if a rule names one of them.
                        let node = case.world.nodes().values().any(|addresses| addresses.contains(&address));
                        if node {
                            prop_assert!(told || !expected, "{} {} {:?}\n{}", workload, address, port, text);
                        } else {
                            prop_assert_eq!(told, expected, "{} {} {:?}\n{}", workload, address, port, text);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_recorded_connection_is_lost_exactly_if_it_is_denied(text in policies()) {
        let (case, set) = (&*CASE, set_of(&text));
        let (diff, findings) = case.diff(&case.flows, &set);
        let mut denied = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut unbounded = BTreeSet::new();
        for edge in case.flows.edges.iter().filter(|edge| governed(&edge.key) == Governed::Yes) {
            let key = &edge.key;
            let pair = Pair { from: (&key.from.identity).into(), to: (&key.to.identity).into(), protocol: key.protocol };
            seen.insert((pair.clone(), key.port));
            if edge.evidence.pairs.iter().any(|one| !pair_verdict(key, one, &set, &case.world).unwrap().allowed()) {
                denied.insert((pair, key.port));
            }
            for (identity, direction) in [&key.from, &key.to].into_iter().flat_map(|peer| [(&peer.identity, Direction::Ingress), (&peer.identity, Direction::Egress)]) {
                let Identity::Workload(workload) = identity else { continue };
                let selected = |pod: &Pod| set.iter().any(|policy| policy.namespace == pod.namespace && policy.rules(direction).is_some() && policy.subject.matches(&pod.labels));
                if case.pods.iter().any(|(known, pod)| known == workload && !selected(pod)) {
                    unbounded.insert(Unbounded { workload: workload.clone(), direction, side: Side::After });
                }
            }
        }
        prop_assert_eq!(told(&diff.changes, Side::Before), denied, "{}", text);
        let mut beyond = told(&diff.changes, Side::After);
        beyond.retain(|(pair, _)| between_workloads(pair));
        let expected: BTreeSet<_> = case.allowed(&set).difference(&seen).cloned().collect();
        prop_assert_eq!(beyond, expected, "{}", text);
        prop_assert_eq!(findings.list().iter().filter(|finding| finding.code == Code::NotIsolated).count(), unbounded.len());
        prop_assert_eq!(&diff.unbounded, &unbounded.into_iter().collect::<Vec<_>>());
        for change in &diff.changes {
            let before = seen.iter().any(|(pair, _)| *pair == change.pair);
            match change.class {
                Class::Added => prop_assert!(change.side == Side::After && !before),
                Class::Widened => prop_assert!(change.side == Side::After && before),
                Class::Removed | Class::Narrowed => prop_assert!(change.side == Side::Before && before),
                Class::Renamed | Class::Undecided => prop_assert!(false, "{}", change),
            }
        }
        prop_assert_eq!(diff.clone().mirrored().mirrored(), diff);
    }
}
