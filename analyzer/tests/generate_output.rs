//! What `flowtape generate -o DIR` leaves in the directory: policies in each layout, and what stands beside them.
#![expect(clippy::unwrap_used, reason = "a test that cannot prepare its case fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use flowtape_scenario::{Scenario, tape};
use flowtape_schemas::manifest::sha256_hex;
use tempfile::TempDir;

const CLUSTER: &str = "cluster
  node n1 172.31.0.11 pods 10.244.1.0/24
  deployment shop/web labels app=web
  deployment shop/db labels app=db ports sql:5432
  deployment ops/agent labels app=agent
traffic
";

/// A scratch directory with one tape.
struct Scratch(TempDir);

impl Scratch {
    fn with(cluster: &str, traffic: &str) -> Self {
        let scratch = Self(tempfile::tempdir().unwrap());
        let scenario = Scenario::parse(&format!("{cluster}{traffic}")).unwrap_or_else(|problems| panic!("{problems}"));
        tape::write(&scratch.0.path().join("tape"), &tape::compile(&scenario).unwrap()).unwrap();
        scratch
    }

    fn run(&self, arguments: &str) -> Output {
        let command = Command::new(env!("CARGO_BIN_EXE_flowtape"))
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .output();
        let output = command.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments}: {said}");
        output
    }

    /// The files that `generate` writes with these options, by their paths.
    fn written(&self, options: &str) -> BTreeMap<String, String> {
        self.run(&format!("generate tape -o out --force {options}"));
        let mut files = BTreeMap::new();
        collect(&self.0.path().join("out"), "", &mut files);
        files
    }

    fn printed(&self, options: &str) -> String {
        String::from_utf8(self.run(&format!("generate tape {options}")).stdout).unwrap()
    }
}

fn collect(directory: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().into_string().unwrap());
        if entry.path().is_dir() {
            collect(&entry.path(), &format!("{name}/"), files);
        } else {
            files.insert(name, std::fs::read_to_string(entry.path()).unwrap());
        }
    }
}

const TRAFFIC: &str = "  shop/web -> shop/db:5432 x3\n  ops/agent -> shop/db:5432 x2\n";

fn paths(files: &BTreeMap<String, String>) -> Vec<&str> {
    files.keys().map(String::as_str).collect()
}

#[test]
fn every_layout_holds_the_same_policies_and_names_them_in_a_kustomization() {
    let beside = ["evidence.json", "flowtape.lock", "kustomization.yaml", "proof.json"];
    for (layout, expected) in [
        ("file", vec!["policies.yaml"]),
        ("namespace", vec!["ops/policies.yaml", "shop/policies.yaml"]),
        ("policy", vec!["ops/agent.yaml", "shop/db.yaml", "shop/web.yaml"]),
    ] {
        let scratch = Scratch::with(CLUSTER, TRAFFIC);
        let files = scratch.written(&format!("--layout {layout}"));
        let mut all: Vec<&str> = expected.iter().chain(&beside).copied().collect();
        all.sort_unstable();
        assert_eq!(paths(&files), all);
        let texts: Vec<&str> = expected.iter().map(|path| files[*path].as_str()).collect();
        assert_eq!(texts.join("---\n"), scratch.printed(""), "{layout}");
        let named = expected.join("\n- ");
        assert_eq!(
            files["kustomization.yaml"],
            format!("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n- {named}\n")
        );
        // What stands beside the policies is no policy, and in nobody's way.
        let said = String::from_utf8(scratch.run("diff tape out").stderr).unwrap();
        assert!(!said.contains("left alone"), "{said}");
    }
}

#[test]
fn a_recording_without_policies_has_a_kustomization_of_nothing() {
    let scratch = Scratch::with(CLUSTER, "  shop/web -> shop/db:5432 refused\n");
    let files = scratch.written("");
    assert_eq!(
        paths(&files),
        ["evidence.json", "flowtape.lock", "kustomization.yaml", "proof.json"]
    );
    assert!(files["kustomization.yaml"].ends_with("resources: []\n"));
}

#[test]
fn another_recording_of_the_same_behaviour_changes_only_what_stands_beside_the_policies() {
    let one = Scratch::with(CLUSTER, TRAFFIC).written("");
    let more = "  shop/web -> shop/db:5432 x7 at 2s..9s\n  ops/agent -> shop/db:5432 x5 at 3s..4s\n";
    let other = Scratch::with(&format!("window 60s\n{CLUSTER}"), more).written("");
    assert_eq!(paths(&one), paths(&other));
    let changed: Vec<&str> = paths(&one)
        .into_iter()
        .filter(|path| one[*path] != other[*path])
        .collect();
    assert_eq!(changed, ["evidence.json", "flowtape.lock", "proof.json"]);
    let hash = |files: &BTreeMap<String, String>| {
        let lines = files["flowtape.lock"].lines();
        lines
            .filter(|line| line.starts_with("settings-hash"))
            .map(str::to_owned)
            .next()
    };
    assert!(hash(&one).is_some() && hash(&one) == hash(&other));
}

#[test]
fn files_of_policies_that_are_gone_are_removed_unless_somebody_edited_them() {
    let scratch = Scratch::with(CLUSTER, TRAFFIC);
    scratch.written("");
    let out = scratch.0.path().join("out");
    std::fs::write(out.join("shop/mine.yaml"), "# by hand\n").unwrap();
    let said = String::from_utf8(scratch.run("generate tape -n shop -o out --force").stderr).unwrap();
    assert!(
        said.contains("removed `ops/agent.yaml`: no policy is in it any more"),
        "{said}"
    );
    assert!(!out.join("ops").exists());
    let edited = std::fs::read_to_string(out.join("shop/db.yaml")).unwrap() + "# checked\n";
    std::fs::write(out.join("shop/db.yaml"), &edited).unwrap();
    let said = String::from_utf8(scratch.run("generate tape -n ops -o out --force").stderr).unwrap();
    assert!(
        said.contains("is in `shop/db.yaml`, which was edited") && said.contains("removed `shop/web.yaml`"),
        "{said}"
    );
    let left = ["shop/db.yaml", "shop/mine.yaml"].map(|name| std::fs::read_to_string(out.join(name)).unwrap());
    assert_eq!(left, [edited, "# by hand\n".to_owned()]);
    // A lock that says otherwise leads nowhere else.
    std::fs::write(scratch.0.path().join("outside.yaml"), "x").unwrap();
    let hash = &sha256_hex(b"x")[..16];
    std::fs::write(
        out.join("flowtape.lock"),
        format!("[files]\n\"../outside.yaml\" = \"{hash}\"\n"),
    )
    .unwrap();
    scratch.written("");
    assert!(scratch.0.path().join("outside.yaml").exists());
}

#[test]
fn the_lock_names_tapes_build_and_every_setting() {
    let scratch = Scratch::with(CLUSTER, TRAFFIC);
    let files = scratch.written("-n shop --exclude ops --widen cidr=4,64 --widen nodes --min-count 2 --dns seen");
    let document: serde_json::Value = serde_json::from_str(&files["evidence.json"]).unwrap();
    let id = document["inputs"][0]["id"].as_str().unwrap();
    let lock = &files["flowtape.lock"];
    let hash = lock
        .lines()
        .find_map(|line| line.strip_prefix("settings-hash = "))
        .unwrap();
    let listed = ["kustomization.yaml", "shop/db.yaml", "shop/web.yaml"];
    let listed = listed.map(|name| format!("\"{name}\" = \"{}\"\n", &sha256_hex(files[name].as_bytes())[..16]));
    let expected = format!(
        "# Where the policies beside this file come from. Written by `flowtape generate`.
version = 1
tool = \"{}\"
tapes = [\"{id}\"]
settings-hash = {hash}

[files]
{files}
[settings]
namespace = [\"shop\"]
kind = \"NetworkPolicy\"
cni = \"generic\"
default-deny = \"workload\"
published = \"declared\"
dns = \"seen\"
include-failed = false
min-count = 2
exclude = [\"ops\"]
widen = [\"cidr=4,64\", \"nodes\"]
split-directions = false
evidence = \"comments\"
layout = \"policy\"
",
        env!("CARGO_PKG_VERSION"),
        files = listed.concat(),
    );
    assert_eq!(*lock, expected);
    let others = scratch.written("-n shop --exclude ops --min-count 2");
    assert!(!others["flowtape.lock"].contains(hash));

    // What the lock says, the file of settings takes, and makes the same of it.
    let (_, settings) = lock.split_once("[settings]").unwrap();
    std::fs::write(scratch.0.path().join("same.toml"), format!("[generate]{settings}")).unwrap();
    assert_eq!(scratch.written("--config same.toml")["flowtape.lock"], *lock);
}

#[test]
fn evidence_has_the_counts_and_times_behind_each_rule() {
    let scratch = Scratch::with(CLUSTER, TRAFFIC);
    let text = &scratch.written("")["evidence.json"];
    let document: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(document["schema"], "flowtape.evidence/v1");
    let edges = document["edges"].as_array().unwrap();
    let field = |of: &serde_json::Value, field: &str| of[field].as_str().unwrap().to_owned();
    let told: Vec<String> = document["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| {
            let ids = rule["edges"].as_array().unwrap();
            let behind = edges.iter().filter(|edge| ids.contains(&edge["id"]));
            let behind: Vec<&serde_json::Value> = behind.collect();
            let count: u64 = behind.iter().map(|edge| edge["count"].as_u64().unwrap()).sum();
            assert_eq!(rule["count"], count);
            let first = behind.iter().map(|edge| field(edge, "first_seen")).min();
            let last = behind.iter().map(|edge| field(edge, "last_seen")).max();
            assert_eq!(
                (first, last),
                (Some(field(rule, "first_seen")), Some(field(rule, "last_seen")))
            );
            let place = format!(
                "{}/{} {}",
                field(rule, "namespace"),
                field(rule, "policy"),
                field(rule, "rule")
            );
            format!("{place}: {count} of {} edges", ids.len())
        })
        .collect();
    assert_eq!(
        told,
        [
            "ops/agent egress/0: 2 of 1 edges",
            "shop/db ingress/0: 5 of 2 edges",
            "shop/web egress/0: 3 of 1 edges"
        ]
    );
    // Each edge is there once, although its client and its server have a rule for it, and its line says all of it.
    assert_eq!(edges.len(), 2);
    for edge in edges {
        let line = text
            .lines()
            .find(|line| line.contains(&format!("\"id\":{}", edge["id"])))
            .unwrap();
        let alone: serde_json::Value = serde_json::from_str(line.trim().trim_end_matches(',')).unwrap();
        assert_eq!(alone, *edge);
    }
}
