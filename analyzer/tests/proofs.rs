//! The two proofs that go with every generated set, on random clusters: sound, and tight.
#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps nothing has failed, and says where"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use flowtape::findings::Findings;
use flowtape::flow::{self, Flows};
use flowtape::identity::cluster::Cluster;
use flowtape::policy::model::{Peers, Policy, PolicySet, PortRule, Ports, Rule};
use flowtape::policy::one_or_more::OneOrMore;
use flowtape::replay::soundness::denied;
use flowtape::replay::world::world;
use flowtape::semantics::world::World;
use flowtape::synthesis::settings::{DefaultDeny, Dns, Published, Settings};
use flowtape::synthesis::{Generated, synthesize};
use flowtape_scenario::{Scenario, tape};
use proptest::prelude::{Strategy, prop, prop_assert, prop_assert_eq, proptest};

/// One line of traffic: client and server by number, how it goes there, and over how many connections.
type Line = (usize, usize, usize, u8);

const WORKLOADS: [&str; 6] = ["a/w0", "a/w1", "a/w2", "b/w3", "b/w4", "b/w5"];

fn scenario(lines: &[Line]) -> String {
    let mut text = String::from(
        "cluster\n node n1 172.31.0.11 pods 10.244.1.0/24\n node n2 172.31.0.12 pods 10.244.2.0/24\n\
         external 203.0.113.7\n\
         deployment kube-system/coredns labels k8s-app=kube-dns ports dns:53/UDP,dns-tcp:53\n\
         service kube-system/kube-dns 10.96.0.10 selects k8s-app=kube-dns ports dns:53/UDP,dns-tcp:53\n",
    );
    for (number, workload) in WORKLOADS.iter().enumerate() {
        let name = workload.split_once('/').unwrap().1;
        let _ = writeln!(
            text,
            "deployment {workload} replicas 2 on n1,n2 labels app={name} ports http:80{number}0"
        );
        let _ = writeln!(
            text,
            "service {workload} 10.96.1.{} selects app={name} ports 80->http",
            number + 1
        );
    }
    text.push_str("traffic\n");
    for (client, server, way, count) in lines {
        let (client, server) = (WORKLOADS[*client], WORKLOADS[*server]);
        let number = WORKLOADS.iter().position(|one| *one == server).unwrap();
        let line = match way {
            0 => format!("{client} -> {server}:80{number}0/TCP"),
            1 => format!("{client} -> service {server}:80/TCP"),
            2 => format!("{client} -> service kube-system/kube-dns:53/UDP"),
            3 => format!("{client} -> external 203.0.113.7:443/TCP"),
            4 => format!("external 203.0.113.7 -> {server}:80{number}0/TCP"),
            5 => format!("node n2 -> {server}/0:80{number}0/TCP"),
            _ => format!("{client} -> {server}:9999/TCP refused"),
        };
        let _ = writeln!(text, "{line} x{count}");
    }
    text
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let line = (0..WORKLOADS.len(), 0..WORKLOADS.len(), 0..7usize, 1..5u8);
    prop::collection::vec(
        line.prop_filter("a pod needs no rule to reach itself", |line| line.0 != line.1),
        1..8,
    )
}

struct Run {
    flows: Flows,
    world: World,
    generated: Generated,
}

fn run(lines: &[Line], dns: Dns) -> Run {
    let directory = tempfile::tempdir().unwrap();
    let files = tape::compile(&Scenario::parse(&scenario(lines)).unwrap()).unwrap();
    tape::write(directory.path(), &files).unwrap();
    let mut findings = Findings::default();
    let tape = flowtape::tape::open(&[directory.path().to_path_buf()], &mut findings).unwrap();
    let cluster = Cluster::new(&tape.cluster, &mut findings);
    let flows = flow::edges(&tape, &cluster, &mut findings);
    let settings = Settings {
        default_deny: DefaultDeny::Workload,
        published: Published::Declared,
        dns,
        namespaces: BTreeSet::new(),
        redacted: false,
    };
    let generated = synthesize(&flows.edges, &cluster, &settings, &mut findings).unwrap();
    Run {
        flows,
        world: world(&cluster),
        generated,
    }
}

/// Every set that lacks one peer on one port of one rule, with the name of what it lacks.
fn without_one(set: &PolicySet) -> Vec<(String, PolicySet)> {
    let mut smaller = Vec::new();
    for (index, policy) in set.policies().iter().enumerate() {
        for (direction, rules) in [("ingress", &policy.ingress), ("egress", &policy.egress)] {
            for (number, rule) in rules.iter().flatten().enumerate() {
                for reduced in split(rule) {
                    let mut policies = set.policies().to_vec();
                    replace(&mut policies[index], direction, number, &reduced.1);
                    let name = format!(
                        "{}/{} {direction}/{number} {}",
                        policy.namespace, policy.name, reduced.0
                    );
                    smaller.push((name, PolicySet::new(policies).unwrap()));
                }
            }
        }
    }
    smaller
}

fn replace(policy: &mut Policy, direction: &str, number: usize, by: &[Rule]) {
    let rules = if direction == "ingress" {
        &mut policy.ingress
    } else {
        &mut policy.egress
    };
    let rules = rules.as_mut().unwrap();
    rules.splice(number..=number, by.iter().cloned());
}

/// For each peer and port of a rule, its name and the rules that allow all the rest.
fn split(rule: &Rule) -> Vec<(String, Vec<Rule>)> {
    let (Peers::Of(peers), Ports::Of(ports)) = (&rule.peers, &rule.ports) else {
        panic!("any peer or any port")
    };
    let single = |peer: &_, port: &PortRule| {
        Rule::new(
            Peers::Of(OneOrMore::one(Clone::clone(peer))),
            Ports::Of(OneOrMore::one(port.clone())),
        )
    };
    let atoms: Vec<_> = peers
        .iter()
        .flat_map(|peer| ports.iter().map(move |port| (peer, port)))
        .collect();
    let mut split = Vec::new();
    for (left_out, (_, port)) in atoms.iter().enumerate() {
        let rest = atoms.iter().enumerate().filter(|(index, _)| *index != left_out);
        let rules = rest.map(|(_, (peer, port))| single(peer, port)).collect();
        let flowtape::policy::model::PortMatch::Range(range) = &port.port else {
            panic!("a port without number")
        };
        split.push((format!("{}/{}", range.first(), port.protocol.name()), rules));
    }
    split
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(16))]

    #[test]
    fn every_recorded_connection_is_allowed(lines in lines()) {
        let Run { flows, world, generated } = run(&lines, Dns::Auto);
        prop_assert_eq!(denied(&flows.edges, &generated.set, &world, &BTreeSet::new()), []);
    }

    #[test]
    fn without_any_part_of_any_rule_a_recorded_connection_is_denied_unless_it_is_an_addition(lines in lines()) {
        let Run { flows, world, generated } = run(&lines, Dns::Auto);
        let additions: BTreeSet<String> = generated
            .additions
            .iter()
            .map(|one| format!("{}/{} {} {}", one.namespace, one.policy, one.rule, one.port))
            .collect();
        for (lacking, set) in without_one(&generated.set) {
            let needed = !denied(&flows.edges, &set, &world, &BTreeSet::new()).is_empty();
            prop_assert!(needed || additions.contains(&lacking), "{lacking} is needed by nothing and not named");
        }
    }

    #[test]
    fn without_additions_nothing_is_added(lines in lines()) {
        prop_assert!(run(&lines, Dns::Seen).generated.additions.is_empty());
    }
}
