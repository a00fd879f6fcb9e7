//! `flowtape diff` of a tape and policies.

use crate::{Lab, SYNTHETIC};

const TRAFFIC: &str = "
  shop/web -> service shop/db:5432/TCP x3 at 1s..9s
  shop/web -> pod shop/api:8080/TCP x2 at 1s..2s
  ops/job -> service shop/db:5432/TCP x3 at 1s..9s
  203.0.113.7 -> shop/web:80/TCP at 3s
";

const WEB: &str = "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress, Egress]
  ingress:
  - from: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.244.0.0/16]}}]
    ports: [{port: http}]
  egress:
  - to: [{podSelector: {matchLabels: {app: db}}}]
    ports: [{port: 5432, endPort: 5433}]
";

const DB: &str = "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}, {podSelector: {matchLabels: {app: api}}}]
    ports: [{port: sql}, {port: 5433}]
";

fn lab() -> Lab {
    let lab = Lab::new();
    lab.traffic("tape", &TRAFFIC.replace("203.0.113.7", "external 203.0.113.7"));
    lab.write("policies/web.yaml", WEB);
    lab.write("policies/more/db.yml", DB);
    lab.write("policies/.git/config.yaml", "not: a policy");
    lab
}

#[test]
fn what_policies_deny_and_what_they_allow_beyond_is_told_with_its_rules() {
    let findings = format!(
        "warning[FT5001]: ops/Deployment/job: no policy isolates its egress, so everything is allowed there
warning[FT5001]: ops/Deployment/job: no policy isolates its ingress, so everything is allowed there
warning[FT5001]: shop/Deployment/api: no policy isolates its egress, so everything is allowed there
warning[FT5001]: shop/Deployment/api: no policy isolates its ingress, so everything is allowed there
warning[FT5001]: shop/Deployment/db: no policy isolates its egress, so everything is allowed there
info[FT1009]: {SYNTHETIC}
hint: `flowtape explain FT5001` says what it means and what to do
peers of 4 edges: none unknown or ambiguous

"
    );
    lab().run("diff tape policies").is(
        1,
        "
+  added    shop/Deployment/api             ->  shop/Deployment/db   TCP 5432-5433  allowed, never seen: shop/db ingress/0 (more/db.yml:8)
+  added    0.0.0.0/0 except 10.244.0.0/16  ->  shop/Deployment/web  TCP 80         allowed, never seen: shop/web ingress/0 (web.yaml:8)
-  removed  ops/Deployment/job              ->  shop/Deployment/db   TCP 5432       denied at the server: shop/db (more/db.yml:1)
-  removed  shop/Deployment/web             ->  shop/Deployment/api  TCP 8080       denied at the client: shop/web (web.yaml:1)
~  widened  shop/Deployment/web             ->  shop/Deployment/db   TCP 5433       allowed, never seen: shop/db ingress/0 (more/db.yml:8), shop/web egress/0 (web.yaml:11)

2 added, 2 removed, 1 widened, 0 narrowed, 0 undecided, 5 not isolated
",
        &findings,
    );
}

#[test]
fn exchanged_sides_mirror_the_changes() {
    let lab = lab();
    let run = lab.run("diff policies tape");
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (
            1,
            "\
+  added     ops/Deployment/job              ->  shop/Deployment/db   TCP 5432       denied at the server: shop/db (more/db.yml:1)
+  added     shop/Deployment/web             ->  shop/Deployment/api  TCP 8080       denied at the client: shop/web (web.yaml:1)
-  removed   shop/Deployment/api             ->  shop/Deployment/db   TCP 5432-5433  allowed, never seen: shop/db ingress/0 (more/db.yml:8)
-  removed   0.0.0.0/0 except 10.244.0.0/16  ->  shop/Deployment/web  TCP 80         allowed, never seen: shop/web ingress/0 (web.yaml:8)
~  narrowed  shop/Deployment/web             ->  shop/Deployment/db   TCP 5433       allowed, never seen: shop/db ingress/0 (more/db.yml:8), shop/web egress/0 (web.yaml:11)

2 added, 2 removed, 0 widened, 1 narrowed, 0 undecided, 5 not isolated
"
        )
    );
    let kinds = |words: &str| {
        let inputs = lab.run(words).json()["inputs"].as_array().unwrap().clone();
        inputs
            .iter()
            .map(|input| input["kind"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(kinds("diff policies tape --format json"), ["policies", "tape"]);
    assert_eq!(kinds("diff tape policies --format json"), ["tape", "policies"]);
}

#[test]
fn the_document_names_who_denies() {
    let document = lab().run("diff tape policies --format json").json();
    let denied = &document["changes"][2];
    assert_eq!(denied["class"], "removed");
    assert_eq!(denied["side"], "before");
    assert_eq!(denied["reason"], "ingress-denied");
    assert_eq!(
        denied["by"],
        serde_json::json!([{"kind": "NetworkPolicy", "namespace": "shop", "name": "db", "rule": null, "file": "more/db.yml", "line": 1}])
    );
    let block = &document["changes"][1]["from"];
    assert_eq!(
        *block,
        serde_json::json!({"type": "external", "cidr": "0.0.0.0/0", "except": ["10.244.0.0/16"], "names": []})
    );
    assert_eq!(document["changes"][1]["by"][0]["rule"], "ingress/0");
}

#[test]
fn the_input_is_called_by_its_content_wherever_it_lies() {
    let lab = lab();
    let id = |words: &str| lab.run(words).json()["inputs"][1]["id"].clone();
    let first = id("diff tape policies --format json");
    std::fs::rename(lab.path("policies"), lab.path("elsewhere")).unwrap();
    assert_eq!(id("diff tape elsewhere --format json"), first);
    lab.write("elsewhere/web.yaml", &format!("{WEB}# more\n"));
    assert_ne!(id("diff tape elsewhere --format json"), first);
}

#[test]
fn a_workload_that_nothing_isolates_counts_as_a_difference() {
    let lab = Lab::new();
    lab.traffic("tape", "shop/web -> pod shop/api:8080/TCP at 1s");
    lab.write("none.yaml", "apiVersion: v1\nkind: List\nitems: []\n");
    let run = lab.run("diff tape none.yaml");
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (
            1,
            "0 added, 0 removed, 0 widened, 0 narrowed, 0 undecided, 4 not isolated\n"
        )
    );
    assert_eq!(lab.run("diff tape none.yaml --fail-on added").code, 1);
    assert_eq!(lab.run("diff tape none.yaml --fail-on removed").code, 0);
    assert_eq!(lab.run("diff none.yaml tape --fail-on removed").code, 1);
    // Another namespace's workloads are neither told nor counted.
    let elsewhere = lab.run("diff tape none.yaml -n ops");
    assert_eq!(elsewhere.code, 0);
    assert!(!elsewhere.stderr.contains("FT5001"), "{}", elsewhere.stderr);
}

#[test]
fn connections_of_unknown_peers_are_undecided() {
    let lab = lab();
    lab.traffic("vague", "address 10.244.1.77 -> shop/db:5432/TCP at 6s");
    let run = lab.run("diff vague policies -n shop");
    let db: Vec<&str> = run.stdout.lines().filter(|line| line.contains("TCP 543")).collect();
    assert_eq!(
        db,
        [
            "+  added      shop/Deployment/api                   ->  shop/Deployment/db   TCP 5433  allowed, never seen: shop/db ingress/0 (more/db.yml:8)",
            "+  added      shop/Deployment/web                   ->  shop/Deployment/db   TCP 5433  allowed, never seen: shop/db ingress/0 (more/db.yml:8), shop/web egress/0 (web.yaml:11)",
            "?  undecided  shop/Deployment/api                   ->  shop/Deployment/db   TCP 5432  allowed, never seen, and the other recording has it perhaps, from or to a peer it cannot identify: shop/db ingress/0 (more/db.yml:8)",
            "?  undecided  shop/Deployment/web                   ->  shop/Deployment/db   TCP 5432  allowed, never seen, and the other recording has it perhaps, from or to a peer it cannot identify: shop/db ingress/0 (more/db.yml:8), shop/web egress/0 (web.yaml:11)",
            "?  undecided  unknown:10.244.1.77 (no-pod-at-time)  ->  shop/Deployment/db   TCP 5432  seen only before, and a peer is not known",
        ]
    );
}

#[test]
fn two_sets_are_compared_by_what_they_mean() {
    let lab = lab();
    lab.run("diff policies policies")
        .is(0, "0 added, 0 removed, 0 widened, 0 narrowed, 0 undecided\n", "");
    lab.run("diff policies policies --cluster nowhere")
        .is(2, "", "error: no such file or directory: `nowhere`\n");
    let refused = lab.run("diff tape policies --cluster tape");
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""));
    assert!(
        refused.stderr.contains("`--cluster` is for two sets of policies"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_directory_of_both_kinds_is_refused_unless_a_prefix_says_which() {
    let lab = lab();
    lab.traffic("both", "shop/web -> pod shop/api:8080/TCP at 1s");
    lab.write("both/web.yaml", WEB);
    lab.run("diff tape both").is(
        2,
        "",
        "
error: both a tape and policies: `both`

hint: write `tape:both` or `policy:both`
",
    );
    assert_eq!(
        lab.run("diff tape tape:both --format json").json()["inputs"][1]["kind"],
        "tape"
    );
    // The manifest of the tape is no policy, and is told as such.
    let run = lab.run("diff tape policy:both");
    assert_eq!(run.code, 2);
    assert!(
        run.stderr.contains("manifest.json:1: no Kubernetes object"),
        "{}",
        run.stderr
    );
    // A directory of policies may have a directory of the name that a tape's metadata has.
    lab.write("ops/cluster/web.yaml", WEB);
    assert_eq!(lab.run("diff tape ops").code, 2);
    assert_eq!(lab.run("diff tape policy:ops --fail-on none").code, 0);
    assert_eq!(lab.run("diff tape:policies tape").code, 2);
}

#[test]
fn all_problems_of_all_files_are_told_at_once() {
    let lab = lab();
    lab.write("bad/a.yaml", &WEB.replace("endPort: 5433", "endPort: 1"));
    lab.write("bad/b.json", "{");
    lab.write("bad/c.yaml", &DB.replace("port: sql", "port: 70000"));
    std::fs::write(lab.path("bad/d.yaml"), b"\xff\xfe").unwrap();
    let run = lab.run("diff tape bad");
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines[0], "error: policies cannot be used: `bad`");
    assert_eq!(lines.len(), 5, "{}", run.stderr);
    for (line, start) in lines[1..].iter().zip([
        "caused by: `d.yaml`: is not UTF-8: ",
        "caused by: a.yaml:12: NetworkPolicy `shop/web`: `spec.egress[0].ports[0].endPort`: ",
        "caused by: b.json:2: not valid YAML: ",
        "caused by: c.yaml:9: NetworkPolicy `shop/db`: `spec.ingress[0].ports[0].port`: ",
    ]) {
        assert!(line.starts_with(start), "{line}");
    }
}

#[test]
fn a_path_without_policies_is_bad_input() {
    let lab = lab();
    lab.write("notes/readme.txt", "");
    for (words, start) in [
        ("diff tape missing", "error: no such file or directory: `missing`\n"),
        (
            "diff tape notes",
            "error: no policies: there is no `.yaml`, `.yml` or `.json` file below `notes`\n",
        ),
    ] {
        let run = lab.run(words);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{words}");
        assert!(run.stderr.starts_with(start), "{words}: {}", run.stderr);
    }
}

#[cfg(unix)]
#[test]
fn links_are_refused_and_not_passed_over() {
    let lab = lab();
    std::os::unix::fs::symlink(lab.path("policies/web.yaml"), lab.path("policies/link.yaml")).unwrap();
    let run = lab.run("diff tape policies");
    assert_eq!(run.code, 2);
    assert_eq!(
        run.stderr,
        "error: `link.yaml` is a link or a special file, which is not followed: `policies`\n\n\
         hint: give the directory or file that it leads to\n"
    );
    std::fs::remove_file(lab.path("policies/link.yaml")).unwrap();
    std::os::unix::fs::symlink(lab.path("tape"), lab.path("policies/more/loop")).unwrap();
    assert_eq!(lab.run("diff tape policies").code, 2);
}

#[test]
fn other_objects_and_doubtful_rules_are_told() {
    let lab = lab();
    lab.write(
        "policies/other.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n",
    );
    lab.write(
        "policies/web.yaml",
        &WEB.replace(", namespace: shop", "")
            .replace("[Ingress, Egress]", "[Ingress]"),
    );
    let stderr = lab.run("diff tape policies").stderr;
    let lines: Vec<&str> = stderr.lines().take(3).collect();
    assert_eq!(
        lines,
        [
            "warning: web.yaml:3: NetworkPolicy `web`: `metadata`: no namespace given, `default` assumed",
            "warning: web.yaml:10: NetworkPolicy `web`: `spec.egress`: these rules have no effect: `policyTypes` does not list this direction",
            "note: 1 objects that are no NetworkPolicy were left alone, the first a ConfigMap in other.yaml:1",
        ]
    );
}

#[cfg(unix)]
#[test]
fn hostile_names_of_files_are_escaped() {
    let lab = lab();
    lab.write("hostile/a\u{1b}[2J\u{202e}.yaml", WEB);
    let text = lab.run("diff tape hostile");
    assert!(
        text.stdout.contains("(a\\u{1b}[2J\\u{202e}.yaml:1)"),
        "{:?}",
        text.stdout
    );
    let json = lab.run("diff tape hostile --format json");
    for run in [&text, &json] {
        let hostile = |text: &str| text.chars().any(|one| one == '\u{1b}' || one == '\u{202e}');
        assert!(!hostile(&run.stdout) && !hostile(&run.stderr), "{run:?}");
    }
    assert!(
        json.stdout.contains(r#""file": "a\u001b[2J\u202e.yaml""#),
        "{}",
        json.stdout
    );
}

#[test]
fn policies_that_are_not_read_are_said() {
    let lab = lab();
    lab.write(
        "policies/all.yaml",
        "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {name: all}\nspec: {}\n",
    );
    let told = "warning[FT5021]: all.yaml:1: a CiliumClusterwideNetworkPolicy of cilium.io/v2 is not read\n";
    for arguments in [
        "diff tape policies",
        "verify tape -p policies",
        "explain tape --rule shop/db --policies policies",
    ] {
        let ran = lab.run(arguments);
        assert!(ran.stderr.contains(told), "{arguments}: {}", ran.stderr);
    }
}
