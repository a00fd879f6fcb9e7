//! The proof that goes with every generated set, on random clusters and traffic: sound, tight and closed. Each part of it is
//! compared with nested loops, and fails on a set that was made wrong.
#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps nothing has failed, and says where"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use flowtape::findings::Findings;
use flowtape::flow::{self, Flows};
use flowtape::identity::cluster::Cluster;
use flowtape::policy::model::{Direction, Peer, Peers, Policy, PolicySet, PortMatch, PortRule, Ports, Rule};
use flowtape::policy::one_or_more::OneOrMore;
use flowtape::policy::ports::{PortRange, Protocol};
use flowtape::policy::profile::Profile;
use flowtape::policy::select::Selector;
use flowtape::replay::proof::{Proof, Stated, prove};
use flowtape::replay::soundness::denied;
use flowtape::replay::world::world;
use flowtape::semantics::eval::RuleId;
use flowtape::semantics::index::Part;
use flowtape::semantics::world::World;
use flowtape::synthesis::additions::Addition;
use flowtape::synthesis::settings::{DefaultDeny, Dns, Published, Settings};
use flowtape::synthesis::{Generated, synthesize};
use flowtape_scenario::{Scenario, tape};
use proptest::prelude::{ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, proptest};
use proptest::sample::select;

/// One line of traffic: client and server by number, how it goes there, and over how many connections.
type Line = (usize, usize, usize, u8);

const WORKLOADS: [&str; 6] = ["a/w0", "a/w1", "a/w2", "b/w3", "b/w4", "b/w5"];

fn scenario(lines: &[Line]) -> String {
    let mut text = String::from(
        "cluster\n node n1 172.31.0.11 pods 10.244.1.0/24\n node n2 172.31.0.12 pods 10.244.2.0/24\n\
         external 203.0.113.7\n\
         service default/kubernetes 10.96.0.1 endpoints 172.31.0.11,172.31.0.12 ports https:443->6443\n\
         daemonset ops/agent host-network labels app=agent ports metrics:9100\n\
         deployment kube-system/coredns labels k8s-app=kube-dns ports dns:53/UDP,dns-tcp:53\n\
         service kube-system/kube-dns 10.96.0.10 selects k8s-app=kube-dns ports dns:53/UDP,dns-tcp:53\n",
    );
    for (number, workload) in WORKLOADS.iter().enumerate() {
        let name = workload.split_once('/').unwrap().1;
        // Two of each namespace share a label, and the first selects by it alone, so that its selector takes in both.
        let selector = if number % 3 == 0 { " selects part=shared" } else { "" };
        let part = if number % 3 < 2 { ",part=shared" } else { "" };
        let _ = writeln!(
            text,
            "deployment {workload} replicas 2 on n1,n2 labels app={name}{part}{selector} ports http:80{number}0"
        );
        let outside = if number == 5 { " load-balancer 198.51.100.1" } else { "" };
        let _ = writeln!(
            text,
            "service {workload} 10.96.1.{} selects app={name} ports 80->http{outside}",
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
            6 => format!("ops/agent -> {server}:80{number}0/TCP"),
            7 => format!("{client} -> service default/kubernetes:443/TCP"),
            8 => format!("{client} -> {server}:5{number}00/UDP unknown"),
            9 => format!("{client} -> node n1:9100/TCP"),
            _ => format!("{client} -> {server}:9999/TCP refused"),
        };
        let _ = writeln!(text, "{line} x{count}");
    }
    text
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let line = (0..WORKLOADS.len(), 0..WORKLOADS.len(), 0..11usize, 1..5u8);
    prop::collection::vec(
        line.prop_filter("a pod needs no rule to reach itself", |line| line.0 != line.1),
        1..8,
    )
}

struct Run {
    flows: Flows,
    cluster: Cluster,
    world: World,
    generated: Generated,
}

impl Run {
    fn proof(&self, set: &PolicySet) -> Proof {
        let added: BTreeSet<Part> = self.generated.additions.iter().map(|one| part(set, one)).collect();
        let stated = Stated {
            left_out: &self.generated.left_out,
            added: &added,
            overlaps: &self.generated.overlaps,
        };
        prove(&self.flows.edges, &self.cluster, set, &self.world, stated)
    }
}

/// Where a set has what an addition names.
fn part(set: &PolicySet, addition: &Addition) -> Part {
    let Addition {
        namespace,
        policy,
        direction,
        index,
        kind: _,
        peer,
        port,
        beyond: _,
    } = addition;
    let named = |one: &Policy| one.namespace == *namespace && one.name == *policy;
    let position = set.iter().position(named).unwrap();
    let rule = &set.policies()[position].rules(*direction).unwrap()[*index];
    let (Peers::Of(peers), Ports::Of(ports)) = (&rule.peers, &rule.ports) else {
        panic!("any peer or any port")
    };
    Part {
        policy: position,
        rule: RuleId {
            direction: *direction,
            index: *index,
        },
        peer: peers.iter().position(|one| one == peer).unwrap(),
        port: ports.iter().position(|one| one == port).unwrap(),
    }
}

fn settings() -> impl Strategy<Value = Settings> {
    let default_deny = select(vec![DefaultDeny::None, DefaultDeny::Workload, DefaultDeny::Namespace]);
    let published = select(vec![Published::Declared, Published::Seen, Published::Off]);
    let dns = select(vec![Dns::Auto, Dns::Seen, Dns::Off]);
    let only = select(vec![vec![], vec!["a"], vec!["a", "b"]]);
    let exclude = select(vec![vec![], vec![], vec!["b/w4", "type:external"]]);
    let widen = select(vec![
        vec![],
        vec!["cidr=1,64", "ports=40"],
        vec!["namespace", "nodes"],
        vec!["range=203.0.113.0/24", "nodes=172.31.0.0/16", "ports=65535"],
    ]);
    let cni = select(vec![Profile::Generic, Profile::AwsVpcCni]);
    let rest = (any::<bool>(), any::<bool>(), select(vec![1, 3]), cni);
    (default_deny, published, dns, only, exclude, widen, rest).prop_map(
        |(default_deny, published, dns, only, exclude, widen, (include_failed, split_directions, min_count, cni))| {
            Settings {
                default_deny,
                published,
                dns,
                include_failed,
                min_count,
                exclude: exclude.into_iter().map(|text| text.parse().unwrap()).collect(),
                widenings: widen.into_iter().map(|text| text.parse().unwrap()).collect(),
                split_directions,
                cni,
                namespaces: only.into_iter().map(str::to_owned).collect(),
                ..Settings::default()
            }
        },
    )
}

fn run(lines: &[Line], settings: &Settings) -> Run {
    let directory = tempfile::tempdir().unwrap();
    let files = tape::compile(&Scenario::parse(&scenario(lines)).unwrap()).unwrap();
    tape::write(directory.path(), &files).unwrap();
    let mut findings = Findings::default();
    let tape = flowtape::tape::open(&[directory.path().to_path_buf()], &mut findings).unwrap();
    let cluster = Cluster::new(&tape.cluster, &mut findings);
    let flows = flow::edges(&tape, &cluster, &mut findings);
    let generated = synthesize(&flows.edges, &cluster, settings, &mut findings).unwrap();
    Run {
        world: world(&cluster),
        flows,
        cluster,
        generated,
    }
}

/// Every part of every rule, with the set that lacks it.
fn without_one(set: &PolicySet) -> Vec<(Part, PolicySet)> {
    let mut smaller = Vec::new();
    for (policy, of) in set.iter().enumerate() {
        for direction in [Direction::Ingress, Direction::Egress] {
            for (index, rule) in of.rules(direction).unwrap_or_default().iter().enumerate() {
                for (peer, port, rest) in split(rule) {
                    let rule = RuleId { direction, index };
                    let part = Part {
                        policy,
                        rule,
                        peer,
                        port,
                    };
                    smaller.push((part, changed(set, part, &rest)));
                }
            }
        }
    }
    smaller
}

/// The set with other rules in place of one.
fn changed(set: &PolicySet, at: Part, by: &[Rule]) -> PolicySet {
    let mut policies = set.policies().to_vec();
    let policy = &mut policies[at.policy];
    let rules = match at.rule.direction {
        Direction::Ingress => &mut policy.ingress,
        Direction::Egress => &mut policy.egress,
    };
    let rules = rules.as_mut().unwrap();
    rules.splice(at.rule.index..=at.rule.index, by.iter().cloned());
    PolicySet::new(policies).unwrap()
}

/// For each peer and port of a rule, the rules that allow all the rest.
fn split(rule: &Rule) -> Vec<(usize, usize, Vec<Rule>)> {
    let (Peers::Of(peers), Ports::Of(ports)) = (&rule.peers, &rule.ports) else {
        panic!("any peer or any port")
    };
    let single = |peer: &Peer, port: &PortRule| {
        Rule::new(
            Peers::Of(OneOrMore::one(peer.clone())),
            Ports::Of(OneOrMore::one(port.clone())),
        )
    };
    let places = |count: usize| 0..count;
    let all: Vec<(usize, usize)> = places(peers.iter().count())
        .flat_map(|peer| places(ports.iter().count()).map(move |port| (peer, port)))
        .collect();
    let rest = |lacking: (usize, usize)| {
        let rest = all.iter().filter(|place| **place != lacking);
        let rest = rest.map(|(peer, port)| single(peers.iter().nth(*peer).unwrap(), ports.iter().nth(*port).unwrap()));
        rest.collect()
    };
    all.iter().map(|place| (place.0, place.1, rest(*place))).collect()
}

/// The rule with one more port, which nothing in these clusters uses.
fn with_a_port(rule: &Rule) -> Rule {
    let Ports::Of(ports) = &rule.ports else {
        panic!("any port")
    };
    let more = PortRule {
        protocol: Protocol::Tcp,
        port: PortMatch::Range(PortRange::single(7777).unwrap()),
    };
    let ports = OneOrMore::new(ports.iter().cloned().chain([more])).unwrap();
    Rule {
        ports: Ports::Of(ports),
        ..rule.clone()
    }
}

/// The rule with every pod of the same namespaces in place of its pods; `None` if it has none.
fn with_all_pods(rule: &Rule) -> Option<Rule> {
    let Peers::Of(peers) = &rule.peers else {
        panic!("any peer")
    };
    let widened = |peer: &Peer| match peer {
        Peer::Pods { namespaces, pods: _ } => Peer::Pods {
            namespaces: namespaces.clone(),
            pods: Selector::everything(),
        },
        Peer::Block { .. } | Peer::Entity(_) => peer.clone(),
    };
    let wide = OneOrMore::new(peers.iter().map(widened)).unwrap();
    (wide != *peers).then(|| Rule {
        peers: Peers::Of(wide),
        ..rule.clone()
    })
}

/// Traffic between two ends that are both left out, one of which the selector of a third takes in.
#[test]
fn what_is_left_out_at_both_ends_is_left_out_by_choice() {
    let settings = Settings {
        exclude: vec!["b/w4".parse().unwrap(), "type:external".parse().unwrap()],
        ..Settings::default()
    };
    let run = run(&[(3, 0, 0, 1), (0, 4, 4, 1)], &settings);
    let denied = denied(
        &run.flows.edges,
        &run.generated.set,
        &run.world,
        &run.generated.left_out,
    );
    assert_eq!((denied, run.generated.left_out.len()), (Vec::new(), 1));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(16) })]

    #[test]
    fn every_recorded_connection_is_allowed(lines in lines(), settings in settings()) {
        let run = run(&lines, &settings);
        let Run { flows, world, generated, .. } = &run;
        prop_assert_eq!(denied(&flows.edges, &generated.set, world, &generated.left_out), []);
        let proof = run.proof(&generated.set);
        prop_assert!(proof.holds(), "{proof:?}");
    }

    #[test]
    fn without_any_part_of_any_rule_a_recorded_connection_is_denied_unless_it_is_an_addition(
        lines in lines(), settings in settings(),
    ) {
        let run = run(&lines, &settings);
        let Run { flows, world, generated, .. } = &run;
        let added: BTreeSet<Part> = generated.additions.iter().map(|one| part(&generated.set, one)).collect();
        let mut needed: BTreeMap<(usize, RuleId), u64> = BTreeMap::new();
        for (lacking, set) in without_one(&generated.set) {
            let count = needed.entry((lacking.policy, lacking.rule)).or_default();
            let loses = !denied(&flows.edges, &set, world, &generated.left_out).is_empty();
            prop_assert!(
                loses || added.contains(&lacking) || !generated.overlaps.is_empty(),
                "{lacking:?} is needed by nothing and not named"
            );
            *count += u64::from(loses && !added.contains(&lacking));
        }
        for rule in run.proof(&generated.set).rules {
            prop_assert_eq!(Some(&rule.observed), needed.get(&(rule.policy, rule.rule)), "{:?}", rule);
        }
    }

    #[test]
    fn a_set_that_was_made_wrong_is_found_out(lines in lines(), settings in settings()) {
        let run = run(&lines, &settings);
        let set = &run.generated.set;
        let first = |part: &Part| part.peer == 0 && part.port == 0;
        let rules: Vec<Part> = without_one(set).into_iter().map(|(part, _)| part).filter(first).collect();
        for at in rules {
            let rule = &set.policies()[at.policy].rules(at.rule.direction).unwrap()[at.rule.index];
            prop_assert!(!run.proof(&changed(set, at, &[with_a_port(rule)])).tight(), "{at:?}");
            let bare = Stated { left_out: &run.generated.left_out, added: &BTreeSet::new(), overlaps: &BTreeSet::new() };
            if let Some(wide) = with_all_pods(rule) {
                let wide = changed(set, at, &[wide]);
                let proof = prove(&run.flows.edges, &run.cluster, &wide, &run.world, bare);
                prop_assert!(!proof.closed() || !proof.tight(), "{at:?}");
            }
        }
    }

    #[test]
    fn without_additions_nothing_is_added(lines in lines(), settings in settings()) {
        let settings = Settings {
            dns: Dns::Seen,
            published: Published::Seen,
            include_failed: false,
            cni: Profile::Generic,
            widenings: Vec::new(),
            ..settings
        };
        let words: BTreeSet<&str> =
            run(&lines, &settings).generated.additions.iter().map(|addition| addition.kind.word()).collect();
        prop_assert!(words.iter().all(|word| ["api-server", "node"].contains(word)), "{words:?}");
    }
}
