//! What Cilium has names for: addresses outside, nodes, the API server and everybody outside.

use std::collections::{BTreeMap, BTreeSet};

use flowtape::policy::cidr::Cidr;
use flowtape::policy::kind::PolicyKind;
use flowtape::policy::landmark::Landmarks;
use flowtape::policy::model::{Peer, Peers, Policy, PortMatch, PortRule, Ports, Rule};
use flowtape::policy::one_or_more::OneOrMore;
use flowtape::policy::ports::{PortRange, Protocol};
use flowtape::policy::select::Selector;
use flowtape::render::kind::{Effect, Kind, Rendered, render};

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

fn rule(peers: &[Peer], ports: &[(Protocol, u16)]) -> Rule {
    let port = |(protocol, port): &(Protocol, u16)| PortRule {
        protocol: *protocol,
        port: PortMatch::Range(PortRange::single(*port).unwrap()),
    };
    Rule::new(
        Peers::Of(OneOrMore::new(peers.to_vec()).unwrap()),
        Ports::Of(OneOrMore::new(ports.iter().map(port)).unwrap()),
    )
}

fn dns_pods() -> Peer {
    Peer::pods_in(
        Selector::from_labels([("kubernetes.io/metadata.name", "kube-system")]),
        Selector::from_labels([("k8s-app", "kube-dns")]),
    )
}

fn web(egress: Vec<Rule>) -> Policy {
    Policy {
        kind: PolicyKind::NetworkPolicy,
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
        subject: Selector::from_labels([("app", "web")]),
        ingress: None,
        egress: Some(egress),
        notes: Vec::new(),
        source: None,
    }
}

fn landmarks() -> Landmarks {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let server = |protocol| ("shop".to_owned(), dns_pods(), protocol, 53);
    Landmarks {
        names: BTreeMap::from([
            (
                cidr("198.51.100.20/32"),
                names(&["Pay.Example.com.", "pay2.example.com"]),
            ),
            (cidr("198.51.100.21/32"), names(&["not a name"])),
        ]),
        name_servers: [Protocol::Tcp, Protocol::Udp].map(server).into(),
        ..Landmarks::default()
    }
}

fn text(rendered: &Rendered) -> String {
    let text = rendered.manifests[0].text();
    text.split_once("  egress:\n").unwrap().1.to_owned()
}

fn outside() -> Rule {
    let addresses = ["198.51.100.20/32", "198.51.100.21/32", "203.0.113.7/32"];
    rule(
        &addresses.map(|address| Peer::block(cidr(address))),
        &[(Protocol::Tcp, 443)],
    )
}

#[test]
fn addresses_whose_names_are_known_are_named_and_the_names_are_listened_for() {
    let asked = rule(
        &[dns_pods()],
        &[(Protocol::Tcp, 53), (Protocol::Udp, 53), (Protocol::Tcp, 9153)],
    );
    let rendered = render(Kind::Cilium, &web(vec![asked, outside()]), &landmarks()).unwrap();
    assert_eq!(
        text(&rendered),
        r#"  - toEndpoints:
    - matchLabels:
        k8s-app: kube-dns
        "k8s:io.kubernetes.pod.namespace": kube-system
    toPorts:
    - ports:
      - port: "53"
        protocol: TCP
      - port: "53"
        protocol: UDP
      rules:
        dns:
        - matchPattern: "*"
    - ports:
      - port: "9153"
        protocol: TCP
  - toFQDNs:
    - matchName: pay.example.com
    - matchName: pay2.example.com
    toPorts:
    - ports:
      - port: "443"
        protocol: TCP
  - toCIDR:
    - 198.51.100.21/32
    - 203.0.113.7/32
    toPorts:
    - ports:
      - port: "443"
        protocol: TCP
"#
    );
    let wider: Vec<&str> = rendered
        .shortfalls
        .iter()
        .map(|shortfall| shortfall.what.as_str())
        .collect();
    assert!(
        rendered
            .shortfalls
            .iter()
            .all(|shortfall| shortfall.effect == Effect::Wider)
    );
    assert_eq!(
        wider,
        [
            "`pay.example.com` allows every address that it resolves to",
            "`pay2.example.com` allows every address that it resolves to"
        ]
    );
}

#[test]
fn without_a_rule_to_name_servers_addresses_stay_addresses() {
    let rendered = render(Kind::Cilium, &web(vec![outside()]), &landmarks()).unwrap();
    assert!(!text(&rendered).contains("toFQDNs") && text(&rendered).contains("198.51.100.20/32"));
    assert_eq!(rendered.shortfalls, vec![]);
}

#[test]
fn where_no_name_is_known_nobody_listens() {
    let asked = rule(&[dns_pods()], &[(Protocol::Udp, 53)]);
    let nameless = Landmarks {
        names: BTreeMap::new(),
        ..landmarks()
    };
    let rendered = render(Kind::Cilium, &web(vec![asked, outside()]), &nameless).unwrap();
    assert!(!text(&rendered).contains("dns:"));
}

#[test]
fn a_label_that_is_no_part_of_an_identity_is_said() {
    let peer = Peer::pods(Selector::from_labels([("pod-template-hash", "abc")]));
    let rendered = render(
        Kind::Cilium,
        &web(vec![rule(&[peer], &[(Protocol::Tcp, 80)])]),
        &landmarks(),
    )
    .unwrap();
    let said: Vec<(Effect, Option<&str>)> = rendered
        .shortfalls
        .iter()
        .map(|shortfall| (shortfall.effect, shortfall.rule.as_deref()))
        .collect();
    assert_eq!(said, [(Effect::Narrower, Some("egress/0"))]);
}

#[test]
fn the_limits_of_each_kind_are_kept() {
    let peers: Vec<Peer> = (0..60)
        .map(|number| Peer::pods(Selector::from_labels([("app", format!("a{number}"))])))
        .collect();
    let ports: Vec<(Protocol, u16)> = (1..=90).map(|port| (Protocol::Tcp, port * 2)).collect();
    let policy = web(vec![rule(&peers, &ports); 4]);
    let cilium = &render(Kind::Cilium, &policy, &landmarks()).unwrap().manifests[0];
    let cilium = cilium.json().unwrap();
    let lists = cilium["spec"]["egress"][0]["toPorts"].as_array().unwrap();
    assert_eq!(
        lists
            .iter()
            .map(|list| list["ports"].as_array().unwrap().len())
            .collect::<Vec<_>>(),
        [40, 40, 10]
    );
    let calico = &render(Kind::Calico, &policy, &landmarks()).unwrap().manifests[0];
    let calico = calico.json().unwrap();
    let rules = calico["spec"]["egress"].as_array().unwrap();
    assert!(
        rules
            .iter()
            .all(|rule| rule["destination"]["ports"].as_array().unwrap().len() <= 50)
    );
    let cluster = render(Kind::Cluster, &policy, &landmarks()).unwrap().manifests;
    let names: Vec<&str> = cluster.iter().map(|manifest| manifest.name.as_str()).collect();
    assert_eq!(names, ["allow.shop.web", "allow-2.shop.web", "deny.shop.web"]);
    assert!(
        cluster
            .iter()
            .all(|manifest| manifest.json().unwrap()["spec"]["egress"].as_array().unwrap().len() <= 25)
    );
}
