//! What metadata leaves open: a recorder under another name than its node, an address that the metadata lacks, labels that
//! outlived their template, protocols that no policy names.
#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps nothing has failed, and says where"
)]

use std::net::IpAddr;

use flowtape::findings::{Code, Findings};
use flowtape::flow::{self, Flows};
use flowtape::identity::Role;
use flowtape::identity::cluster::Cluster;
use flowtape::replay::soundness::pair_verdict;
use flowtape::replay::world::world;
use flowtape::synthesis::settings::{DefaultDeny, Dns, Published, Settings};
use flowtape::synthesis::{Generated, synthesize};
use flowtape::tape::Tape;
use flowtape_scenario::{Scenario, tape};
use flowtape_schemas::address::Address;
use flowtape_schemas::node::Direction;

fn compiled(scenario: &str) -> Tape {
    let directory = tempfile::tempdir().unwrap();
    let files = tape::compile(&Scenario::parse(scenario).unwrap()).unwrap();
    tape::write(directory.path(), &files).unwrap();
    flowtape::tape::open(&[directory.path().to_path_buf()], &mut Findings::default()).unwrap()
}

struct Run {
    cluster: Cluster,
    flows: Flows,
    generated: Generated,
    findings: Findings,
}

fn run(tape: &Tape) -> Run {
    let mut findings = Findings::default();
    let cluster = Cluster::new(&tape.cluster, &mut findings);
    let flows = flow::edges(tape, &cluster, &mut findings);
    let settings = Settings {
        default_deny: DefaultDeny::Workload,
        published: Published::Declared,
        dns: Dns::Auto,
        ..Settings::default()
    };
    let generated = synthesize(&flows.edges, &cluster, &settings, &mut findings).unwrap();
    Run {
        cluster,
        flows,
        generated,
        findings,
    }
}

fn messages(findings: &Findings, code: Code) -> Vec<String> {
    let found = findings.list().into_iter().filter(|finding| finding.code == code);
    found.map(|finding| finding.message).collect()
}

fn address(text: &str) -> Address {
    Address::from(text.parse::<IpAddr>().unwrap())
}

const PAIR: &str = "cluster
  node n1 172.31.0.11 pods 10.244.1.0/24
  deployment shop/web labels app=web ports http:8080 probes readiness=http:http
  deployment shop/db labels app=db ports sql:5432
traffic
  node n1 -> shop/web:8080/TCP x6
  shop/web -> shop/db:5432/TCP
";

#[test]
fn a_recorder_under_another_name_still_knows_its_node() {
    let mut tape = compiled(PAIR);
    // Probes come from the bridge of the pods, an address that no Node object lists.
    let (own, bridge) = (address("172.31.0.11"), address("10.244.1.1"));
    for node in &mut tape.nodes {
        node.name = "ip-10-0-0-1".to_owned();
        for row in &mut node.flows {
            for side in [&mut row.local_ip, &mut row.remote_ip] {
                *side = side.map(|address| if address == own { bridge } else { address });
            }
        }
    }
    let run = run(&tape);
    let probes = run
        .flows
        .edges
        .iter()
        .filter(|edge| edge.key.from.role == Some(Role::Kubelet));
    assert_eq!(probes.count(), 1);
    assert_eq!(messages(&run.findings, Code::UnknownPeer), [""; 0]);
}

/// The number of a namespace belongs to the next pod as soon as the one before is gone, and a pod that lived shortly may be in
/// no row of the table that says whose it was.
#[test]
fn a_namespace_number_that_was_given_away_does_not_say_more_than_the_control_group() {
    let mut tape = compiled(
        "cluster
  node n1 172.31.0.11 pods 10.244.1.0/24
  pod shop/first labels app=first ports 7000 to 10s
  pod shop/second labels app=second ports 7000 from 11s to 12s
  deployment shop/client labels app=client
traffic
  shop/client -> shop/first:7000 x2 at 9s
  shop/client -> shop/second:7000 x3 at 11500ms
  shop/second -> shop/client:8080 at 11500ms",
    );
    let uid = |name: &str| {
        tape.cluster
            .pods
            .iter()
            .find(|row| row.name == name)
            .unwrap()
            .uid
            .clone()
    };
    let (first, second) = (uid("first"), uid("second"));
    let number = |uid: &str| {
        let rows = tape.nodes[0].netns.iter();
        let own = rows.filter(|row| row.pod_uid.as_deref() == Some(uid));
        own.map(|row| row.netns).next().unwrap()
    };
    let (kept, given) = (number(&first), number(&second));
    for node in &mut tape.nodes {
        node.netns.retain(|row| row.pod_uid.as_deref() != Some(&second));
        for row in node.flows.iter_mut().filter(|row| row.netns == Some(given)) {
            row.netns = Some(kept);
        }
    }
    let run = run(&tape);
    let edges: Vec<String> = run
        .flows
        .edges
        .iter()
        .map(|edge| format!("{edge} x{}", edge.evidence.count))
        .collect();
    assert_eq!(
        edges,
        [
            "shop/Deployment/client -> shop/Pod/first 7000/TCP x2",
            "shop/Deployment/client -> shop/Pod/second 7000/TCP x3",
            "shop/Pod/second -> shop/Deployment/client 8080/TCP x1",
        ]
    );
}

#[test]
fn an_address_that_each_node_has_is_that_of_the_node_it_was_seen_on() {
    let mut tape = compiled(
        "cluster
  node n1 172.31.0.11 pods 10.244.1.0/24
  node n2 172.31.0.12 pods 10.244.2.0/24
  deployment shop/web replicas 2 on n1,n2 ports http:8080 probes readiness=http:http
  deployment shop/far on n1 ports http:8080
traffic
  node n1 -> shop/web/0:8080/TCP x6
  node n2 -> shop/web/1:8080/TCP x6
  shop/far -> address 198.51.100.1:80/TCP
",
    );
    // The bridge of the pods has the same address everywhere, and no Node object lists it.
    let bridge = address("198.51.100.1");
    let own = [address("172.31.0.11"), address("172.31.0.12")];
    for row in tape.nodes.iter_mut().flat_map(|node| &mut node.flows) {
        for side in [&mut row.local_ip, &mut row.remote_ip] {
            *side = side.map(|address| if own.contains(&address) { bridge } else { address });
        }
    }
    let edges = run(&tape).flows.edges;
    let text: Vec<String> = edges.iter().map(ToString::to_string).collect();
    assert_eq!(
        text,
        [
            "shop/Deployment/far -> node:n1 80/TCP",
            "node:n1 [kubelet] -> shop/Deployment/web 8080/TCP",
            "node:n2 [kubelet] -> shop/Deployment/web 8080/TCP",
        ]
    );
}

#[test]
fn a_wildcard_is_nobody() {
    let mut tape = compiled(PAIR);
    for row in &mut tape.nodes[0].flows {
        if row.direction == Direction::Out && row.service_port == Some(5432) {
            row.remote_ip = Some(address("0.0.0.0"));
        }
    }
    assert_eq!(
        messages(&run(&tape).findings, Code::UnknownPeer),
        ["shop/Deployment/web -> unknown (no-address) 5432/TCP"]
    );
}

#[test]
fn a_pod_without_an_address_of_the_family_in_use_is_judged_all_the_same() {
    let mut tape = compiled(
        "cluster
  node n1 172.31.0.11 fd00:172::11 pods 10.244.1.0/24 fd00:244:1::/64
  external 2001:db8::7
  deployment shop/web labels app=web
traffic
  shop/web -> external [2001:db8::7]:443/TCP ipv6
",
    );
    for pod in &mut tape.cluster.pods {
        pod.pod_ips.retain(|address| address.ip().is_ipv4());
    }
    let Run {
        cluster,
        flows,
        generated,
        ..
    } = run(&tape);
    let [edge] = flows.edges.as_slice() else {
        panic!("{:?}", flows.edges)
    };
    let pair = edge.evidence.pairs.iter().next().unwrap();
    let verdict = |set| pair_verdict(&edge.key, pair, set, &world(&cluster)).map(|verdict| verdict.allowed());
    assert_eq!(verdict(&generated.set), Some(true));
    let mut policies = generated.set.policies().to_vec();
    policies[0].egress = Some(Vec::new());
    let denying = flowtape::policy::model::PolicySet::new(policies).unwrap();
    assert_eq!(verdict(&denying), Some(false), "no proof passes for want of an address");
}

#[test]
fn a_pod_that_kept_a_label_of_an_earlier_template_is_found_by_the_proof() {
    let mut tape = compiled(PAIR);
    for pod in tape.cluster.pods.iter_mut().filter(|pod| pod.name.starts_with("db")) {
        pod.labels.insert("app".to_owned(), "web".to_owned());
    }
    assert_eq!(
        messages(&run(&tape).findings, Code::SelectorOverlap),
        [
            "the selector of shop/Deployment/db misses its pod shop/".to_owned() + &db_pod(&tape),
            "the selector of shop/Deployment/web also selects pods of shop/Deployment/db".to_owned(),
        ]
    );
}

fn db_pod(tape: &Tape) -> String {
    let mut pods = tape.cluster.pods.iter();
    pods.find(|pod| pod.name.starts_with("db")).unwrap().name.clone()
}

#[test]
fn a_protocol_that_no_policy_names_is_said() {
    let mut tape = compiled(PAIR);
    for row in &mut tape.nodes[0].flows {
        if row.service_port == Some(5432) {
            row.protocol = 33;
        }
    }
    assert_eq!(
        messages(&run(&tape).findings, Code::LeftOut),
        ["shop/Deployment/web -> shop/Deployment/db 5432/IP-33: no NetworkPolicy can name this protocol"]
    );
}

#[test]
fn traffic_to_a_service_whose_backends_are_unknown_gets_no_rule_and_a_finding() {
    let mut tape = compiled(
        "cluster
  node n1 172.31.0.11 pods 10.244.1.0/24
  deployment shop/web labels app=web
  deployment shop/db labels app=db ports sql:5432
  service shop/db 10.96.0.20 selects app=db ports sql:5432->sql
traffic
  shop/web -> service shop/db:5432/TCP x3 seen-by client
",
    );
    tape.cluster.endpoint_slices.clear();
    assert_eq!(
        messages(&run(&tape).findings, Code::ServiceUnresolved),
        ["shop/Deployment/web -> shop/Service/db 5432/TCP"]
    );
}

#[test]
fn what_goes_to_a_service_port_that_is_renamed_meanwhile_counts_once() {
    let mut tape = compiled(
        "cluster
  node n1 172.31.0.11 pods 10.244.1.0/24
  node n2 172.31.0.12 pods 10.244.2.0/24 unrecorded
  deployment shop/web on n1
  deployment shop/db on n2 ports sql:5432
  service shop/db 10.96.0.20 selects app=db ports sql:5432->sql
traffic
  shop/web -> service shop/db:5432/TCP x3 at 11s..19s
",
    );
    let middle = Some(tape.nodes[0].flows[0].first_seen.saturating_add(4_000_000_000));
    let cluster = &mut tape.cluster;
    let (mut service, mut slice) = (cluster.services[0].clone(), cluster.endpoint_slices[0].clone());
    (service.valid_from, slice.valid_from) = (middle, middle);
    service.ports[0].name = Some("mysql".to_owned());
    slice.ports[0].name = Some("mysql".to_owned());
    (cluster.services[0].valid_to, cluster.endpoint_slices[0].valid_to) = (middle, middle);
    cluster.services.push(service);
    cluster.endpoint_slices.push(slice);
    let flows = run(&tape).flows;
    let [edge] = flows.edges.as_slice() else {
        panic!("{:?}", flows.edges)
    };
    assert_eq!((edge.evidence.count, edge.evidence.services.len()), (3, 1));
    assert!(!edge.evidence.assumed);
}

#[test]
fn a_name_server_reached_under_two_addresses_is_one_edge_with_all_its_evidence() {
    let mut tape = compiled(
        "cluster
  node n1 172.31.0.11 pods 10.244.1.0/24
  deployment shop/web labels app=web
  service kube-system/dns 10.96.0.10 endpoints 172.31.0.11 ports dns:53/UDP
traffic
  shop/web -> service kube-system/dns:53/UDP x3
",
    );
    let flows = &mut tape.nodes[0].flows;
    let mut cached = flows.iter().find(|row| row.direction == Direction::In).unwrap().clone();
    (cached.local_ip, cached.count) = (Some(address("169.254.20.10")), 100);
    flows.push(cached);
    let flows = run(&tape).flows;
    let [edge] = flows.edges.as_slice() else {
        panic!("{:?}", flows.edges)
    };
    assert_eq!((edge.key.to.role, edge.evidence.count), (Some(Role::Dns), 103));
    assert_eq!(edge.evidence.pairs.len(), 2);
}
