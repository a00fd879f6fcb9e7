//! `flowtape generate --into`: files on disk, and that nothing becomes of them when anything is wrong.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::support::{Scratch, committed};

const DB: &str = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: dvwa-mysql\n  namespace: dvwa\n  \
                  labels:\n    app.kubernetes.io/managed-by: flowtape\nspec:\n  podSelector:\n    matchLabels:\n      \
                  app: dvwa-mysql\n      tier: backend\n  policyTypes:\n  - Ingress\n  ingress:\n  # Backups.\n  - from:\n    \
                  - podSelector:\n        matchLabels:\n          app: backup\n    ports:\n    - port: 3306\n";

/// Every file below a directory with what it holds.
fn snapshot(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(snapshot(&path));
        } else {
            files.insert(path.to_string_lossy().into_owned(), std::fs::read(&path).unwrap());
        }
    }
    files
}

fn scratch() -> Scratch {
    let scratch = Scratch::new();
    scratch.files("tape", &committed("dvwa"));
    scratch.file("policies/db.yaml", DB);
    scratch
}

/// A merge that fails with exit code 2, says this, and leaves every file as it was.
fn fails(scratch: &Scratch, arguments: &str, saying: &str) {
    let before = snapshot(&scratch.path("policies"));
    let shown = scratch.run(&format!("generate tape --into policies {arguments}"));
    assert_eq!(shown.code, 2, "{shown:?}");
    assert!(shown.stderr.contains(saying), "{}", shown.stderr);
    assert_eq!(shown.stdout, "");
    assert_eq!(snapshot(&scratch.path("policies")), before);
}

#[test]
fn any_error_leaves_every_file_as_it_was() {
    let invalid = scratch();
    invalid.file(
        "policies/other.yaml",
        DB.replace("3306", "70000").replace("dvwa-mysql", "x"),
    );
    fails(&invalid, "", "other.yaml:");
    let twice = scratch();
    twice.file("policies/other.yaml", DB);
    fails(&twice, "", "defined twice");
    let taken = scratch();
    taken.file("policies/dvwa/dvwa-web.yaml", "apiVersion: v1\nkind: ConfigMap\n");
    fails(&taken, "", "is there already and does not hold policy");
    let blocked = scratch();
    blocked.file("policies/dvwa", "a file where a folder is needed");
    fails(&blocked, "", "cannot write into");
    fails(&scratch(), "--kind Cilium", "only policies of kind NetworkPolicy");
    fails(&scratch(), "--prune-after soon", "such as `30d`");
}

#[test]
fn the_document_has_every_change() {
    let scratch = scratch();
    let shown = scratch.run("generate tape -n dvwa --into policies --format json");
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    let document: Value = serde_json::from_str(&shown.stdout).unwrap();
    let changes: Vec<(&str, &str, &str)> = document["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| {
            let text = |field: &str| change[field].as_str().unwrap_or_default();
            (text("change"), text("policy"), text("rule"))
        })
        .collect();
    assert_eq!(
        changes,
        [
            ("direction", "dvwa-mysql", "egress"),
            ("added", "dvwa-mysql", "ingress"),
            ("marked", "dvwa-mysql", "ingress/0"),
            ("created", "dvwa-web", ""),
        ]
    );
    assert_eq!(document["policies"].as_array().unwrap().len(), 2);
    let text = std::fs::read_to_string(scratch.path("policies/db.yaml")).unwrap();
    assert!(
        text.contains("  # Backups.\n  # flowtape: not exercised since 2026-01-01T00:00:00.000000000Z\n  - from:\n")
    );
}

#[test]
fn a_recording_that_is_not_complete_marks_nothing() {
    let scratch = scratch();
    std::fs::remove_file(scratch.path("tape/manifest.json")).unwrap();
    let shown = scratch.run("generate tape -n dvwa --into policies --prune-after 0s");
    assert!(shown.stderr.contains("FT4053"), "{}", shown.stderr);
    assert!(
        !shown.stdout.contains("marked") && !shown.stdout.contains("pruned"),
        "{}",
        shown.stdout
    );
    let text = std::fs::read_to_string(scratch.path("policies/db.yaml")).unwrap();
    assert!(text.contains("app: backup") && !text.contains("# flowtape:"));
}

#[test]
fn a_proof_that_is_there_is_replaced_and_none_is_made() {
    let scratch = scratch();
    assert_eq!(scratch.run("generate tape -n dvwa --into policies").code, 0);
    assert!(!scratch.path("policies/proof.json").exists());
    scratch.run("generate tape -n dvwa -o out");
    let proof = std::fs::read(scratch.path("out/proof.json")).unwrap();
    scratch.files("later", &committed("dvwa-2"));
    assert_eq!(scratch.run("generate later -n dvwa --into out").code, 0);
    let replaced = std::fs::read(scratch.path("out/proof.json")).unwrap();
    assert!(replaced != proof && replaced.starts_with(b"{"));
}

#[test]
fn new_files_enter_a_kustomization_that_nobody_else_wrote() {
    let scratch = scratch();
    scratch.run("generate tape -n kube-system -o out");
    let kustomization = || std::fs::read_to_string(scratch.path("out/kustomization.yaml")).unwrap();
    let shown = scratch.run("generate tape -n dvwa --into out");
    assert!(
        shown
            .stdout
            .contains("a new policy, named in `kustomization.yaml` (dvwa/dvwa-web.yaml)"),
        "{}",
        shown.stdout
    );
    let named = "resources:\n- dvwa/dvwa-mysql.yaml\n- dvwa/dvwa-web.yaml\n- kube-system/coredns.yaml\n";
    assert!(kustomization().ends_with(named), "{}", kustomization());
    // The lock knows them, so that a later run can tell what it may remove.
    let shown = scratch.run("generate tape -n dvwa -o out --force");
    assert!(
        shown.stderr.contains("removed `kube-system/coredns.yaml`"),
        "{}",
        shown.stderr
    );
    assert!(!scratch.path("out/kube-system").exists());
    // Neither a comment nor the end of another path names it.
    let edited = kustomization() + "- old/kube-system/coredns.yaml\n# kube-system/coredns.yaml\nnamePrefix: test-\n";
    scratch.file("out/kustomization.yaml", &edited);
    let shown = scratch.run("generate tape -n kube-system --into out");
    let told = "which `kustomization.yaml` does not name; somebody wrote that, so add `kube-system/coredns.yaml` there";
    assert!(shown.stdout.contains(told), "{}", shown.stdout);
    assert_eq!(kustomization(), edited);
    std::fs::remove_dir_all(scratch.path("out/kube-system")).unwrap();
    let theirs =
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [./kube-system/coredns.yaml]\n";
    scratch.file("out/kustomization.yaml", theirs);
    let shown = scratch.run("generate tape -n kube-system --into out");
    let told = "a new policy, which `kustomization.yaml` names already (kube-system/coredns.yaml)";
    assert!(shown.stdout.contains(told), "{} {}", shown.stdout, shown.stderr);
    // Kustomize knows the file by its name.
    std::fs::remove_dir_all(scratch.path("out/kube-system")).unwrap();
    scratch.file("out/kustomization.yaml", "resources:\n- kube-system/coredns.yaml\n");
    let shown = scratch.run("generate tape -n kube-system --into out");
    assert!(shown.stdout.contains(told), "{} {}", shown.stdout, shown.stderr);
}
