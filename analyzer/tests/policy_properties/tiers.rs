//! Policies of the cluster: what they say to single connections, case by case from the text of their API.

use std::collections::BTreeMap;
use std::net::IpAddr;

use flowtape::parse::kubernetes::parse;
use flowtape::policy::model::{Direction, PolicySet};
use flowtape::policy::ports::Protocol;
use flowtape::semantics::eval::{Basis, Connection, Side, side};
use flowtape::semantics::world::{Endpoint, NamedPort, Pod, World};

/// Pods `shop/web` and `shop/db`, `other/tool`, and `kube/agent` on the network of node `n1`.
fn world() -> World {
    let pod = |namespace: &str, name: &str, last: u8, host_network: bool| Pod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        labels: BTreeMap::from([("app".to_owned(), name.to_owned())]),
        addresses: vec![IpAddr::from([10, 0, 0, last])],
        host_network,
        node: Some("n1".to_owned()),
        ports: vec![NamedPort {
            name: "sql".to_owned(),
            protocol: Protocol::Udp,
            port: 3306,
        }],
    };
    let namespaces = ["shop", "other", "kube"].map(|name| {
        let labels = BTreeMap::from([("team".to_owned(), name.to_owned())]);
        (name.to_owned(), labels)
    });
    let pods = [
        pod("shop", "web", 1, false),
        pod("shop", "db", 2, false),
        pod("other", "tool", 3, false),
        pod("kube", "agent", 100, true),
    ];
    let nodes = BTreeMap::from([("n1".to_owned(), vec![IpAddr::from([10, 0, 0, 100])])]);
    World::new(BTreeMap::from(namespaces), pods, nodes).unwrap()
}

fn set(text: &str) -> PolicySet {
    parse([("p.yaml", text)])
        .unwrap_or_else(|problems| panic!("{problems}"))
        .set
}

fn end<'w>(world: &'w World, name: &str) -> Endpoint<'w> {
    match name.split_once('/') {
        Some((namespace, name)) => world.endpoint(world.pod(namespace, name).unwrap()),
        None => Endpoint::Address(name.parse().unwrap()),
    }
}

fn judged(set: &PolicySet, direction: Direction, (from, to): (&str, &str), (protocol, port): (Protocol, u16)) -> Side {
    let world = world();
    let connection = Connection {
        from: end(&world, from),
        to: end(&world, to),
        protocol,
        port,
    };
    side(set, &world, &connection, direction)
}

fn tcp(set: &PolicySet, direction: Direction, from: &str, to: &str, port: u16) -> (Basis, String) {
    let Side { basis, by, .. } = judged(set, direction, (from, to), (Protocol::Tcp, port));
    let names = by.iter().map(|by| match by.rule {
        Some(rule) => format!("{} {rule}", by.name),
        None => by.name.clone(),
    });
    (basis, names.collect::<Vec<_>>().join(", "))
}

/// A ClusterNetworkPolicy for the pods of `shop`, with what else its spec says.
fn cluster(name: &str, tier: &str, priority: u16, rest: &str) -> String {
    format!(
        "---\napiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {{name: {name}}}\n\
         spec: {{tier: {tier}, priority: {priority}, subject: {{namespaces: {{matchLabels: {{team: shop}}}}}}, {rest}}}\n"
    )
}

const EVERY_POD: &str = "[{namespaces: {}}]";

fn rule(action: &str, from: &str) -> String {
    format!("{{action: {action}, from: {from}}}")
}

fn ingress(rules: &[&str]) -> String {
    format!("ingress: [{}]", rules.join(", "))
}

/// Isolates `shop/web`, which `shop/db` may reach.
const ONLY_DB: &str = "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: only-db, namespace: shop}\n\
     spec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: db}}}]}]}\n";

const TOOL: &str = "[{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: tool}}}}]";

#[test]
fn the_lowest_priority_number_decides_and_then_the_order_of_rules() {
    let deny = ingress(&[&rule("Deny", EVERY_POD)]);
    let accept = ingress(&[&rule("Accept", TOOL), &rule("Deny", EVERY_POD)]);
    let both = |first: u16, second: u16| {
        set(&(cluster("wall", "Admin", first, &deny) + &cluster("door", "Admin", second, &accept)))
    };
    let asked = |set: &PolicySet, from: &str| tcp(set, Direction::Ingress, from, "shop/web", 80);
    assert_eq!(
        asked(&both(10, 20), "other/tool"),
        (Basis::DenyRule, "wall ingress/0".to_owned())
    );
    assert_eq!(
        asked(&both(20, 10), "other/tool"),
        (Basis::Rule, "door ingress/0".to_owned())
    );
    assert_eq!(
        asked(&both(20, 10), "shop/db"),
        (Basis::DenyRule, "door ingress/1".to_owned())
    );
    // Of equal priority the first by name, and a finding says that the API has no order.
    assert_eq!(
        asked(&both(10, 10), "other/tool"),
        (Basis::Rule, "door ingress/0".to_owned())
    );
    // Nobody is behind these but pods with a network of their own.
    assert_eq!(asked(&both(10, 20), "192.0.2.1"), (Basis::NotIsolated, String::new()));
    assert_eq!(asked(&both(10, 20), "kube/agent"), (Basis::OwnNode, String::new()));
    // The policy is about pods of `shop` alone, and about one direction.
    let wall = both(10, 20);
    assert_eq!(
        tcp(&wall, Direction::Ingress, "shop/db", "other/tool", 80).0,
        Basis::NotIsolated
    );
    assert_eq!(
        tcp(&wall, Direction::Egress, "shop/web", "shop/db", 80).0,
        Basis::NotIsolated
    );
}

#[test]
fn what_passes_is_for_network_policies_and_behind_them_for_the_baseline() {
    let pass = ingress(&[&rule("Pass", TOOL), &rule("Deny", EVERY_POD)]);
    let baseline = ingress(&[&rule("Deny", EVERY_POD)]);
    let admin = cluster("admin", "Admin", 5, &pass);
    let behind = cluster("behind", "Baseline", 5, &baseline);
    let asked = |set: &PolicySet, from: &str, to: &str| tcp(set, Direction::Ingress, from, to, 80);
    let all = set(&(admin.clone() + &behind + ONLY_DB));
    // Isolated, and not allowed.
    assert_eq!(
        asked(&all, "other/tool", "shop/web"),
        (Basis::NoRule, "only-db".to_owned())
    );
    // Not isolated, so that the baseline is asked.
    assert_eq!(
        asked(&all, "other/tool", "shop/db"),
        (Basis::DenyRule, "behind ingress/0".to_owned())
    );
    // The rule of the NetworkPolicy is never asked.
    assert_eq!(
        asked(&all, "shop/db", "shop/web"),
        (Basis::DenyRule, "admin ingress/1".to_owned())
    );
    assert_eq!(
        asked(&set(&admin), "other/tool", "shop/db"),
        (Basis::NotIsolated, String::new())
    );
    // Without the tier in front, what a NetworkPolicy isolates is its own matter.
    let own = set(&(behind + ONLY_DB));
    assert_eq!(
        asked(&own, "shop/db", "shop/web"),
        (Basis::Rule, "only-db ingress/0".to_owned())
    );
    assert_eq!(
        asked(&own, "other/tool", "shop/web"),
        (Basis::NoRule, "only-db".to_owned())
    );
    // A baseline that passes on leaves it to what comes behind: everything is allowed.
    let open = set(&cluster(
        "behind",
        "Baseline",
        5,
        &ingress(&[&rule("Pass", TOOL), &rule("Deny", EVERY_POD)]),
    ));
    assert_eq!(
        asked(&open, "other/tool", "shop/db"),
        (Basis::NotIsolated, String::new())
    );
}

#[test]
fn egress_peers_are_pods_and_addresses_of_whomever() {
    let to = |peer: &str| {
        set(&cluster(
            "out",
            "Admin",
            0,
            &format!("egress: [{{action: Deny, to: [{peer}]}}]"),
        ))
    };
    let denied = |peer: &str| {
        let ends = ["shop/db", "other/tool", "kube/agent", "10.0.0.100", "192.0.2.1"];
        let set = to(peer);
        let denies = |to: &&str| tcp(&set, Direction::Egress, "shop/web", to, 80).0 == Basis::DenyRule;
        ends.into_iter().filter(denies).collect::<Vec<_>>()
    };
    assert_eq!(denied("{namespaces: {matchLabels: {team: other}}}"), ["other/tool"]);
    assert_eq!(denied("{namespaces: {}}"), ["shop/db", "other/tool"]);
    assert_eq!(
        denied("{networks: [192.0.2.0/24, 10.0.0.3/32]}"),
        ["other/tool", "192.0.2.1"]
    );
    assert_eq!(denied("{nodes: {}}"), ["kube/agent", "10.0.0.100"]);
    // Which labels nodes have is not known: what denies means all of them, what accepts none.
    assert_eq!(
        denied("{nodes: {matchLabels: {role: worker}}}"),
        ["kube/agent", "10.0.0.100"]
    );
    let accept = "egress: [{action: Accept, to: [{nodes: {matchLabels: {role: worker}}}, {domainNames: [a.example]}]}]";
    let accept = set(&cluster("out", "Admin", 0, accept));
    for to in ["kube/agent", "10.0.0.100", "192.0.2.1"] {
        assert_eq!(
            tcp(&accept, Direction::Egress, "shop/web", to, 80).0,
            Basis::NotIsolated
        );
    }
}

#[test]
fn ports_are_numbers_ranges_and_names_of_any_protocol() {
    let with = |protocols: &str| {
        let rule = format!("{{action: Deny, from: {EVERY_POD}, protocols: [{protocols}]}}");
        set(&cluster("ports", "Admin", 0, &ingress(&[&rule])))
    };
    let denied = |protocols: &str| {
        let set = with(protocols);
        let services = [
            (Protocol::Tcp, 80),
            (Protocol::Tcp, 3306),
            (Protocol::Udp, 80),
            (Protocol::Udp, 3306),
        ];
        let denies = |service: &(Protocol, u16)| {
            judged(&set, Direction::Ingress, ("other/tool", "shop/db"), *service).basis == Basis::DenyRule
        };
        let text = |(protocol, port): (Protocol, u16)| format!("{port}/{protocol}");
        services.into_iter().filter(denies).map(text).collect::<Vec<_>>()
    };
    assert_eq!(denied("{tcp: {destinationPort: {number: 80}}}"), ["80/TCP"]);
    assert_eq!(
        denied("{udp: {destinationPort: {range: {start: 79, end: 81}}}}"),
        ["80/UDP"]
    );
    assert_eq!(denied("{destinationNamedPort: sql}"), ["3306/UDP"]);
    assert_eq!(denied("{sctp: {destinationPort: {number: 80}}}"), [""; 0]);
}

#[test]
fn the_older_kinds_have_the_same_meaning() {
    let admin = "---\napiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {name: anp}\n\
         spec: {priority: 3, subject: {namespaces: {matchLabels: {team: shop}}}, ingress: [{name: tools, action: Allow, \
         from: [{namespaces: {matchLabels: {team: other}}}], ports: [{portNumber: {port: 80}}, {portRange: {protocol: UDP, start: 1, end: 9}}]}]}\n";
    let baseline = "---\napiVersion: policy.networking.k8s.io/v1alpha1\nkind: BaselineAdminNetworkPolicy\nmetadata: {name: default}\n\
         spec: {subject: {pods: {namespaceSelector: {}, podSelector: {}}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}\n";
    let set = set(&(admin.to_owned() + baseline));
    let asked = |to, port| tcp(&set, Direction::Ingress, "other/tool", to, port);
    assert_eq!(asked("shop/web", 80), (Basis::Rule, "anp ingress/0".to_owned()));
    assert_eq!(asked("shop/web", 81), (Basis::DenyRule, "default ingress/0".to_owned()));
    let kinds: Vec<&str> = set.of_cluster().iter().map(|policy| policy.kind.name()).collect();
    assert_eq!(kinds, ["AdminNetworkPolicy", "BaselineAdminNetworkPolicy"]);
}
