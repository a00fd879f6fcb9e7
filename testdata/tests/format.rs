//! The text format: what is read, and what is said about texts that cannot be.

use flowtape_scenario::{Scenario, connection, layout::Layout};
use proptest::prelude::{ProptestConfig, proptest};
use proptest::strategy::Strategy as _;

/// The messages for a text that cannot be read.
fn complaints(text: &str) -> String {
    match Scenario::parse(text) {
        Ok(_) => "no problem".to_owned(),
        Err(problems) => problems.to_string(),
    }
}

/// A cluster to which a test adds a line.
fn with(line: &str) -> String {
    format!(
        "cluster\nnode n1 172.31.0.11 pods 10.244.1.0/24\ndeployment a/web ports http:80\n\
         service a/web 10.96.0.1 selects app=web ports http:80\nexternal 203.0.113.7\n{line}\n"
    )
}

#[test]
fn every_line_is_complained_about_at_once_and_in_order() {
    let text = "\
cluster
  node n1 172.31.0.300
  nod n2 172.31.0.12
  deployment dvwa-web replicas 2
traffic
  dvwa/web => dvwa/db:80
  dvwa/web -> dvwa/db:80 x0
  dvwa/web -> dvwa/db:80 at 3s..1s
";
    assert_eq!(
        complaints(text),
        "\
line 2, column 11: expected an IPv4 or IPv6 address, found `172.31.0.300`
line 3, column 3: expected `node`, `namespace`, `deployment`, `statefulset`, `daemonset`, `job`, `cronjob`, `pod`, \
`static-pod`, `replica`, `service`, `external`, `metadata` or `policy`, found `nod`
line 4, column 14: expected `NAMESPACE/NAME` in lower-case letters, digits, `-` and `.`, the name with at most 52 \
characters, found `dvwa-web`
line 6, column 12: expected `->`, found `=>`
line 7, column 26: expected `xCOUNT`, `at`, `established`, `refused`, `timeout`, `unreachable`, `unknown`, `ipv6`, \
`seen-by`, `predates`, `synthetic`, `socket-balanced`, `unconnected`, `process`, `past-proxies`, `taken`, `turned-away`, \
`by-proxy`, `tunnelled`, `by-name`, `folded`, `folded-ports` or `unsampled`, found `x0`
line 8, column 29: expected a time such as `5s` or a range such as `1s..20s`, found `3s..1s`"
    );
}

#[test]
fn columns_count_characters_not_bytes() {
    assert_eq!(
        complaints("cluster\n  äö node"),
        "line 2, column 3: expected `node`, `namespace`, `deployment`, `statefulset`, `daemonset`, `job`, `cronjob`, \
         `pod`, `static-pod`, `replica`, `service`, `external`, `metadata` or `policy`, found `äö`"
    );
    assert_eq!(
        complaints("window 1s é"),
        "line 1, column 11: expected the end of the line, found `é`"
    );
}

#[test]
fn what_the_cluster_does_not_declare_is_named() {
    let cases = [
        ("deployment a/b on n9", "line 6, column 1: node `n9` is not declared"),
        (
            "replica a/web/3 on n1",
            "line 6, column 1: `a/web` has 1 pods, so there is no pod 3",
        ),
        (
            "replica a/none/0 on n1",
            "line 6, column 9: expected a workload declared above, found `a/none`",
        ),
        (
            "node n1 172.31.0.12",
            "line 6, column 1: node `n1` is already declared on line 2",
        ),
        (
            "pod a/b address 172.31.0.11",
            "line 6, column 1: address `172.31.0.11` belongs to node `n1` (line 2) and pod 0 of `a/b` (line 6) at once",
        ),
        (
            "traffic\na/web -> a/db:80",
            "line 7, column 1: workload `a/db` is not declared",
        ),
        (
            "traffic\na/web -> service a/web:81",
            "line 7, column 1: service `a/web` has no port `81/TCP`",
        ),
        (
            "traffic\na/web -> service a/web:http/UDP",
            "line 7, column 1: service `a/web` has no port `http/UDP`",
        ),
        (
            "traffic\na/web -> external 203.0.113.8:80",
            "line 7, column 1: external `203.0.113.8` is not declared",
        ),
        (
            "traffic\na/web/1 -> a/web:80",
            "line 7, column 1: `a/web/1` has no pod at 1s",
        ),
        ("traffic\na/web -> a/web:80 ipv6", "line 7, column 1: pod `a/web-"),
        (
            "traffic\na/web -> a/web:80 at 31s",
            "line 7, column 1: 31s..31s is outside the window of 30s",
        ),
        (
            "traffic\nlost n2 connect4 ring-full 5",
            "line 7, column 1: node `n2` is not declared",
        ),
        (
            "traffic\n  socket a/none packet",
            "line 7, column 1: `a/none` has no pod at 1s",
        ),
        (
            "traffic\n  socket a/web tape",
            "line 7, column 16: expected a kind of socket: `packet`, `raw`, `icmp` or `sctp`, found `tape`",
        ),
        (
            "traffic\n  a/web -> a/web:80 unconnected",
            "line 7, column 1: only UDP can be spoken without a connection",
        ),
        (
            "policy a/p\n  | podSelector: [",
            "line 6, column 1: the policy's lines are not YAML",
        ),
        ("| x: 1", "line 6, column 1: expected a `policy NAMESPACE/NAME` line"),
    ];
    for (line, expected) in cases {
        let found = complaints(&with(line));
        assert!(
            found.starts_with(expected),
            "{line}: expected `{expected}`, found `{found}`"
        );
    }
}

#[test]
fn a_lost_declaration_causes_no_complaints_about_its_uses() {
    let text =
        "cluster\nnode n1 172.31.0.11 pods 10.244.1.0/24\ndeployment a/web replicas many\ntraffic\na/web -> a/web:80\n";
    assert_eq!(
        complaints(text),
        "line 3, column 27: expected a number up to 10000, found `many`"
    );
    let text = "cluster\nnode n1\ndeployment a/web\ntraffic\na/web -> a/web:80\n";
    assert_eq!(
        complaints(text),
        "line 2, column 8: expected an IPv4 or IPv6 address, found the end of the line"
    );
}

#[test]
fn names_and_identifiers_survive_changes_around_them() {
    let pods = |text: &str| {
        let scenario = Scenario::parse(text).unwrap();
        let layout = Layout::of(&scenario).unwrap();
        layout
            .pods
            .into_iter()
            .map(|pod| (pod.name, pod.uid))
            .collect::<Vec<_>>()
    };
    let (before, after) = (
        pods(&with("")),
        pods(&with("pod a/new").replace("deployment a/web", "deployment a/x\ndeployment a/web")),
    );
    assert_eq!(before[0], after[1]);
}

#[test]
fn the_repository_scenarios_can_be_read() {
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios")).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let scenario = Scenario::parse(&text).unwrap_or_else(|problems| panic!("{}: {problems}", path.display()));
        let layout = Layout::of(&scenario).unwrap();
        assert!(!connection::connections(&scenario, &layout).unwrap().is_empty());
    }
}

/// Words that get the parser into its corners.
const WORDS: &[&str] = &[
    "metadata",
    "snapshots",
    "late",
    "0s,20s",
    "cluster",
    "traffic",
    "window",
    "node",
    "n1",
    "172.31.0.11",
    "fd00::1",
    "pods",
    "10.244.1.0/30",
    "fd00::/127",
    "namespace",
    "a",
    "a/b",
    "a/b/0",
    "deployment",
    "statefulset",
    "daemonset",
    "cronjob",
    "job",
    "pod",
    "static-pod",
    "replica",
    "replicas",
    "0",
    "3",
    "10000",
    "99999999999999999999",
    "on",
    "labels",
    "x=y",
    "x=",
    "=",
    "selects",
    "ports",
    "http:80",
    "http:80:30080->http/UDP",
    "host-network",
    "runs",
    "1s..2s",
    "-1h",
    "9223372036854775807ns",
    "from",
    "to",
    "address",
    "service",
    "headless",
    "external",
    "external-name",
    "->",
    "a/b:80",
    "a/b:http",
    "a/b/0:80/UDP",
    "service",
    "10.96.0.1",
    "n1:30080",
    "[fd00::1]:80",
    "1.2.3.4:80",
    "x3",
    "at",
    "refused",
    "ipv6",
    "predates",
    "lost",
    "gap",
    "socket",
    "packet",
    "folded",
    "folded-ports",
    "client",
    "unconnected",
    "process",
    "socket-balanced",
    "|",
    "| a: &b [*b]",
    "#",
    "policy",
    "load-balancer",
    "local",
    "\n",
    "\n",
    "\n",
    "é",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(text in ".*") {
        let _ = Scenario::parse(&text);
    }

    #[test]
    fn no_sequence_of_words_makes_it_panic(
        words in proptest::collection::vec(proptest::sample::select(WORDS), 0..60),
        head in proptest::bool::ANY.prop_map(|head| if head {
            "cluster\nnode n1 172.31.0.11 fd00::11 pods 10.244.1.0/28 fd00:1::/124\ndeployment a/b replicas 2\n\
             service a/b 10.96.0.1 selects app=b ports http:80\n"
        } else { "" }),
    ) {
        let text = format!("{head}{}", words.join(" "));
        let _ = Scenario::parse(&text);
    }
}
