//! The evaluator: the cases in which implementations go astray.

use std::collections::BTreeMap;
use std::net::IpAddr;

use flowtape::parse::kubernetes;
use flowtape::policy::ports::Protocol;
use flowtape::policy::select::Labels;
use flowtape::semantics::eval::{Basis, Connection, eval};
use flowtape::semantics::world::{Endpoint, NamedPort, Pod, World, WorldError};

/// A pod with a network of its own and the port `http`, 8/TCP.
pub(crate) fn pod(namespace: &str, name: &str, labels: Labels, address: IpAddr) -> Pod {
    Pod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        labels,
        addresses: vec![address],
        host_network: false,
        node: None,
        ports: vec![NamedPort {
            name: "http".to_owned(),
            protocol: Protocol::Tcp,
            port: 8,
        }],
    }
}

/// A small cluster: `shop/web` and `shop/db` on node `n1`, `shop/agent` on the network of `n1`, `shop/other` on that of
/// `n2`; nodes at 192.0.2.1 and 192.0.2.2.
fn cluster() -> World {
    let label = |value: &str| Labels::from([("app".to_owned(), value.to_owned())]);
    let node = |number: u8| IpAddr::from([192, 0, 2, number]);
    let on = |node: &str, pod: Pod| Pod {
        node: Some(node.to_owned()),
        ..pod
    };
    let host = |pod: Pod| Pod {
        host_network: true,
        ..pod
    };
    let mut db = on("n1", pod("shop", "db", label("db"), IpAddr::from([10, 0, 0, 2])));
    db.ports = vec![
        NamedPort {
            name: "sql".to_owned(),
            protocol: Protocol::Tcp,
            port: 3306,
        },
        NamedPort {
            name: "dns".to_owned(),
            protocol: Protocol::Udp,
            port: 53,
        },
        NamedPort {
            name: "dns".to_owned(),
            protocol: Protocol::Tcp,
            port: 5353,
        },
    ];
    let mut sibling = host(on("n2", pod("shop", "sibling", label("db"), node(2))));
    sibling.addresses.clear();
    let pods = [
        on("n1", pod("shop", "web", label("web"), IpAddr::from([10, 0, 0, 1]))),
        db,
        host(on("n1", pod("shop", "agent", label("web"), node(1)))),
        host(on("n2", pod("shop", "other", label("web"), node(2)))),
        sibling,
    ];
    let nodes = BTreeMap::from([("n1".to_owned(), vec![node(1)]), ("n2".to_owned(), vec![node(2)])]);
    World::new(BTreeMap::from([("shop".to_owned(), Labels::new())]), pods, nodes).unwrap()
}

/// The basis of both sides, egress first, for `from` to `to` under `spec` in `shop`. Names are pods of [`cluster`].
fn judged(spec: &str, from: &str, to: &str, protocol: Protocol, port: u16) -> (Basis, Basis) {
    let text = format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p, namespace: shop}}\nspec: {spec}\n"
    );
    let set = kubernetes::parse([("p.yaml", text.as_str())]).unwrap().set;
    let world = cluster();
    let end = |name: &str| match name.parse() {
        Ok(address) => Endpoint::Address(address),
        Err(_) => world.endpoint(world.pod("shop", name).unwrap()),
    };
    let verdict = eval(
        &set,
        &world,
        &Connection {
            from: end(from),
            to: end(to),
            protocol,
            port,
        },
    );
    (verdict.egress.basis, verdict.ingress.basis)
}

fn tcp(spec: &str, from: &str, to: &str, port: u16) -> (Basis, Basis) {
    judged(spec, from, to, Protocol::Tcp, port)
}

const DENY_INGRESS: &str = "{policyTypes: [Ingress]}";
const DENY_ALL: &str = "{policyTypes: [Ingress, Egress]}";

#[test]
fn a_pod_reaches_itself_and_is_reached_from_its_node() {
    assert_eq!(tcp(DENY_ALL, "web", "web", 80), (Basis::SamePod, Basis::SamePod));
    assert_eq!(
        tcp(DENY_ALL, "192.0.2.1", "web", 80),
        (Basis::NotSubject, Basis::OwnNode)
    );
    assert_eq!(tcp(DENY_ALL, "agent", "web", 80), (Basis::NotSubject, Basis::OwnNode));
    // Another node, a pod on its network, and the way back are not excepted.
    assert_eq!(
        tcp(DENY_ALL, "192.0.2.2", "web", 80),
        (Basis::NotSubject, Basis::NoRule)
    );
    assert_eq!(tcp(DENY_ALL, "other", "web", 80), (Basis::NotSubject, Basis::NoRule));
    assert_eq!(
        tcp(DENY_ALL, "web", "192.0.2.1", 80),
        (Basis::NoRule, Basis::NotSubject)
    );
}

#[test]
fn pods_on_the_network_of_a_node_are_their_nodes_address() {
    // `other` has the labels that the selector wants, and is not selected.
    let by_label = "{ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}";
    assert_eq!(tcp(by_label, "web", "db", 80).1, Basis::Rule);
    assert_eq!(tcp(by_label, "other", "db", 80).1, Basis::NoRule);
    let by_address = "{ingress: [{from: [{ipBlock: {cidr: 192.0.2.2/32}}]}]}";
    assert_eq!(tcp(by_address, "other", "db", 80).1, Basis::Rule);
    // A pod that lists no address has that of its node.
    assert_eq!(tcp(by_address, "sibling", "db", 80).1, Basis::Rule);
    // Nor is it a subject.
    assert_eq!(
        tcp(DENY_ALL, "other", "sibling", 80),
        (Basis::NotSubject, Basis::NotSubject)
    );
}

#[test]
fn an_ip_block_matches_pods_by_their_own_address() {
    let block = "{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/24, except: [10.0.0.4/30]}}]}]}";
    assert_eq!(tcp(block, "web", "db", 80).1, Basis::Rule);
    assert_eq!(tcp(block, "10.0.0.3", "db", 80).1, Basis::Rule);
    assert_eq!(tcp(block, "10.0.0.5", "db", 80).1, Basis::NoRule);
    assert_eq!(tcp(block, "10.0.1.1", "db", 80).1, Basis::NoRule);
    assert_eq!(tcp(block, "::ffff:10.0.0.3", "db", 80).1, Basis::Rule);
    assert_eq!(tcp(block, "2001:db8::1", "db", 80).1, Basis::NoRule);
}

#[test]
fn named_ports_are_those_of_the_destination_and_of_the_protocol() {
    let ingress = "{ingress: [{ports: [{port: dns, protocol: UDP}]}]}";
    assert_eq!(judged(ingress, "web", "db", Protocol::Udp, 53).1, Basis::Rule);
    assert_eq!(judged(ingress, "web", "db", Protocol::Udp, 5353).1, Basis::NoRule);
    assert_eq!(judged(ingress, "web", "db", Protocol::Tcp, 53).1, Basis::NoRule);
    let egress = "{policyTypes: [Egress], egress: [{ports: [{port: sql}]}]}";
    assert_eq!(tcp(egress, "web", "db", 3306).0, Basis::Rule);
    // The source has no such port, and neither has an address or a node.
    assert_eq!(tcp(egress, "db", "web", 3306).0, Basis::NoRule);
    assert_eq!(tcp(egress, "web", "203.0.113.7", 3306).0, Basis::NoRule);
    assert_eq!(
        tcp(
            "{policyTypes: [Egress], egress: [{ports: [{port: http}]}]}",
            "db",
            "other",
            8
        )
        .0,
        Basis::NoRule
    );
}

#[test]
fn ports_have_ends_and_protocols() {
    let range = "{ingress: [{ports: [{port: 80, endPort: 90}]}]}";
    let basis = |port| tcp(range, "web", "db", port).1;
    assert_eq!(
        [79, 80, 90, 91].map(basis),
        [Basis::NoRule, Basis::Rule, Basis::Rule, Basis::NoRule]
    );
    assert_eq!(judged(range, "web", "db", Protocol::Udp, 80).1, Basis::NoRule);
    assert_eq!(
        judged(
            "{ingress: [{ports: [{protocol: SCTP}]}]}",
            "web",
            "db",
            Protocol::Sctp,
            7
        )
        .1,
        Basis::Rule
    );
    assert_eq!(
        judged("{ingress: [{ports: []}]}", "web", "db", Protocol::Sctp, 7).1,
        Basis::Rule
    );
}

#[test]
fn policy_types_are_inferred_as_the_api_does() {
    let both = |spec| tcp(spec, "web", "db", 80);
    assert_eq!(both("{}"), (Basis::NotIsolated, Basis::NoRule));
    assert_eq!(both(DENY_INGRESS), (Basis::NotIsolated, Basis::NoRule));
    assert_eq!(both("{egress: []}"), (Basis::NotIsolated, Basis::NoRule));
    assert_eq!(both("{egress: [{}]}"), (Basis::Rule, Basis::NoRule));
    assert_eq!(both("{policyTypes: [], egress: [{}]}"), (Basis::Rule, Basis::NoRule));
    assert_eq!(
        both("{policyTypes: [Egress], ingress: [{}]}"),
        (Basis::NoRule, Basis::NotIsolated)
    );
}

#[test]
fn peers_are_looked_for_in_the_right_namespace() {
    let labels = Labels::from([("app".to_owned(), "web".to_owned())]);
    let pods = [
        pod("a", "web", labels.clone(), IpAddr::from([10, 0, 0, 1])),
        pod("b", "web", labels, IpAddr::from([10, 0, 0, 2])),
    ];
    let namespaces = BTreeMap::from([("a".to_owned(), Labels::new()), ("b".to_owned(), Labels::new())]);
    let world = World::new(namespaces, pods, BTreeMap::new()).unwrap();
    let end = |namespace| world.endpoint(world.pod(namespace, "web").unwrap());
    let allowed = |peer: &str| {
        let text = format!(
            "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p, namespace: a}}, \
             spec: {{ingress: [{{from: [{peer}]}}]}}}}"
        );
        let set = kubernetes::parse([("p.yaml", text.as_str())]).unwrap().set;
        let connection = Connection {
            from: end("b"),
            to: end("a"),
            protocol: Protocol::Tcp,
            port: 80,
        };
        eval(&set, &world, &connection).allowed()
    };
    assert!(!allowed("{podSelector: {}}"));
    assert!(allowed("{namespaceSelector: {}}"));
    assert!(allowed(
        "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: b}}}"
    ));
    assert!(!allowed(
        "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: a}}}"
    ));
    assert!(allowed(
        "{namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}"
    ));
    assert!(!allowed(
        "{namespaceSelector: {}, podSelector: {matchLabels: {app: db}}}"
    ));
}

#[test]
fn verdicts_point_at_file_and_line() {
    let text = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: db
  namespace: shop
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from:
    - podSelector: {matchLabels: {app: nobody}}
  - ports:
    - port: sql
";
    let set = kubernetes::parse([("db.yaml", text)]).unwrap().set;
    let world = cluster();
    let end = |name| world.endpoint(world.pod("shop", name).unwrap());
    let by = |port| {
        let connection = Connection {
            from: end("web"),
            to: end("db"),
            protocol: Protocol::Tcp,
            port,
        };
        let by = eval(&set, &world, &connection).ingress.by;
        let told = by.iter().map(|by| {
            let rule = by.rule.map_or_else(|| "-".to_owned(), |rule| rule.to_string());
            format!(
                "{} {}/{} {rule} {}",
                by.kind,
                by.namespace,
                by.name,
                by.source.as_ref().unwrap()
            )
        });
        told.collect::<Vec<String>>()
    };
    assert_eq!(by(3306), ["NetworkPolicy shop/db ingress/1 db.yaml:11"]);
    assert_eq!(by(80), ["NetworkPolicy shop/db - db.yaml:1"]);
}

#[test]
fn a_world_refuses_what_it_cannot_judge() {
    let lost = pod("nowhere", "a", Labels::new(), IpAddr::from([10, 0, 0, 1]));
    let (namespace, name) = ("nowhere".to_owned(), "a".to_owned());
    let error = WorldError::UnknownNamespace {
        namespace: namespace.clone(),
        name: name.clone(),
    };
    assert_eq!(World::new(BTreeMap::new(), [lost.clone()], BTreeMap::new()), Err(error));
    let namespaces = BTreeMap::from([(namespace.clone(), Labels::new())]);
    let error = WorldError::DuplicatePod { namespace, name };
    assert_eq!(
        World::new(namespaces, [lost.clone(), lost], BTreeMap::new()),
        Err(error)
    );
}

#[test]
fn addresses_find_their_pods() {
    let world = cluster();
    let name = |address: [u8; 4]| match world.endpoint_at(IpAddr::from(address)) {
        Endpoint::Pod { pod, address: _ } => pod.name.clone(),
        Endpoint::Address(address) => address.to_string(),
    };
    assert_eq!(name([10, 0, 0, 2]), "db");
    // The address of a node is the node, not one of the pods on its network.
    assert_eq!(name([192, 0, 2, 1]), "192.0.2.1");
}
