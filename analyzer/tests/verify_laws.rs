//! What `verify` says, against nested loops over the evaluator: the policies of one recording, played against another of the
//! same cluster.
#![expect(clippy::unwrap_used, reason = "what a test prepares must be there")]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use flowtape::findings::Findings;
use flowtape::flow::edge::{Edge, EdgeKey, Endpoint as Seen};
use flowtape::flow::governed::{Governed, governed};
use flowtape::flow::{self, Flows};
use flowtape::identity::cluster::Cluster;
use flowtape::policy::model::{Direction, Policy, PolicySet, Rule};
use flowtape::policy::ports::Protocol;
use flowtape::replay::world::world;
use flowtape::semantics::eval::{Connection, eval};
use flowtape::semantics::world::{Endpoint, World};
use flowtape::synthesis::settings::{DefaultDeny, Dns, Published, Settings};
use flowtape::synthesis::synthesize;
use flowtape::verify::usage::RuleUse;
use flowtape::verify::{Verified, verify};
use flowtape_scenario::{Scenario, tape};
use proptest::prelude::{ProptestConfig, Strategy, prop, prop_assert, prop_assert_eq, proptest};

const CLUSTER: &str = "cluster
  node n1 172.31.0.11 fd00:172:31::11 pods 10.244.1.0/24 fd00:10:244:1::/64
  node n2 172.31.0.12 fd00:172:31::12 pods 10.244.2.0/24 fd00:10:244:2::/64
  external 203.0.113.7
  external 2001:db8::7
  deployment shop/web replicas 2 on n1,n2 labels app=web ports http:8080 probes liveness=http:8080
  deployment shop/db replicas 2 on n1,n2 labels app=db ports sql:5432,metrics:9187
  daemonset ops/agent labels app=agent ports 9100 host-network
  deployment ops/job on n2 labels app=job ports 7000/UDP
  service shop/db 10.96.0.20,fd00:10:96::14 selects app=db ports sql:6432->sql
traffic
";

/// What can be in a recording.
const LINES: [&str; 14] = [
    "shop/web -> service shop/db:6432 x4",
    "shop/web -> service shop/db:6432 x4 ipv6",
    "shop/web/0 -> shop/db/1:9187",
    "shop/db/0 -> shop/db/1:5432",
    "shop/web -> shop/db:5433 refused",
    "ops/job -> shop/web:8080 x2",
    "shop/web/1 -> ops/job:7000/UDP x3 unconnected",
    "node n1 -> shop/web/0:8080 x2",
    "node n1 -> shop/web/1:8080",
    "ops/agent/0 -> shop/db/1:5432",
    "external 203.0.113.7 -> shop/web:8080 x2",
    "shop/web/0 -> external [2001:db8::7]:443 ipv6",
    "address 10.244.2.201 -> shop/web:8080",
    "shop/db/0 -> address 10.244.1.202:53/UDP",
];

fn lines() -> impl Strategy<Value = BTreeSet<usize>> {
    prop::collection::btree_set(0..LINES.len(), 1..8)
}

/// A recording of some lines.
struct Recording {
    flows: Flows,
    world: World,
    policies: PolicySet,
}

fn recording(lines: &BTreeSet<usize>) -> Recording {
    let mut text = CLUSTER.to_owned();
    for line in lines {
        writeln!(text, "{}", LINES[*line]).unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    tape::write(
        directory.path(),
        &tape::compile(&Scenario::parse(&text).unwrap()).unwrap(),
    )
    .unwrap();
    let mut findings = Findings::default();
    let tape = flowtape::tape::open(&[directory.path().to_path_buf()], &mut findings).unwrap();
    let cluster = Cluster::new(&tape.cluster, &mut findings);
    let flows = flow::edges(&tape, &cluster, &mut findings);
    let settings = Settings {
        default_deny: DefaultDeny::Workload,
        published: Published::Declared,
        dns: Dns::Auto,
        ..Settings::default()
    };
    Recording {
        policies: synthesize(&flows.edges, &cluster, &settings, &mut findings)
            .unwrap()
            .set,
        world: world(&cluster),
        flows,
    }
}

/// The ends that deny an edge, by nothing but the evaluator; `None` if nothing can be asked about some pair.
fn denying(edge: &Edge, set: &PolicySet, world: &World) -> Option<BTreeSet<Direction>> {
    let mut denying = BTreeSet::new();
    let mut all_asked = true;
    for (from, to) in &edge.evidence.pairs {
        let mut asked = false;
        for from in ends(from, world) {
            for to in ends(to, world) {
                let (Some(client), Some(server)) = (from.address(), to.address()) else {
                    continue;
                };
                if client.is_ipv4() != server.is_ipv4() {
                    continue;
                }
                let verdict = eval(
                    set,
                    world,
                    &Connection {
                        from,
                        to,
                        protocol: Protocol::from_number(edge.key.protocol.0).unwrap(),
                        port: edge.key.port,
                    },
                );
                asked = true;
                denying.extend((!verdict.egress.allowed).then_some(Direction::Egress));
                denying.extend((!verdict.ingress.allowed).then_some(Direction::Ingress));
            }
        }
        all_asked &= asked;
    }
    (all_asked || !denying.is_empty()).then_some(denying)
}

fn ends<'a>(seen: &Seen, world: &'a World) -> Vec<Endpoint<'a>> {
    match seen {
        Seen::Pod { namespace, name } => world.endpoints(world.pod(namespace, name).unwrap()),
        Seen::Address(address) => vec![Endpoint::Address(address.ip())],
        Seen::Unknown => Vec::new(),
    }
}

fn denied(verified: &Verified<'_>) -> BTreeSet<(EdgeKey, Direction)> {
    let denied = verified.denied.iter();
    denied.map(|one| (one.edge.key.clone(), one.direction)).collect()
}

/// The set without the rules that nothing recorded needs.
fn without_dead(set: &PolicySet, verified: &Verified<'_>) -> PolicySet {
    let is_dead = |policy: &Policy, direction: Direction, index: usize| {
        verified.rules.iter().any(|used| {
            let rule = used.by.rule.unwrap();
            used.by.namespace == policy.namespace
                && used.by.name == policy.name
                && (rule.direction, rule.index) == (direction, index)
                && used.last_seen.is_none()
        })
    };
    let living = |policy: &Policy, direction: Direction| {
        let rules = policy.rules(direction)?.iter().enumerate();
        let living = rules.filter(|(index, _)| !is_dead(policy, direction, *index));
        Some(living.map(|(_, rule)| rule.clone()).collect::<Vec<Rule>>())
    };
    PolicySet::new(set.iter().map(|policy| Policy {
        ingress: living(policy, Direction::Ingress),
        egress: living(policy, Direction::Egress),
        ..policy.clone()
    }))
    .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_agrees_with_nested_loops_over_the_evaluator(made_of in lines(), played in lines()) {
        let (policies, recording) = (recording(&made_of).policies, recording(&played));
        let edges = &recording.flows.edges;
        let verified = verify(edges, &policies, &recording.world, &[]);
        let mut expected = BTreeSet::new();
        let mut sums = [0_u64; 4];
        for edge in edges {
            let place = match governed(&edge.key) {
                Governed::NotEstablished => 0,
                Governed::Exempt => 1,
                Governed::Undecided => 2,
                Governed::Yes => match denying(edge, &policies, &recording.world) {
                    None => 2,
                    Some(ends) if ends.is_empty() => 3,
                    Some(ends) => {
                        expected.extend(ends.into_iter().map(|end| (edge.key.clone(), end)));
                        continue;
                    }
                },
            };
            sums[place] += 1;
        }
        prop_assert_eq!(denied(&verified), expected);
        let said = [
            verified.not_established,
            verified.exempt,
            verified.undecided.len() as u64,
            verified.allowed,
        ];
        prop_assert_eq!(said, sums);
    }

    #[test]
    fn what_a_recording_made_denies_none_of_it(lines in lines()) {
        let Recording { flows, world, policies } = recording(&lines);
        let verified = verify(&flows.edges, &policies, &world, &[]);
        prop_assert!(verified.denied.is_empty(), "{:?}", verified.denied);
        // There is neither name resolution nor a published port in it, so nothing is added; a node is named by its addresses of
        // both families, whichever was seen.
        let of_node = |peer: &String| peer.starts_with("172.31.0.1") || peer.starts_with("fd00:172:31::1");
        let is_needed = |used: &RuleUse| {
            let parts = used.unused_peers.iter().chain(&used.unused_pairs);
            used.last_seen.is_some() && used.unused_ports.is_empty() && parts.into_iter().all(of_node)
        };
        prop_assert!(verified.rules.iter().all(is_needed), "{:?}", verified.rules);
    }

    #[test]
    fn nothing_changes_without_dead_rules(made_of in lines(), played in lines()) {
        let (policies, recording) = (recording(&made_of).policies, recording(&played));
        let edges = &recording.flows.edges;
        let before = verify(edges, &policies, &recording.world, &[]);
        let fewer = without_dead(&policies, &before);
        let after = verify(edges, &fewer, &recording.world, &[]);
        prop_assert_eq!(denied(&after), denied(&before));
        prop_assert_eq!(after.allowed, before.allowed);
        prop_assert!(after.rules.iter().all(|used| used.last_seen.is_some()), "{:?}", after.rules);
        prop_assert_eq!(after.rules.len(), before.rules.iter().filter(|used| used.last_seen.is_some()).count());
    }
}
