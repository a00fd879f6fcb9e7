//! The parser: what it takes, what it refuses, and what it says about it.

use flowtape::parse::kubernetes::{Parsed, parse};
use flowtape::policy::kind::PolicyKind;
use flowtape::policy::model::{Direction, Peer, Peers, PortMatch, Ports};
use flowtape::policy::select::{Requirement, Selector};

fn read(text: &str) -> Parsed {
    parse([("p.yaml", text)]).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The problems as they are printed.
fn problems(text: &str) -> String {
    parse([("p.yaml", text)])
        .map(|parsed| panic!("accepted: {parsed:?}"))
        .unwrap_err()
        .to_string()
}

/// A policy `shop/p` with this spec, in flow style so that it is one line.
fn with_spec(spec: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p, namespace: shop}}\nspec: {spec}\n"
    )
}

#[test]
fn every_problem_is_reported_at_once_with_its_place_and_remedy() {
    let text = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: Web
  namespace: shop
  colour: red
spec:
  podSelector:
    matchLabels:
      app: yes
  policyTypes: [Ingress, Sideways]
  ingress:
  - from:
    - ipBlock:
        cidr: 10.0.0.0/8
        except:
        - 11.0.0.0/8
    - {}
    ports:
    - port: 0
    - port: 90
      endPort: 80
    - protocol: HTTP
---
apiVersion: extensions/v1beta1
kind: NetworkPolicy
---
just: text
";
    let expected = "\
p.yaml:4: NetworkPolicy `shop/Web`: `metadata.name`: `Web` is not valid: lower-case letters, digits, `-` and `.`, each \
part starting and ending with a letter or digit, at most 253
p.yaml:6: NetworkPolicy `shop/Web`: `metadata`: unknown field `colour`, known here: `name`, `namespace`, `labels`, \
`annotations`, `creationTimestamp`, `deletionGracePeriodSeconds`, `deletionTimestamp`, `finalizers`, `generateName`, \
`generation`, `managedFields`, `ownerReferences`, `resourceVersion`, `selfLink`, `uid`
p.yaml:10: NetworkPolicy `shop/Web`: `spec.podSelector.matchLabels.app`: expected text, found the boolean `yes`, put it \
in quotes if text is meant
p.yaml:11: NetworkPolicy `shop/Web`: `spec.policyTypes[1]`: `Sideways` is not one of `Ingress`, `Egress`
p.yaml:17: NetworkPolicy `shop/Web`: `spec.ingress[0].from[0].ipBlock.except[0]`: `11.0.0.0/8` is not strictly inside \
`10.0.0.0/8`, so it excepts nothing or everything
p.yaml:18: NetworkPolicy `shop/Web`: `spec.ingress[0].from[1]`: a peer needs `podSelector`, `namespaceSelector` or \
`ipBlock`; leave the list out to allow everybody
p.yaml:20: NetworkPolicy `shop/Web`: `spec.ingress[0].ports[0].port`: `0` is not a port, ports are 1 to 65535
p.yaml:22: NetworkPolicy `shop/Web`: `spec.ingress[0].ports[1].endPort`: `endPort` 80 is below `port` 90, swap them
p.yaml:23: NetworkPolicy `shop/Web`: `spec.ingress[0].ports[2].protocol`: `HTTP` is not one of `TCP`, `UDP`, `SCTP`
p.yaml:25: `NetworkPolicy` has no version `extensions/v1beta1`, write `networking.k8s.io/v1`
p.yaml:28: no Kubernetes object: `kind` is missing";
    assert_eq!(problems(text), expected);
}

#[test]
fn values_that_a_server_refuses_are_refused() {
    let cases = [
        ("{podSelector: {matchLabels: {app: 6}}}", "found the number `6`"),
        ("{podSelector: {matchLabels: {on: a}}}", "key is the boolean `on`"),
        ("{podSelector: {matchLabels: {a b: c}}}", "a label key is"),
        ("{podSelector: {matchLabels: {Example.com/a: c}}}", "a label key is"),
        ("{podSelector: {matchLabels: {a: -c}}}", "a label value is"),
        (
            "{podSelector: {matchExpressions: [{key: a, operator: In}]}}",
            "needs at least one value",
        ),
        (
            "{podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}",
            "takes no values",
        ),
        (
            "{podSelector: {matchExpressions: [{key: a, operator: Equals}]}}",
            "`Equals` is not one of",
        ),
        (
            "{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]}",
            "cannot stand beside a selector",
        ),
        ("{ingress: [{from: [{ipBlock: {}}]}]}", "cidr`: required"),
        (
            "{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}]}",
            "not strictly inside",
        ),
        (
            "{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: ['2001:db8::/32']}}]}]}",
            "not strictly inside",
        ),
        ("{ingress: [{ports: [{endPort: 5}]}]}", "needs a numeric `port`"),
        (
            "{ingress: [{ports: [{port: http, endPort: 5}]}]}",
            "needs a numeric `port`",
        ),
        ("{ingress: [{ports: [{port: '80'}]}]}", "a port name is"),
        ("{ingress: [{ports: [{port: a--b}]}]}", "a port name is"),
        ("{ingress: [{ports: [{port: 1.5}]}]}", "expected an integer or text"),
        ("{ingress: [{ports: [{port: 4294967376}]}]}", "an integer of 32 bits"),
        ("{ingress: [{ports: [{port: 65536}]}]}", "ports are 1 to 65535"),
        ("{ingress: [{ports: [{port: -1}]}]}", "ports are 1 to 65535"),
        ("{ingress: {from: []}}", "expected a list, found a mapping"),
        ("{policyTypes: [Ingress, Egress, Ingress]}", "at most two policy types"),
        ("[]", "expected a mapping, found a list"),
        ("{ingress: [{to: []}]}", "unknown field `to`"),
        ("!secret {}", "tag `!secret`"),
    ];
    for (spec, expected) in cases {
        let found = problems(&with_spec(spec));
        assert!(found.contains(expected), "{spec}: {found}");
        assert_eq!(found.lines().count(), 1, "{spec}: {found}");
    }
}

#[test]
fn a_wrong_type_is_not_followed_by_complaints_about_what_it_hides() {
    let found = problems(&with_spec(
        "{ingress: [{from: [{ipBlock: {cidr: [10.0.0.0/8]}}], ports: {}}]}",
    ));
    assert_eq!(found.lines().count(), 2, "{found}");
    assert!(found.lines().all(|line| line.contains("expected")), "{found}");
}

#[test]
fn keys_may_not_be_set_twice() {
    let found = problems("apiVersion: v1\nkind: A\nkind: B\n");
    assert_eq!(
        found,
        "p.yaml:3: key `kind` is already set in line 2, remove one of them"
    );
    // Of a mapping as long as one likes each key is known, and so is one that came after many.
    for keys in [2, 15, 16, 17, 18, 100] {
        let key = |number: usize| format!("k{number}: x\n");
        let mut text: String = (1..=keys).map(key).collect();
        text.extend([1, keys].map(key));
        let expected = [(keys + 1, 1), (keys + 2, keys)].map(|(line, first)| {
            format!("p.yaml:{line}: key `k{first}` is already set in line {first}, remove one of them")
        });
        let found = problems(&text);
        let twice: Vec<&str> = found.lines().filter(|line| line.contains("already set")).collect();
        assert_eq!(twice, expected, "{keys} keys");
    }
}

#[test]
fn a_policy_may_not_be_defined_twice() {
    let text = with_spec("{}");
    let error = parse([("b.yaml", text.as_str()), ("a.yaml", text.as_str())]).unwrap_err();
    let expected = "b.yaml:1: policy `shop/p` is defined twice (`a.yaml:1` and `b.yaml:1`), keep one of them";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn lists_and_documents_are_read_and_other_kinds_are_named() {
    let item = |name: &str| format!("{{\"metadata\": {{\"name\": \"{name}\", \"namespace\": \"shop\"}}}}");
    let typed = format!(
        "{{\"apiVersion\": \"networking.k8s.io/v1\", \"kind\": \"NetworkPolicyList\", \"metadata\": {{}},\n\t\"items\": [{}, {}]}}",
        item("a"),
        item("b")
    );
    let mixed = "\
---
# nothing here
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Service
- apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  metadata: {name: c, namespace: shop, managedFields: [{fieldsV1: {'f:spec': {}}}], uid: 1}
  spec: {}
  status: {}
---
apiVersion: crd.projectcalico.org/v1
kind: NetworkPolicy
spec: {selector: all()}
";
    let parsed = parse([("typed.json", typed.as_str()), ("mixed.yaml", mixed)]).unwrap();
    let names: Vec<&str> = parsed.set.iter().map(|policy| policy.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let skipped: Vec<String> = parsed
        .skipped
        .iter()
        .map(|other| format!("{} {} {}", other.api_version, other.kind, other.place))
        .collect();
    assert_eq!(
        skipped,
        [
            "crd.projectcalico.org/v1 NetworkPolicy mixed.yaml:15",
            "v1 Service mixed.yaml:7"
        ]
    );
}

#[test]
fn what_is_probably_not_meant_is_said() {
    let text = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: p
spec:
  policyTypes: [Ingress]
  ingress:
  -
  - from:
    - ipBlock: {cidr: 10.1.2.3/8}
    ports:
    -
  egress:
  - {}
";
    let parsed = read(text);
    let warnings: Vec<String> = parsed.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "p.yaml:3: NetworkPolicy `p`: `metadata`: no namespace given, `default` assumed",
            "p.yaml:8: NetworkPolicy `p`: `spec.ingress[0]`: an empty list entry allows everything here, write `{}` if \
             that is meant",
            "p.yaml:10: NetworkPolicy `p`: `spec.ingress[1].from[0].ipBlock.cidr`: `10.1.2.3/8` has bits beyond its \
             length and is read as `10.0.0.0/8`",
            "p.yaml:12: NetworkPolicy `p`: `spec.ingress[1].ports[0]`: an empty list entry allows everything here, write \
             `{}` if that is meant",
            "p.yaml:13: NetworkPolicy `p`: `spec.egress`: these rules have no effect: `policyTypes` does not list this \
             direction",
        ]
    );
    let policy = parsed.set.get(PolicyKind::NetworkPolicy, "default", "p").unwrap();
    assert_eq!(policy.egress, None);
    let ingress = policy.rules(Direction::Ingress).unwrap();
    assert_eq!((&ingress[0].peers, &ingress[0].ports), (&Peers::Any, &Ports::Any));
    assert_eq!(ingress[1].source.as_ref().unwrap().to_string(), "p.yaml:9");
}

#[test]
fn nulls_are_what_a_server_makes_of_them() {
    let parsed = read(&with_spec(
        "{podSelector: {matchLabels: {app: }}, ingress: [{from: , ports: [{port: , protocol: ~}]}], egress: null}",
    ));
    let policy = parsed.set.get(PolicyKind::NetworkPolicy, "shop", "p").unwrap();
    assert_eq!(policy.subject, Selector::new([Requirement::equals("app", "")]));
    let rule = &policy.rules(Direction::Ingress).unwrap()[0];
    assert_eq!(rule.peers, Peers::Any);
    let Ports::Of(ports) = &rule.ports else {
        panic!("{rule:?}")
    };
    assert_eq!(ports.only().unwrap().port, PortMatch::Any);
    assert_eq!(policy.egress, None);
}

#[test]
fn anchors_aliases_and_merges_are_followed() {
    let parsed = read(&with_spec(
        "
  podSelector: &web
    matchLabels: &labels {app: web}
  ingress:
  - from:
    - podSelector: *web
    - podSelector:
        matchLabels: {<<: *labels, tier: front}
    - podSelector:
        matchLabels: {<<: [*labels, {app: other, zone: a}], tier: front}",
    ));
    let rule = &parsed
        .set
        .get(PolicyKind::NetworkPolicy, "shop", "p")
        .unwrap()
        .rules(Direction::Ingress)
        .unwrap()[0];
    let Peers::Of(peers) = &rule.peers else {
        panic!("{rule:?}")
    };
    let expected = [
        vec![("app", "web")],
        vec![("app", "web"), ("tier", "front")],
        vec![("app", "web"), ("tier", "front"), ("zone", "a")],
    ];
    let expected: Vec<Peer> = expected
        .into_iter()
        .map(|labels| Peer::pods(Selector::from_labels(labels)))
        .collect();
    assert_eq!(peers.iter().cloned().collect::<Vec<Peer>>(), expected);
}

#[test]
fn line_ends_and_marks_of_other_systems_change_nothing() {
    let unix = with_spec("\n  podSelector:\n    matchLabels:\n      app: web");
    let windows = format!("\u{feff}{}", unix.replace('\n', "\r\n"));
    assert_eq!(read(&unix).set, read(&windows).set);
}

#[test]
fn the_order_of_files_does_not_matter() {
    let first = with_spec("{}")
        .replace("name: p,", "name: a,")
        .replace(", namespace: shop", "");
    let second = with_spec("{}") + "---\n{apiVersion: v1, kind: Pod}\n";
    let files = [("a.yaml", first.as_str()), ("b.yaml", second.as_str())];
    let swapped = [files[1], files[0]];
    assert_eq!(parse(files), parse(swapped));
    let broken = [("a.yaml", "a: ["), ("b.yaml", "b: [")];
    assert_eq!(parse(broken), parse([broken[1], broken[0]]));
}
