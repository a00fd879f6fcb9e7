//! Policies of network plugins: what is read of them, and what is refused with the field that says it.

use flowtape::parse::kubernetes::{Parsed, parse};
use flowtape::policy::model::{Direction, Peers, Ports};
use proptest::prelude::{any, prop_assert_eq, prop_oneof, proptest};

use super::arbitrary::quiet;

const CILIUM: &str =
    "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: web, namespace: shop}\nspec:\n";

const CALICO: &str =
    "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: web, namespace: shop}\nspec:\n";

/// Reads a policy whose spec is written in lines.
fn read(head: &str, spec: &[&str]) -> Result<Parsed, String> {
    let lines: Vec<&str> = spec.iter().flat_map(|line| ["  ", line, "\n"]).collect();
    parse([("p.yaml", format!("{head}{}", lines.concat()).as_str())]).map_err(|problems| problems.to_string())
}

/// The rules of a policy in words, by direction; `-` where it is not isolated.
fn said(head: &str, spec: &[&str]) -> String {
    let parsed = read(head, spec).unwrap();
    assert!(parsed.refused.is_empty(), "{:?}", parsed.refused);
    let policy = &parsed.set.policies()[0];
    let section = |direction| match policy.rules(direction) {
        None => "-".to_owned(),
        Some(rules) => {
            let rules = rules.iter().map(|rule| {
                let peers = match &rule.peers {
                    Peers::Any => "everybody".to_owned(),
                    Peers::Of(listed) => listed.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
                };
                let ports = match &rule.ports {
                    Ports::Any => "any".to_owned(),
                    Ports::Of(listed) => listed.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
                };
                format!("{peers} on {ports}")
            });
            format!("[{}]", rules.collect::<Vec<_>>().join(" | "))
        }
    };
    format!(
        "{}: {} {}",
        policy.subject,
        section(Direction::Ingress),
        section(Direction::Egress)
    )
}

/// What a policy is refused for; it leaves no policy behind.
fn refused(head: &str, spec: &[&str]) -> String {
    let parsed = read(head, spec).unwrap();
    assert!(parsed.set.is_empty(), "{spec:?}");
    let refusals: Vec<String> = parsed.refused.iter().map(ToString::to_string).collect();
    assert_eq!(refusals.len(), 1, "{spec:?}");
    refusals[0].clone()
}

#[test]
fn policies_of_cilium_are_read() {
    let all = "endpointSelector: {}";
    for (spec, meaning) in [
        (&[all, "ingress: [{}]"][..], "*: [] -"),
        (&[all, "ingress: []", "egress: [{}]"], "*: - []"),
        (
            &[
                "endpointSelector: {matchLabels: {\"k8s:app\": web}}",
                "ingress: [{fromEndpoints: [{}]}]",
            ],
            "app=web: [pods * on any] -",
        ),
        (
            &[
                all,
                "egress: [{toEndpoints: [{matchLabels: {app: db, \"k8s:io.kubernetes.pod.namespace\": data}}]}]",
            ],
            "*: - [pods app=db of namespaces kubernetes.io/metadata.name=data on any]",
        ),
        (
            &[
                all,
                "ingress: [{fromEndpoints: [{matchLabels: {io.cilium.k8s.namespace.labels.team: a}}]}]",
            ],
            "*: [pods * of namespaces team=a on any] -",
        ),
        (
            &[
                all,
                "egress: [{toCIDR: [192.0.2.7, \"2001:db8::/32\"]}, {toCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]}]",
            ],
            "*: - [192.0.2.7/32 outside the cluster; 2001:db8::/32 outside the cluster on any | \
             10.0.0.0/8 except 10.1.0.0/16 outside the cluster on any]",
        ),
        (
            &[
                all,
                "egress: [{toEntities: [host, remote-node, kube-apiserver]}, {toFQDNs: [{matchName: Pay.Example.com.}]}]",
            ],
            "*: - [nodes; the API server on any | name pay.example.com on any]",
        ),
        (
            &[
                all,
                "ingress: [{fromEntities: [world]}, {fromEntities: [all], toPorts: [{ports: [{port: \"0\", protocol: UDP}]}]}]",
            ],
            "*: [0.0.0.0/0 outside the cluster; ::/0 outside the cluster on any | everybody on any/UDP] -",
        ),
        (
            &[
                all,
                "egress:",
                "- toPorts:",
                "  - ports: [{port: \"53\", protocol: ANY}, {port: http, protocol: TCP}, {port: \"8000\", endPort: 8010, protocol: TCP}]",
                "    rules: {dns: [{matchPattern: \"*\"}]}",
            ],
            "*: - [everybody on 53/TCP,8000-8010/TCP,http/TCP,53/UDP,53/SCTP]",
        ),
    ] {
        assert_eq!(said(CILIUM, spec), meaning, "{spec:?}");
    }
}

#[test]
fn what_cilium_says_otherwise_is_refused_with_its_field() {
    let all = "endpointSelector: {}";
    let of = "p.yaml:6: CiliumNetworkPolicy `shop/web`: ";
    for (spec, what) in [
        (
            &[all, "ingress: [{fromEntities: [cluster]}]"][..],
            "`spec.ingress[0].fromEntities[0]`: `cluster` is not evaluated",
        ),
        (
            &[
                all,
                "ingress: [{fromEndpoints: [{matchLabels: {app: a, \"k8s:app\": b}}]}]",
            ],
            "`spec.ingress[0].fromEndpoints[0].matchLabels.k8s:app`: asks for a label that another key asks for, too",
        ),
        (
            &[all, "egress: [{toServices: [{}]}]"],
            "`spec.egress[0].toServices`: not evaluated",
        ),
        (&[all, "egressDeny: [{}]"], "`spec.egressDeny`: not evaluated"),
        (
            &[all, "enableDefaultDeny: {ingress: false}"],
            "`spec.enableDefaultDeny`: not evaluated",
        ),
        (
            &[all, "egress: [{toEntities: [remote-node]}]"],
            "`spec.egress[0].toEntities`: `host` and `remote-node` are evaluated together, as every node",
        ),
        (
            &[all, "egress: [{toFQDNs: [{matchPattern: \"*.example.com\"}]}]"],
            "`spec.egress[0].toFQDNs[0].matchPattern`: not evaluated",
        ),
        (
            &[
                all,
                "ingress: [{toPorts: [{ports: [{port: \"80\"}], rules: {http: [{}]}}]}]",
            ],
            "`spec.ingress[0].toPorts[0].rules.http`: not evaluated",
        ),
        (
            &[
                all,
                "egress: [{toPorts: [{ports: [{port: \"53\"}], rules: {dns: [{matchPattern: a.b}]}}]}]",
            ],
            "`spec.egress[0].toPorts[0].rules.dns[0].matchPattern`: `a.b` is not evaluated",
        ),
        (
            &[all, "ingress: [{toPorts: [{ports: [{port: \"8\", protocol: ICMP}]}]}]"],
            "`spec.ingress[0].toPorts[0].ports[0].protocol`: `ICMP` is not evaluated",
        ),
        (
            &[all, "ingress: [{fromCIDR: [10.0.0.0/8], fromEntities: [world]}]"],
            "`spec.ingress[0]`: Cilium takes no rule with two sorts of peers",
        ),
        (
            &[all, "ingress: [{fromEndpoints: []}]"],
            "`spec.ingress[0].fromEndpoints`: an empty list, which allows nobody, is not evaluated",
        ),
        (
            &[all, "ingress: [{}, {fromEndpoints: [{}]}]"],
            "`spec.ingress[0]`: an empty rule beside others is not evaluated",
        ),
        (
            &[
                all,
                "ingress: [{fromEndpoints: [{matchExpressions: [{key: io.kubernetes.pod.namespace, operator: NotIn, values: [a]}]}]}]",
            ],
            "`spec.ingress[0].fromEndpoints[0]`: a selector that asks for no label also selects what is no pod",
        ),
        (
            &[
                all,
                "ingress: [{fromEndpoints: [{matchLabels: {\"reserved:init\": \"\"}}]}]",
            ],
            "`spec.ingress[0].fromEndpoints[0].matchLabels.reserved:init`: not evaluated",
        ),
    ] {
        assert_eq!(refused(CILIUM, spec), format!("{of}{what}"), "{spec:?}");
    }
}

#[test]
fn what_cilium_says_of_other_than_pods_is_refused_with_its_field() {
    let specs = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: web, namespace: shop}\n";
    assert_eq!(
        refused(specs, &[]),
        "p.yaml:1: CiliumNetworkPolicy `shop/web`: `spec`: not evaluated without it"
    );
    assert_eq!(
        refused(CILIUM, &["nodeSelector: {}", "ingress: [{}]"]),
        "p.yaml:5: CiliumNetworkPolicy `shop/web`: `spec.nodeSelector`: not evaluated"
    );
    assert_eq!(
        refused(
            CILIUM,
            &[
                "endpointSelector: {matchLabels: {pod-template-hash: x}}",
                "ingress: [{}]"
            ]
        ),
        "p.yaml:5: CiliumNetworkPolicy `shop/web`: `spec.endpointSelector.matchLabels.pod-template-hash`: a label that is no part \
         of an identity unless Cilium is configured so is not evaluated"
    );
}

#[test]
fn policies_of_calico_are_read() {
    for (spec, meaning) in [
        (&["selector: all()"][..], "*: [] -"),
        (
            &["selector: app == 'web' && !has(old)", "types: [Egress]"],
            "app=web,!old: - []",
        ),
        (
            &["order: 7.5", "tier: default", "egress: [{action: Allow}]"],
            "*: - [everybody on any]",
        ),
        (
            &[
                "ingress: [{action: Allow, protocol: TCP, source: {selector: \"projectcalico.org/orchestrator == 'k8s'\"}, destination: {ports: [80, \"8000:8010\", http]}}]",
            ],
            "*: [pods * on 80/TCP,8000-8010/TCP,http/TCP] -",
        ),
        (
            &[
                "egress: [{action: Allow, protocol: 17, destination: {namespaceSelector: projectcalico.org/name == 'data'}}]",
            ],
            "*: - [pods * of namespaces kubernetes.io/metadata.name=data on any/UDP]",
        ),
        (
            &[
                "ingress: [{action: Allow, source: {nets: [10.0.0.0/8, 192.0.2.0/24, 10.9.0.0/24], notNets: [10.9.0.0/16]}}]",
            ],
            "*: [10.0.0.0/8 except 10.9.0.0/16; 192.0.2.0/24 on any] -",
        ),
        (
            &["ingress: [{action: Allow, source: {notNets: [10.0.0.0/8]}}]"],
            "*: [0.0.0.0/0 except 10.0.0.0/8; ::/0 on any] -",
        ),
        (
            &["ingress: [{action: Allow, source: {nets: [203.0.113.7, 10.0.0.0/24], notNets: [10.0.0.1]}}]"],
            "*: [10.0.0.0/24 except 10.0.0.1/32; 203.0.113.7/32 on any] -",
        ),
    ] {
        assert_eq!(said(CALICO, spec), meaning, "{spec:?}");
    }
}

#[test]
fn what_calico_says_otherwise_is_refused_with_its_field() {
    let of = "p.yaml:5: CalicoNetworkPolicy `shop/web`: ";
    for (spec, what) in [
        (
            &["ingress: [{action: Deny}]"][..],
            "`spec.ingress[0].action`: `Deny` is not evaluated",
        ),
        (&["tier: security"], "`spec.tier`: `security` is not evaluated"),
        (
            &["selector: a == 'b' || c == 'd'"],
            "`spec.selector`: `|| c == 'd'` is not evaluated",
        ),
        (
            &["serviceAccountSelector: a == 'b'"],
            "`spec.serviceAccountSelector`: not evaluated",
        ),
        (
            &["egress: [{action: Allow, protocol: ICMP}]"],
            "`spec.egress[0].protocol`: `ICMP` is not evaluated",
        ),
        (
            &["egress: [{action: Allow, notProtocol: TCP}]"],
            "`spec.egress[0].notProtocol`: not evaluated",
        ),
        (
            &["egress: [{action: Allow, destination: {domains: [a.b]}}]"],
            "`spec.egress[0].destination.domains`: not evaluated",
        ),
        (
            &["egress: [{action: Allow, source: {selector: a == 'b'}}]"],
            "`spec.egress[0].source`: not evaluated",
        ),
        (
            &["ingress: [{action: Allow, protocol: TCP, source: {ports: [7]}}]"],
            "`spec.ingress[0].source.ports`: not evaluated",
        ),
        (
            &["ingress: [{action: Allow, destination: {ports: [7]}}]"],
            "`spec.ingress[0].destination.ports`: ports need a protocol",
        ),
        (
            &["ingress: [{action: Allow, source: {selector: all(), nets: [10.0.0.0/8]}}]"],
            "`spec.ingress[0].source`: a peer by labels and addresses at once is not evaluated",
        ),
        (
            &["ingress: [{action: Allow, source: {nets: [10.0.0.0/8], notNets: [10.0.0.0/7]}}]"],
            "`spec.ingress[0].source.notNets`: leaves nothing of `nets`",
        ),
        (
            &["ingress: [{action: Allow, source: {namespaceSelector: global()}}]"],
            "`spec.ingress[0].source.namespaceSelector`: `global()` is not evaluated",
        ),
        (
            &["ingress: [{action: Allow, source: {selector: projectcalico.org/namespace == 'a'}}]"],
            "`spec.ingress[0].source.selector`: `projectcalico.org/namespace=a` is not evaluated",
        ),
        (
            &["types: [Ingress]", "egress: [{action: Allow}]"],
            "`spec.types`: rules of a direction that is not listed are not evaluated",
        ),
    ] {
        assert_eq!(refused(CALICO, spec), format!("{of}{what}"), "{spec:?}");
    }
}

/// What is wrong in any case is a problem of the file, whatever else is refused.
#[test]
fn what_is_wrong_is_no_refusal() {
    for (head, spec, what) in [
        (
            CALICO,
            "ingress: [{action: Deny, source: {nets: [10.0.0.0/33]}}]",
            "`spec.ingress[0].source.nets[0]`: prefix length `33`",
        ),
        (CALICO, "ingress: {}", "`spec.ingress`: expected a list"),
        (
            CALICO,
            "types: [Both]",
            "`spec.types[0]`: `Both` is not one of `Ingress`, `Egress`",
        ),
        (
            CALICO,
            "egress: [{action: Allow, protocol: TCP, destination: {ports: [0]}}]",
            "`spec.egress[0].destination.ports[0]`: `0` is not a port",
        ),
        (
            CILIUM,
            "endpointSelector: {matchLabels: {a: b}, matchExpressions: [{key: x, operator: Is}]}",
            "`spec.endpointSelector.matchExpressions[0].operator`: `Is` is not one of",
        ),
        (CILIUM, "ingress: [{fromCIDR: [ten]}]", "`spec.ingress[0].fromCIDR[0]`:"),
        (
            CILIUM,
            "ingress: [{toPorts: [{ports: [{port: \"9\", endPort: 8}]}]}]",
            "`spec.ingress[0].toPorts[0].ports[0].endPort`: `endPort` 8 is below `port` 9",
        ),
    ] {
        let problems = read(head, &[spec]).unwrap_err();
        assert!(problems.contains(what), "{problems}");
    }
}

proptest! {
    #![proptest_config(quiet())]

    /// Whatever stands where Calico has an expression, it is read, refused or wrong.
    #[test]
    fn no_expression_makes_it_panic(text in prop_oneof![any::<String>(), "[a-z!=&|(){}'\", ]{0,24}"]) {
        let quoted = serde_json::to_string(&text).unwrap();
        if let Ok(parsed) = read(CALICO, &[&format!("selector: {quoted}")]) {
            prop_assert_eq!(parsed.set.is_empty(), !parsed.refused.is_empty(), "{:?}", text);
        }
    }
}

/// An object of each kind may have the name of one of another, but not of one of its own.
#[test]
fn policies_of_two_kinds_are_two_policies() {
    let cilium = format!("{CILIUM}  endpointSelector: {{}}\n  ingress: [{{}}]\n");
    let calico = format!("{CALICO}  selector: all()\n");
    let plain = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: web, namespace: shop}\nspec: {podSelector: {}}\n";
    let all = [
        ("a.yaml", cilium.as_str()),
        ("b.yaml", calico.as_str()),
        ("c.yaml", plain),
    ];
    let kinds: Vec<&str> = parse(all)
        .unwrap()
        .set
        .iter()
        .map(|policy| policy.kind.name())
        .collect();
    assert_eq!(kinds, ["NetworkPolicy", "CalicoNetworkPolicy", "CiliumNetworkPolicy"]);
    let twice = parse([("a.yaml", cilium.as_str()), ("b.yaml", cilium.as_str())]).unwrap_err();
    assert_eq!(
        twice.to_string(),
        "b.yaml:1: CiliumNetworkPolicy `shop/web` is defined twice (`a.yaml:1` and `b.yaml:1`), keep one of them"
    );
}
