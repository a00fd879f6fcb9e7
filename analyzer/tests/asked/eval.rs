//! `flowtape eval` as a user runs it: whole output, whole messages, exit codes.

use flowtape_scenario::{Scenario, tape};
use serde_json::Value;

use crate::{Ran, run};

/// Pods, a Deployment without pods, a node, and a namespace with a label of its own.
const CLUSTER: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: a}}
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
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata: {name: db-0, namespace: shop, labels: {app: db}}
  spec: {nodeName: n1, containers: [{name: c, ports: [{name: pg, containerPort: 5432}]}]}
  status: {podIPs: [{ip: 10.0.0.5}, {ip: "fd00::5"}]}
- apiVersion: v1
  kind: Node
  metadata: {name: n1}
  status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}
"#;

const POLICIES: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: pg}]
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

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Asks about the cluster in `cluster.yaml`.
    fn ask(&self, question: &str) -> Ran {
        self.run(&format!("--cluster cluster.yaml {question}"))
    }

    fn run(&self, arguments: &str) -> Ran {
        run(self.0.path(), &format!("eval -p policies.yaml {arguments}"))
    }
}

#[test]
fn the_answer_names_the_rule_at_each_end() {
    let ran = Files::new().ask("--from shop/Deployment/web --to shop/db-0 --port 5432");
    assert_eq!(
        ran.stdout,
        "\
allowed  shop/Deployment/web -> shop/db-0 5432/TCP
  egress   allowed: no policy isolates its egress
  ingress  allowed: shop/db ingress/0 (policies.yaml:8)
"
    );
    // A prefix of the policies holds the address of a pod.
    let told = "info[FT5083]: read as by `--cni generic`: an `ipBlock` matches whoever has the address, pods and nodes of the cluster as \
                well\nhint: `flowtape explain FT5083` says what it means and what to do\n\n";
    assert_eq!((ran.code, ran.stderr.as_str()), (0, told));
}

#[test]
fn what_no_rule_allows_is_denied_by_what_isolates() {
    let ran = Files::new().ask("--from shop/web --to shop/db-0 --port 5433");
    assert_eq!(
        ran.stdout,
        "\
denied  shop/web -> shop/db-0 5433/TCP
  egress   allowed: no policy isolates its egress
  ingress  denied: no rule of shop/db (policies.yaml:1)
"
    );
    assert_eq!(ran.code, 0);
}

#[test]
fn every_reason_for_which_no_policy_is_asked_is_told() {
    let files = Files::new();
    let ends = |question: &str| {
        files
            .ask(question)
            .stdout
            .lines()
            .skip(1)
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(
        ends("--from node:n1 --to shop/db-0 --port 1/udp"),
        "  egress   allowed: no pod that policies apply to\n  ingress  allowed: a pod is always reached from its own node"
    );
    assert_eq!(
        ends("--from shop/db-0 --to 10.0.0.5 --port 9/SCTP"),
        "  egress   allowed: a pod always reaches itself\n  ingress  allowed: a pod always reaches itself"
    );
    assert_eq!(
        ends("--from shop/db-0 --to 203.0.113.9 --port 443"),
        "  egress   allowed: no policy isolates its egress\n  ingress  allowed: no pod that policies apply to"
    );
}

/// The address of the other side decides the family; of two pods with both, each family is asked, and one that is denied counts.
#[test]
fn addresses_of_both_families_are_asked() {
    let files = Files::new();
    let allowed = |question: &str| files.ask(question).stdout.starts_with("allowed");
    assert!(allowed("--from fd00::9 --to shop/db-0 --port 80"));
    assert!(!allowed("--from fd01::9 --to shop/db-0 --port 80"));
    let beside = CLUSTER
        .replace("db-0", "tool")
        .replace("app: db", "app: tool")
        .replace("0.5", "0.6")
        .replace("::5", "::6");
    files.write("beside.yaml", &format!("{CLUSTER}---{beside}"));
    let both = files.run("--cluster beside.yaml --from shop/tool --to shop/db-0 --port 80");
    assert!(both.stdout.starts_with("denied"), "{}", both.stdout);
}

#[test]
fn a_caller_that_counts_on_an_answer_gets_exit_code_1_for_the_other() {
    let files = Files::new();
    let code = |question: &str| files.ask(&format!("--from shop/web --to shop/db-0 {question}")).code;
    assert_eq!(code("--port 5432 --expect allowed"), 0);
    assert_eq!(code("--port 5432 --expect denied"), 1);
    assert_eq!(code("--port 5433 --expect denied"), 0);
    assert_eq!(code("--port 5433 --expect allowed"), 1);
}

#[test]
fn the_document_has_the_verdict_of_each_end() {
    let ran = Files::new().ask("--from shop/web --to shop/db-0 --port 5433 --format json");
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["schema"], "flowtape.eval/v1");
    assert_eq!(
        (&document["allowed"], &document["egress"]["allowed"]),
        (&Value::Bool(false), &Value::Bool(true))
    );
    let connection = serde_json::json!({"from": "shop/web", "to": "shop/db-0", "protocol": "TCP", "port": 5433});
    assert_eq!(document["connection"], connection);
    let by = serde_json::json!([{"kind": "NetworkPolicy", "namespace": "shop", "name": "db", "rule": null,
        "file": "policies.yaml", "line": 1}]);
    assert_eq!(
        document["ingress"],
        serde_json::json!({"allowed": false, "reason": "no-rule", "by": by})
    );
}

#[test]
fn pods_of_one_workload_that_are_not_judged_alike_are_no_answer() {
    let files = Files::new();
    let pod = |name: &str, label: &str| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: shop\n  labels: {{app: {label}}}\n  \
             ownerReferences: [{{apiVersion: apps/v1, kind: StatefulSet, name: two, uid: u, controller: true}}]\nspec: \
             {{containers: [{{name: c}}]}}\n"
        )
    };
    files.write(
        "two.yaml",
        &format!("{CLUSTER}{}{}", pod("two-0", "web"), pod("two-1", "other")),
    );
    let ran = files.run("--cluster two.yaml --from shop/StatefulSet/two --to shop/db-0 --port 5432");
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (
            2,
            "\
error: pods of one workload are not judged alike
caused by: shop/two-0 -> shop/db-0: egress allowed, ingress allowed
caused by: shop/two-1 -> shop/db-0: egress allowed, ingress denied

hint: ask about single pods, as NAMESPACE/POD
"
        )
    );
    assert!(
        files
            .run("--cluster two.yaml --from shop/two-0 --to shop/db-0 --port 5432")
            .stdout
            .starts_with("allowed")
    );
}

#[test]
fn a_name_that_stands_for_nobody_or_two_is_an_error() {
    let files = Files::new();
    let error = |from: &str| {
        let ran = files.run(&format!("--cluster cluster.yaml --from {from} --to shop/db-0 --port 1"));
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
        ran.stderr.lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(error("shop/nobody"), "error: the cluster has no `shop/nobody`");
    assert_eq!(error("shop/Job/web"), "error: the cluster has no `shop/Job/web`");
    assert_eq!(error("node:n9"), "error: the cluster has no `node:n9`");
    let expected = "expected NAMESPACE/POD, NAMESPACE/KIND/NAME, node:NAME or an address";
    for wrong in ["web", "a/b/c/d", "shop/", "/x"] {
        assert_eq!(
            error(wrong),
            format!("error: invalid value '{wrong}' for '--from <PEER>': {expected}")
        );
    }
    let second = CLUSTER.replace("kind: Deployment", "kind: StatefulSet");
    files.write("cluster.yaml", &format!("{CLUSTER}---{second}"));
    assert_eq!(
        error("shop/web"),
        "error: `shop/web` may be `shop/Deployment/web` or `shop/StatefulSet/web`"
    );
}

#[test]
fn a_port_is_a_number_with_a_protocol_of_policies() {
    let files = Files::new();
    for wrong in ["0", "65536", "http", "80/ICMP", "80-90"] {
        let ran = files.ask(&format!("--from shop/web --to shop/db-0 --port {wrong}"));
        assert!(
            ran.code == 2 && ran.stderr.contains("protocols are TCP, UDP and SCTP"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn a_namespace_that_is_not_given_is_said() {
    let files = Files::new();
    files.write(
        "cluster.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c}]}\n",
    );
    let ran = files.ask("--from default/a --to 203.0.113.9 --port 443");
    assert_eq!(
        ran.stderr,
        "\
warning[FT5020]: namespace `default` is not among the objects
hint: `flowtape explain FT5020` says what it means and what to do

"
    );
    assert_eq!(
        files.ask("--from default/a --to 203.0.113.9 --port 443 --strict").code,
        1
    );
}

#[test]
fn a_policy_that_is_not_read_is_said() {
    let files = Files::new();
    let other = "---\napiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {name: all}\n";
    files.write("policies.yaml", &format!("{POLICIES}{other}"));
    let ran = files.ask("--from shop/web --to shop/db-0 --port 5432 --strict");
    let told = "warning[FT5021]: policies.yaml:12: a CiliumClusterwideNetworkPolicy of cilium.io/v2 is not read\n";
    assert!(ran.stderr.contains(told), "{}", ran.stderr);
    assert_eq!(ran.code, 1);
}

#[test]
fn what_is_no_cluster_is_an_error() {
    let files = Files::new();
    let error = |text: &str| {
        files.write("cluster.yaml", text);
        let ran = files.ask("--from 10.0.0.1 --to 10.0.0.2 --port 1");
        assert_eq!(ran.code, 2, "{text}");
        ran.stderr
    };
    assert!(error("a: [1").starts_with(
        "error: no cluster can be read: `cluster.yaml`\ncaused by: `cluster.yaml`: neither JSON nor YAML"
    ));
    assert!(error("{\"a\": 1} {").starts_with("error: no cluster can be read"));
    assert!(error("a: 1").contains("caused by: `cluster.yaml`: not a Kubernetes object or List"));
    assert!(error("").contains("no pods and no workloads"));
    assert!(error(POLICIES).contains("no pods and no workloads"));
}

#[test]
fn a_file_among_manifests_that_is_none_is_named() {
    let files = Files::new();
    std::fs::create_dir(files.path("chart")).unwrap();
    files.write(
        "chart/a.yaml",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n",
    );
    files.write("chart/values.yaml", "replicaCount: 1\n");
    let ran = files.run("--cluster chart --from 10.0.0.1 --to 10.0.0.2 --port 1");
    let told = "caused by: `values.yaml`: not a Kubernetes object or List: `kind` or `apiVersion` is missing";
    assert!(ran.stderr.contains(told), "{}", ran.stderr);
}

#[test]
fn a_tape_is_a_cluster() {
    let files = Files::new();
    let text = "window 30s\ncluster\n  node n1 172.31.0.11 pods 10.244.1.0/24\n  deployment shop/web on n1 labels app=web\n  \
                deployment shop/db on n1 labels app=db ports pg:5432\n";
    let scenario = Scenario::parse(text).unwrap_or_else(|problems| panic!("{problems}"));
    tape::write(&files.path("tape"), &tape::compile(&scenario).unwrap()).unwrap();
    let ran = files.run("--cluster tape --from shop/Deployment/web --to shop/db --port 5432");
    assert!(
        ran.stdout
            .starts_with("allowed  shop/Deployment/web -> shop/db 5432/TCP\n"),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
    assert!(
        ran.stdout
            .ends_with("ingress  allowed: shop/db ingress/0 (policies.yaml:8)\n"),
        "{}",
        ran.stdout
    );
}
