//! `flowtape connectivity` as a user runs it: filters, formats, exit codes, and that it says what `eval` says.

use serde_json::Value;

use crate::{Ran, run};

const CLUSTER: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: a}}
---
apiVersion: v1
kind: Namespace
metadata: {name: ops}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: ops}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {hostNetwork: true, containers: [{name: c}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db-0, namespace: shop, labels: {app: db}}
spec: {nodeName: n1, containers: [{name: c, ports: [{name: pg, containerPort: 5432}]}]}
status: {podIPs: [{ip: 10.0.0.5}, {ip: "fd00::5"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: job, namespace: ops, labels: {app: job}}
spec: {containers: [{name: c}]}
status: {podIPs: [{ip: 10.0.0.6}]}
"#;

const POLICIES: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress, Egress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: pg}]
  - from: [{namespaceSelector: {matchExpressions: [{key: team, operator: DoesNotExist}]}}]
    ports: [{port: 9000, endPort: 9010}, {protocol: UDP, port: 53}]
  - from: [{ipBlock: {cidr: fd00::/64}}]
";

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write("cluster.yaml", CLUSTER);
        files.write("policies.yaml", POLICIES);
        files
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn ask(&self, question: &str) -> Ran {
        run(self.0.path(), &format!("connectivity -p policies.yaml {question}"))
    }
}

fn connections(text: &str) -> Vec<Value> {
    let document: Value = serde_json::from_str(text).unwrap();
    assert_eq!(document["schema"], "flowtape.connectivity/v1");
    document["connections"].as_array().unwrap().clone()
}

#[test]
fn a_namespace_keeps_what_begins_or_ends_in_it() {
    let files = Files::new();
    let all = connections(&files.ask("--cluster cluster.yaml --format json").stdout);
    for namespace in ["shop", "ops", "nowhere"] {
        let some = files.ask(&format!("--cluster cluster.yaml --format json -n {namespace}"));
        let is_in = |end: &Value| end["namespace"] == namespace;
        let expected: Vec<Value> = all
            .iter()
            .filter(|one| is_in(&one["from"]) || is_in(&one["to"]))
            .cloned()
            .collect();
        assert_eq!(connections(&some.stdout), expected, "{namespace}");
        assert_eq!((some.code, expected.is_empty()), (0, namespace == "nowhere"));
    }
}

/// Of every two that can be named to `eval`, on ports around the ends of what is allowed.
#[test]
fn eval_says_the_same() {
    let files = Files::new();
    let all = connections(&files.ask("--cluster cluster.yaml --format json").stdout);
    let ends = [
        "shop/Deployment/web",
        "shop/Pod/db-0",
        "ops/Pod/job",
        "ops/DaemonSet/agent",
    ];
    let named = |end: &Value| {
        let part = |field: &str| end[field].as_str().unwrap_or_default().to_owned();
        (end["type"] == "workload").then(|| format!("{}/{}/{}", part("namespace"), part("kind"), part("name")))
    };
    let mut asked = 0;
    for from in ends {
        for to in ends.into_iter().filter(|to| *to != from) {
            for (protocol, port) in [
                ("TCP", 5432),
                ("TCP", 8999),
                ("TCP", 9000),
                ("TCP", 9010),
                ("TCP", 9011),
                ("UDP", 53),
            ] {
                let ranges = all.iter().filter(|one| {
                    named(&one["from"]).as_deref() == Some(from)
                        && named(&one["to"]).as_deref() == Some(to)
                        && one["protocol"] == protocol
                });
                let listed = ranges
                    .flat_map(|one| one["ports"].as_str().unwrap().split(',').map(range))
                    .any(|range| range.contains(&port));
                let question = format!(
                    "eval -p policies.yaml --cluster cluster.yaml --from {from} --to {to} --port {port}/{protocol} --format json"
                );
                let verdict: Value = serde_json::from_str(&run(files.0.path(), &question).stdout).unwrap();
                assert_eq!(verdict["allowed"], listed, "{question}");
                asked += 1;
            }
        }
    }
    assert_eq!(asked, 72);
}

fn range(text: &str) -> std::ops::RangeInclusive<u16> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    first.parse().unwrap()..=last.parse().unwrap()
}

#[test]
fn threads_leave_no_trace() {
    let files = Files::new();
    for question in ["", "--group", "--format json", "--group --format json", "--format csv"] {
        let one = files.ask(&format!("--cluster cluster.yaml {question} --threads 1"));
        let four = files.ask(&format!("--cluster cluster.yaml {question} --threads 4"));
        assert_eq!(one.stdout, four.stdout);
        assert_eq!((one.code, four.code), (0, 0), "{}", four.stderr);
    }
}

/// Every connection of the groups is one of the list, and the other way round.
#[test]
fn groups_are_the_same_connections() {
    let files = Files::new();
    let mut listed: Vec<String> = Vec::new();
    for connection in connections(&files.ask("--cluster cluster.yaml --format json").stdout) {
        listed.push(connection.to_string());
    }
    let document: Value =
        serde_json::from_str(&files.ask("--cluster cluster.yaml --group --format json").stdout).unwrap();
    let members = |end: &Value| {
        let classes = document["classes"].as_array().unwrap();
        let class = classes
            .iter()
            .find(|class| end["type"] == "class" && class["id"] == end["id"]);
        class.map_or_else(
            || vec![end.clone()],
            |class| class["members"].as_array().unwrap().clone(),
        )
    };
    let mut grouped: Vec<String> = Vec::new();
    for connection in document["connections"].as_array().unwrap() {
        for from in members(&connection["from"]) {
            for to in members(&connection["to"]) {
                let mut one = connection.clone();
                one["from"] = from.clone();
                one["to"] = to;
                grouped.push(one.to_string());
            }
        }
    }
    listed.sort();
    grouped.sort();
    assert_eq!(listed, grouped);
    assert!(grouped.len() > 20);
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let files = Files::new();
    files.write("broken.yaml", "kind: NetworkPolicy\n");
    for (arguments, says) in [
        (
            "connectivity -p policies.yaml --cluster cluster.yaml --tape tape",
            "cannot be used with",
        ),
        ("connectivity -p policies.yaml --group --format csv", "are no rows"),
        ("connectivity -p policies.yaml --format parquet", "have rows"),
        ("connectivity -p broken.yaml", "broken.yaml:1"),
        ("connectivity -p policies.yaml --cluster gone.json", "gone.json"),
        ("connectivity --cluster cluster.yaml", "--policies"),
    ] {
        let ran = run(files.0.path(), arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments}");
        assert!(ran.stderr.contains(says), "{arguments}: {}", ran.stderr);
    }
}
