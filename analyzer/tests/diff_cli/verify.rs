//! `flowtape verify`: exit codes, gates and bad input. What it says is in `testdata/spec/verify.md`.

use crate::Lab;

const ALLOWS: &str = "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: sql}]
";

const BASELINE: &str = "[[accept]]
from = \"shop/web\"
to = \"shop/db\"
reason = \"a test\"
";

/// A recording of one connection, and one of the same with a peer that nobody knows.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.traffic("tape", "  shop/web -> service shop/db:5432 x3 at 1s..9s\n");
    lab.traffic(
        "stranger",
        "  shop/web -> service shop/db:5432 x3 at 1s..9s\n  address 10.244.1.99 -> shop/db:5432 at 3s\n",
    );
    lab.write("allows/db.yaml", ALLOWS);
    lab.write("denies/db.yaml", &ALLOWS.replace("app: web", "app: other"));
    lab.write("baseline.toml", BASELINE);
    lab
}

#[test]
fn the_exit_code_says_whether_something_would_be_denied() {
    let lab = lab();
    for (words, code) in [
        ("verify tape --policies allows", 0),
        ("verify tape -p allows/db.yaml", 0),
        ("verify tape --policies denies", 1),
        ("verify tape --policies denies --format json", 1),
        ("verify tape --policies denies -n ops", 0),
        ("verify tape --policies denies --baseline baseline.toml", 0),
        // What cannot be judged is said and is no denial; with `--strict` it counts.
        ("verify stranger --policies allows", 0),
        ("verify stranger --policies allows --strict", 1),
        ("verify tape --policies denies --baseline baseline.toml --strict", 1),
    ] {
        let run = lab.run(words);
        assert_eq!(run.code, code, "`{words}`: {}{}", run.stdout, run.stderr);
        assert!(!run.stdout.is_empty(), "`{words}`");
    }
}

/// An entry that one verb reads narrowly does not accept more to the other.
#[test]
fn an_entry_that_is_for_diff_accepts_no_denial() {
    let lab = lab();
    lab.write("diff.toml", &format!("{BASELINE}change = \"widened\"\n"));
    assert_eq!(lab.run("verify tape --policies denies --baseline diff.toml").code, 1);
    lab.write("verify.toml", &format!("{BASELINE}direction = \"ingress\"\n"));
    lab.traffic("none", "  shop/web -> pod shop/api:8080 at 1s\n");
    lab.traffic(
        "both",
        "  shop/web -> pod shop/api:8080 at 1s\n  shop/web -> service shop/db:5432 at 1s\n",
    );
    assert_eq!(lab.run("diff none both --baseline baseline.toml").code, 0);
    assert_eq!(lab.run("diff none both --baseline verify.toml").code, 1);
}

/// An address is one outside; everybody is every pod as well.
#[test]
fn who_accepts_every_address_does_not_accept_everybody() {
    let lab = lab();
    lab.write(
        "isolated/db.yaml",
        &ALLOWS.replace("  ingress:", "  ingress:\n  - from: [{podSelector: {}}]"),
    );
    lab.write("open/other.yaml", &ALLOWS.replace("app: db", "app: nothing"));
    for (from, code) in [("0.0.0.0/0", 1), ("type:any", 0)] {
        let entry = format!("[[accept]]\nfrom = \"{from}\"\nto = \"shop\"\nreason = \"a test\"\n");
        lab.write("everybody.toml", &entry);
        let run = lab.run("diff isolated open --fail-on added,widened --baseline everybody.toml");
        assert_eq!(run.code, code, "{from}: {}", run.stdout);
    }
}

#[test]
fn the_document_names_what_was_read() {
    let document = lab().run("verify tape --policies denies --format json").json();
    assert_eq!(document["schema"], "flowtape.verify/v1");
    let kinds: Vec<_> = document["inputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|input| input["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["tape", "policies"]);
    assert_eq!(document["denied"][0]["direction"], "ingress");
    assert_eq!(document["denied"][0]["edge"]["count"], 3);
}

#[test]
fn two_recordings_say_when_a_rule_was_last_needed() {
    let lab = lab();
    lab.traffic("later", "  shop/web -> pod shop/api:8080 at 1s..2s\n");
    let document = lab.run("verify tape later --policies allows --format json").json();
    let rule = &document["rules"][0];
    assert_eq!(rule["last_seen"], "2026-01-01T00:00:09.000000000Z");
    assert_eq!(rule["age_seconds"], 21);
    let document = lab.run("verify later --policies allows --format json").json();
    assert!(document["rules"][0]["last_seen"].is_null());
    assert_eq!(document["rules"][0]["age_seconds"], 30);
}

#[test]
fn bad_input_is_refused_with_what_to_do() {
    let lab = lab();
    lab.write("broken/db.yaml", "kind: NetworkPolicy\nspec: [");
    lab.write("latin.toml", "\u{0}");
    lab.write(
        "other/db.yaml",
        &ALLOWS.replace("networking.k8s.io/v1", "crd.projectcalico.org/v1"),
    );
    lab.write(
        "refused/db.yaml",
        &ALLOWS.replace("networking.k8s.io/v1", "projectcalico.org/v3"),
    );
    let staged = ALLOWS.replace("networking.k8s.io/v1", "projectcalico.org/v3");
    lab.write(
        "staged/db.yaml",
        &staged.replace("kind: NetworkPolicy", "kind: StagedKubernetesNetworkPolicy"),
    );
    lab.write("empty/db.yaml", "---\n");
    for (words, says) in [
        ("verify tape", "--policies <PATH>"),
        ("verify --policies allows", "<TAPE>..."),
        ("verify tape --policies nowhere", "no such file or directory: `nowhere`"),
        ("verify tape --policies broken", "policies cannot be used: `broken`"),
        ("verify nowhere --policies allows", "nowhere"),
        (
            "verify tape --policies other",
            "other objects are there, the first a NetworkPolicy of crd.projectcalico.org/v1 in db.yaml:1",
        ),
        (
            "verify tape --policies refused",
            "a policy is there that is left out: db.yaml:5: CalicoNetworkPolicy `shop/db`: `spec.podSelector`: not evaluated",
        ),
        (
            "verify tape --policies staged",
            "a policy is there that is staged: StagedKubernetesNetworkPolicy shop/db (db.yaml:1)",
        ),
        (
            "verify tape --policies empty",
            "no NetworkPolicy to judge by in `empty`",
        ),
        ("verify tape --policies allows --baseline allows/db.yaml", "line 1: "),
        ("verify tape --policies allows --baseline latin.toml", "line 1: "),
        (
            "verify tape --policies allows --format csv",
            "only `flows`, `query` and `connectivity` have rows",
        ),
        ("flows tape --format sarif", "only `diff` and `verify` have a review"),
        (
            "inspect tape --format markdown",
            "only `diff` and `verify` have a review",
        ),
        (
            "eval -p allows --cluster tape --from shop/web --to shop/db --port 1 --format junit",
            "only `diff`",
        ),
        ("verify tape -p allows --report csv=x", "write FORMAT=FILE"),
        ("verify tape -p allows --report sarif", "write FORMAT=FILE"),
        (
            "verify tape -p allows --report sarif=nowhere/x",
            "cannot write `nowhere/x`",
        ),
        (
            "verify tape -p allows --as-of 2026-01-01T00:00:00Z",
            "--baseline <FILE>",
        ),
    ] {
        let run = lab.run(words);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "`{words}`: {}", run.stderr);
        assert!(run.stderr.contains(says), "`{words}`: {}", run.stderr);
    }
}

#[test]
fn each_format_ends_with_the_same_code_and_says_the_same() {
    let lab = lab();
    lab.traffic(
        "more",
        "  shop/web -> service shop/db:5432 x3 at 1s..9s\n  ops/job -> shop/web:80 at 1s\n",
    );
    for (words, code) in [
        ("verify tape --policies denies", 1),
        ("verify tape --policies allows", 0),
        ("verify stranger --policies allows --strict", 1),
        ("diff tape more", 1),
        ("diff tape more --fail-on removed", 0),
        ("diff tape stranger --fail-on removed", 1),
        ("diff tape tape", 0),
        ("diff tape denies", 1),
    ] {
        let passed = code == 0;
        let markdown = lab.run(&format!("{words} --format markdown"));
        assert_eq!(
            (markdown.code, markdown.stderr.contains("error")),
            (code, false),
            "{words}"
        );
        let verdict = markdown.stdout.lines().next().unwrap();
        assert_eq!(verdict.ends_with(": passed"), passed, "{words}: {verdict}");

        let junit = lab.run(&format!("{words} --format junit"));
        assert_eq!(junit.code, code, "{words}");
        let document = roxmltree::Document::parse(&junit.stdout).unwrap();
        let failures = document
            .descendants()
            .filter(|node| node.has_tag_name("failure"))
            .count();
        assert_eq!(failures == 0, passed, "{words}");
        let suite = document
            .descendants()
            .find(|node| node.has_tag_name("testsuite"))
            .unwrap();
        let cases = suite.children().filter(|node| node.has_tag_name("testcase")).count();
        assert_eq!(suite.attribute("failures"), Some(failures.to_string().as_str()));
        assert_eq!(suite.attribute("tests"), Some(cases.to_string().as_str()));

        let sarif = lab.run(&format!("{words} --format sarif"));
        assert_eq!((sarif.code, sarif.stderr.contains("error")), (code, false), "{words}");
        let results = sarif.json()["runs"][0]["results"].as_array().unwrap().clone();
        let errors = results.iter().filter(|result| result["level"] == "error").count();
        assert_eq!(
            (errors, results.len() + usize::from(passed)),
            (failures, cases),
            "{words}"
        );

        let beside = lab.run(&format!(
            "{words} --report junit=j.xml --report json=j.json --report sarif=j.sarif --report markdown=j.md"
        ));
        assert_eq!(beside.code, code);
        let file = |name: &str| std::fs::read_to_string(lab.path(name)).unwrap();
        let said = [junit.stdout, sarif.stdout, markdown.stdout];
        assert_eq!([file("j.xml"), file("j.sarif"), file("j.md")], said, "{words}");
        assert_eq!(file("j.json"), lab.run(&format!("{words} --format json")).stdout);
    }
}
