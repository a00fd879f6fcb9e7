//! The parser on policies of the cluster: what it takes, what it refuses, and what it says about it.

use flowtape::parse::kubernetes::{Parsed, parse};
use flowtape::policy::cluster::{Action, ClusterKind, Tier};
use flowtape::policy::tie::ties;

fn read(text: &str) -> Parsed {
    parse([("p.yaml", text)]).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The problems as they are printed.
fn problems(text: &str) -> Vec<String> {
    let problems = parse([("p.yaml", text)])
        .map(|parsed| panic!("accepted: {parsed:?}"))
        .unwrap_err();
    problems.0.iter().map(ToString::to_string).collect()
}

fn object(version: &str, kind: &str, name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: policy.networking.k8s.io/{version}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

fn cluster(name: &str, priority: u16, rest: &str) -> String {
    let spec = format!("{{tier: Admin, priority: {priority}, subject: {{namespaces: {{}}}}, {rest}}}");
    object("v1alpha2", "ClusterNetworkPolicy", name, &spec)
}

#[test]
fn every_problem_is_reported_at_once_with_its_place() {
    let text = "\
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata:
  name: Wall
spec:
  tier: Top
  priority: 1001
  subject:
    namespaces: {}
    pods: {podSelector: {}}
  ingress:
  - action: Allow
    from: []
    protocols: []
  - action: Deny
    from:
    - networks: [10.0.0.0/8]
    - namespaces: {}
      pods: {podSelector: {}}
    protocols:
    - tcp: {}
    - udp: {destinationPort: {number: 0}}
    - tcp: {destinationPort: {range: {start: 9, end: 9}}}
      udp: {destinationPort: {number: 1}}
    - sctp: {destinationPort: {range: {start: 9, end: 9}}}
  egress:
  - action: Deny
    to:
    - domainNames: [io, example.com, example.com]
    - networks: [10.0.0.0, '10.0.0.0/33', 10.0.0.0/8, 10.0.0.0/8]
  - action: Pass
    to:
    - domainNames: [example.com]
  - action: Accept
    to:
    - nodes: {}
    protocols:
    - destinationNamedPort: http
";
    let expected = [
        "4: `metadata.name`: `Wall` is not valid: lower-case letters, digits, `-` and `.`, each part starting and ending with a letter or digit, at most 253",
        "6: `spec.tier`: `Top` is not one of `Admin`, `Baseline`",
        "7: `spec.priority`: `1001` is not a priority, priorities are 0 to 1000",
        "8: `spec.subject`: exactly one is needed of `namespaces`, `pods`",
        "12: `spec.ingress[0].action`: `Allow` is not one of `Accept`, `Deny`, `Pass`",
        "13: `spec.ingress[0].from`: required, and missing or empty",
        "14: `spec.ingress[0].protocols`: 0 entries, and the API takes 1 to 25",
        "17: `spec.ingress[1].from[0]`: unknown field `networks`, known here: `namespaces`, `pods`",
        "17: `spec.ingress[1].from[0]`: exactly one is needed of the fields that a peer can have",
        "18: `spec.ingress[1].from[1]`: exactly one is needed of the fields that a peer can have",
        "21: `spec.ingress[1].protocols[0].tcp.destinationPort`: required, and missing or empty",
        "22: `spec.ingress[1].protocols[1].udp.destinationPort.number`: `0` is not a port, ports are 1 to 65535",
        "23: `spec.ingress[1].protocols[2]`: exactly one is needed of `tcp`, `udp`, `sctp`, `destinationNamedPort`",
        "25: `spec.ingress[1].protocols[3].sctp.destinationPort.range`: `end` 9 is not above `start` 9, swap them or give one port",
        "29: `spec.egress[0].to[0].domainNames[2]`: `example.com` is in the list twice, remove one of them",
        "29: `spec.egress[0].to[0].domainNames[0]`: `io` is not valid: at least two parts of letters, digits, `-` and `_`, after an optional `*.`",
        "30: `spec.egress[0].to[1].networks[3]`: `10.0.0.0/8` is in the list twice, remove one of them",
        "30: `spec.egress[0].to[1].networks[0]`: `10.0.0.0` has no prefix length, write `10.0.0.0/32` (IPv4) or `10.0.0.0/128` (IPv6) for a single address",
        "30: `spec.egress[0].to[1].networks[1]`: prefix length `33` is not a plain number from 0 to 32",
        "31: `spec.egress[1]`: `domainNames` can only be allowed, deny or pass on what they leave by another rule",
        "34: `spec.egress[2]`: ports by name cannot stand beside `networks`, `nodes` or `domainNames`, write two rules",
    ];
    let expected: Vec<String> = expected
        .iter()
        .map(|line| line.replacen(": ", ": ClusterNetworkPolicy `Wall`: ", 1))
        .map(|line| format!("p.yaml:{line}"))
        .collect();
    assert_eq!(problems(text), expected);
}

#[test]
fn what_each_kind_lacks_is_refused() {
    let subject = "subject: {pods: {namespaceSelector: {}, podSelector: {}}}";
    let admin = |spec: &str| {
        problems(&object(
            "v1alpha1",
            "AdminNetworkPolicy",
            "a",
            &format!("{{{subject}, {spec}}}"),
        ))
    };
    assert_eq!(
        admin("tier: Admin"),
        [
            "p.yaml:5: AdminNetworkPolicy `a`: `spec`: unknown field `tier`, known here: `priority`, `subject`, `ingress`, `egress`",
            "p.yaml:5: AdminNetworkPolicy `a`: `spec.priority`: required, and missing or empty",
        ]
    );
    let range =
        "priority: 0, ingress: [{action: Allow, from: [{namespaces: {}}], ports: [{portRange: {start: 2, end: 1}}]}]";
    assert_eq!(
        admin(range),
        [
            "p.yaml:5: AdminNetworkPolicy `a`: `spec.ingress[0].ports[0].portRange`: `end` 1 is not above `start` 2, swap them or give one port"
        ]
    );
    let baseline = |name: &str, spec: &str| {
        problems(&object(
            "v1alpha1",
            "BaselineAdminNetworkPolicy",
            name,
            &format!("{{{spec}}}"),
        ))
    };
    assert_eq!(
        baseline("b", subject),
        [
            "p.yaml:4: BaselineAdminNetworkPolicy `b`: `metadata.name`: `b` is not one of `default`, of which a cluster has one"
        ]
    );
    assert_eq!(
        baseline(
            "default",
            &format!("{subject}, egress: [{{action: Pass, to: [{{domainNames: [a.b]}}]}}]")
        ),
        [
            "p.yaml:5: BaselineAdminNetworkPolicy `default`: `spec.egress[0].to[0]`: unknown field `domainNames`, known here: `namespaces`, `pods`, `nodes`, `networks`",
            "p.yaml:5: BaselineAdminNetworkPolicy `default`: `spec.egress[0].action`: `Pass` is not one of `Allow`, `Deny`",
            "p.yaml:5: BaselineAdminNetworkPolicy `default`: `spec.egress[0].to[0]`: exactly one is needed of the fields that a peer can have",
        ]
    );
    assert_eq!(
        baseline("default", "subject: {pods: {podSelector: {}}}"),
        [
            "p.yaml:5: BaselineAdminNetworkPolicy `default`: `spec.subject.pods.namespaceSelector`: required, and missing or empty"
        ]
    );
    let rules = vec!["{action: Accept, from: [{namespaces: {}}]}"; 26].join(", ");
    assert_eq!(
        problems(&cluster("c", 0, &format!("ingress: [{rules}]"))),
        ["p.yaml:5: ClusterNetworkPolicy `c`: `spec.ingress`: 26 entries, and the API takes 0 to 25"]
    );
}

#[test]
fn lists_versions_and_doubles_are_those_of_other_policies() {
    let twice = cluster("c", 0, "ingress: []") + &cluster("c", 1, "egress: []");
    assert_eq!(
        problems(&twice),
        ["p.yaml:7: ClusterNetworkPolicy `c` is defined twice (`p.yaml:2` and `p.yaml:7`), keep one of them"]
    );
    let spec = "{tier: Baseline, priority: 7, subject: {namespaces: {}}, egress: [{action: Accept, to: [{networks: [10.0.0.0/8, '::/0']}]}]}";
    let list = format!(
        "apiVersion: policy.networking.k8s.io/v1beta1\nkind: ClusterNetworkPolicyList\nitems:\n- metadata: {{name: c, namespace: x}}\n  spec: {spec}\n"
    );
    let parsed = read(&list);
    let [policy] = parsed.set.of_cluster() else {
        panic!("one policy")
    };
    assert_eq!(
        (policy.kind, policy.tier, policy.priority),
        (ClusterKind::Cluster, Tier::Baseline, 7)
    );
    assert_eq!(policy.egress[0].action, Action::Allow);
    assert_eq!(policy.egress[0].peers.count(), 2);
    let warnings: Vec<String> = parsed.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "p.yaml:4: ClusterNetworkPolicy `c`: `metadata.namespace`: a policy of the cluster is in no namespace, this one is dropped"
        ]
    );
    // A version that there is not is no policy that is read.
    assert_eq!(read(&object("v1", "ClusterNetworkPolicy", "c", "{}")).skipped.len(), 1);
}

#[test]
fn equal_priorities_matter_where_rules_meet_and_disagree() {
    let tied = |one: &str, other: &str| {
        let text =
            cluster("one", 5, &format!("ingress: [{one}]")) + &cluster("other", 5, &format!("ingress: [{other}]"));
        !ties(&read(&text).set).is_empty()
    };
    let rule = |action: &str, team: &str, port: u16| {
        format!(
            "{{action: {action}, from: [{{namespaces: {{matchLabels: {{team: {team}}}}}}}], \
             protocols: [{{tcp: {{destinationPort: {{number: {port}}}}}}}]}}"
        )
    };
    assert!(tied(&rule("Accept", "a", 80), &rule("Deny", "a", 80)));
    assert!(tied(&rule("Pass", "a", 80), "{action: Deny, from: [{namespaces: {}}]}"));
    assert!(!tied(&rule("Accept", "a", 80), &rule("Accept", "a", 80)));
    assert!(!tied(&rule("Accept", "a", 80), &rule("Deny", "b", 80)));
    assert!(!tied(&rule("Accept", "a", 80), &rule("Deny", "a", 81)));
    let apart = cluster("one", 5, "ingress: [{action: Accept, from: [{namespaces: {}}]}]")
        + &cluster("other", 6, "ingress: [{action: Deny, from: [{namespaces: {}}]}]");
    assert!(ties(&read(&apart).set).is_empty());
}
