//! `flowtape-recorder metadata` as a user runs it: what it writes, what it says, and what it refuses.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use flowtape_schemas::cluster::{Bound, ContainerRow, PodRow, ServiceRow};
use flowtape_schemas::manifest::{ClusterSource, Manifest};
use flowtape_schemas::parquet::decode_file;
use flowtape_schemas::table::Row;
use flowtape_schemas::time::Time;
use flowtape_schemas::validate::check_file;
use serde_json::{Value, json};

use crate::run::{files, names, run, run_with_input};

const CANARY: &str = "canary-2b9e";

fn pod(name: &str, ip: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"), "labels": {"app": name},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": CANARY, "note": CANARY},
            "managedFields": [{"manager": CANARY}]},
        "spec": {"nodeName": "n1", "serviceAccountName": "default", "volumes": [{"name": CANARY, "secret": {"secretName": CANARY}}],
            "containers": [{"name": "app", "image": "shop/app:1", "command": [CANARY], "args": [CANARY],
                "env": [{"name": CANARY, "value": CANARY}], "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"phase": "Running", "message": CANARY, "podIPs": [{"ip": ip}], "startTime": "2026-01-01T00:00:05Z"}
    })
}

fn list(items: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

fn cluster() -> String {
    list(&[
        pod("web", "10.1.0.1"),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop", "annotations": {"note": CANARY}},
            "spec": {"clusterIPs": ["10.9.0.1"], "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http", "protocol": "TCP"}]}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "shop"}, "data": {"password": CANARY}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "shop"}, "data": {"key": CANARY}}),
    ])
}

fn rows<R: Row>(tape: &Path) -> Vec<R> {
    let path = tape.join(format!("cluster/{}-000001.parquet", R::TABLE));
    decode_file(Bytes::from(std::fs::read(path).unwrap())).unwrap()
}

fn manifest(tape: &Path) -> Manifest {
    Manifest::parse(&std::fs::read(tape.join("manifest.json")).unwrap()).unwrap()
}

fn home() -> (tempfile::TempDir, String) {
    let home = tempfile::tempdir().unwrap();
    let tape = home.path().join("tape").display().to_string();
    (home, tape)
}

fn store(home: &tempfile::TempDir, name: &str, text: impl AsRef<[u8]>) -> String {
    let path = home.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn every_table_is_written_and_matches_the_manifest() {
    let (home, tape) = home();
    let input = store(&home, "cluster.json", cluster());
    let ran = run(&["metadata", "--from", &input, "-o", &tape]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{}", ran.stderr);
    assert_eq!(
        ran.stderr,
        format!(
            "left out, as no table holds them: 1 ConfigMap, 1 Secret\nwrote 1 pods, 1 containers, 1 services into {tape}\n"
        )
    );
    let tape = Path::new(&tape);
    let tables = [
        "containers",
        "endpoint_slices",
        "namespaces",
        "network_policies",
        "nodes",
        "pods",
        "services",
        "workloads",
    ];
    let mut expected: Vec<String> = tables
        .iter()
        .map(|table| format!("cluster/{table}-000001.parquet"))
        .collect();
    expected.push("manifest.json".to_owned());
    assert_eq!(names(tape), expected);
    let manifest = manifest(tape);
    assert_eq!(manifest.cluster.as_ref().unwrap().source, ClusterSource::Snapshots);
    assert!(manifest.window.is_none() && manifest.nodes.is_empty());
    for entry in &manifest.files {
        let bytes = Bytes::from(std::fs::read(tape.join(&entry.path)).unwrap());
        let problems = check_file(&entry.table, &bytes, Some(entry));
        assert!(problems.is_empty(), "{}: {problems:?}", entry.path);
    }
}

/// A List, and the same objects as documents of their own: every way `kubectl -o yaml` and a folder of manifests spell it.
#[test]
fn yaml_gives_the_same_tape_as_json() {
    let (home, from_json) = home();
    let json = store(&home, "cluster.json", cluster());
    let objects: Value = serde_json::from_str(&cluster()).unwrap();
    let list = store(&home, "list.yaml", yaml(&objects, 0));
    let single: Vec<String> = objects["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| yaml(item, 0))
        .collect();
    let documents = store(&home, "documents.yaml", format!("---\n{}---\n", single.join("---\n")));
    let tables = |input: &str, tape: &str| {
        let ran = run(&["metadata", "--from", input, "-o", tape]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        manifest(Path::new(tape)).tape_id
    };
    let expected = tables(&json, &from_json);
    for (number, input) in [list, documents].iter().enumerate() {
        let tape = home.path().join(number.to_string()).display().to_string();
        assert_eq!(tables(input, &tape), expected, "{input}");
    }
}

/// Block style, as `kubectl` prints it: lists not indented, plain keys, quoted texts.
fn yaml(value: &Value, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    if let Some(items) = value.as_array().filter(|items| !items.is_empty()) {
        let item = |item: &Value| format!("{indent}- {}", yaml(item, depth + 1).trim_start());
        return items.iter().map(item).collect::<Vec<_>>().concat();
    }
    let Some(fields) = value.as_object().filter(|fields| !fields.is_empty()) else {
        return format!("{indent}{value}\n");
    };
    let is_nested = |value: &Value| {
        value.as_object().is_some_and(|fields| !fields.is_empty())
            || value.as_array().is_some_and(|items| !items.is_empty())
    };
    let field = |(key, value): (&String, &Value)| {
        if is_nested(value) {
            return format!(
                "{indent}{key}:\n{}",
                yaml(value, depth + usize::from(value.is_object()))
            );
        }
        format!("{indent}{key}: {value}\n")
    };
    fields.iter().map(field).collect::<Vec<_>>().concat()
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let (home, first) = home();
    let input = store(&home, "cluster.json", cluster());
    let second = home.path().join("second").display().to_string();
    for tape in [&first, &second] {
        assert_eq!(run(&["metadata", "--from", &input, "-o", tape]).code, Some(0));
    }
    let content = |tape: &str| -> BTreeMap<String, Vec<u8>> {
        let read = |name: String| (name.clone(), std::fs::read(Path::new(tape).join(name)).unwrap());
        names(Path::new(tape)).into_iter().map(read).collect()
    };
    assert_eq!(content(&first), content(&second));
}

/// Secrets stand in nearly every object of a cluster; a tape travels. Files are compressed, so the rows are searched too.
#[test]
fn no_secret_reaches_any_file() {
    let (home, tape) = home();
    let input = store(&home, "cluster.json", cluster());
    assert_eq!(run(&["metadata", "--from", &input, "-o", &tape]).code, Some(0));
    let tape = Path::new(&tape);
    for file in files(tape) {
        let bytes = std::fs::read(&file).unwrap();
        let found = bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
        assert!(!found, "the canary reached {}", file.display());
    }
    let texts = [
        format!("{:?}", rows::<PodRow>(tape)),
        format!("{:?}", rows::<ContainerRow>(tape)),
        format!("{:?}", rows::<ServiceRow>(tape)),
    ];
    for text in texts {
        assert!(
            text.contains("web") || text.contains("shop/app"),
            "the input was understood: {text}"
        );
        assert!(!text.contains(CANARY), "{text}");
    }
}

#[test]
fn dated_snapshots_become_intervals() {
    let (home, tape) = home();
    let before = store(
        &home,
        "before.json",
        list(&[pod("web", "10.1.0.1"), pod("old", "10.1.0.2")]),
    );
    let after = list(&[pod("web", "10.1.0.1"), pod("new", "10.1.0.3")]);
    let (first, second) = ("2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z");
    let from = [format!("-@{second}"), format!("{before}@{first}")];
    let ran = run_with_input(
        &["metadata", "--from", &from[0], "--from", &from[1], "-o", &tape],
        &after,
    );
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let tape = Path::new(&tape);
    let start: Time = "2026-01-01T00:00:05Z".parse().unwrap();
    let (first, second): (Time, Time) = (first.parse().unwrap(), second.parse().unwrap());
    let pods: BTreeMap<String, (Option<Time>, Option<Time>, Bound)> = rows::<PodRow>(tape)
        .into_iter()
        .map(|pod| (pod.name, (pod.valid_from, pod.valid_to, pod.to_bound)))
        .collect();
    assert_eq!(pods["web"], (Some(start), None, Bound::Assumed));
    assert_eq!(pods["old"], (Some(start), Some(second), Bound::Assumed));
    assert_eq!(pods["new"].1, None);
    assert_eq!(manifest(tape).cluster.unwrap().snapshots, [first, second]);
}

#[test]
fn nothing_known_is_written_with_a_warning() {
    let (_home, tape) = home();
    let ran = run_with_input(&["metadata", "--from", "-", "-o", &tape], &list(&[]));
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.stderr.starts_with("warning: no object of a kind that a tape holds"),
        "{}",
        ran.stderr
    );
    assert_eq!(manifest(Path::new(&tape)).files.len(), 8);
}

/// Each with its exit code, what it says, and nothing left behind.
#[test]
fn bad_input_is_named_and_leaves_nothing() {
    let (home, tape) = home();
    let good = store(&home, "good.json", cluster());
    let no_json = store(&home, "no.json", "apiVersion: [v1\nkind: List\n");
    let bare = store(&home, "bare.yaml", "kind: List\n");
    let other = store(&home, "other.json", r#"{"swagger": "2.0"}"#);
    let wrong = store(
        &home,
        "wrong.json",
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "b"}, "spec": {"containers": 7}}"#,
    );
    let cut = store(&home, "cut.json", &cluster()[..200]);
    let bytes = store(&home, "bytes.json", [0xff, 0xfe, 0x00]);
    let missing = home.path().join("missing.json").display().to_string();
    let undated = format!("{good}@yesterday");
    let directory = home.path().display().to_string();
    let dated = format!("{good}@2026-01-01T00:00:00Z");
    let cases: &[(&[&str], &[&str])] = &[
        (
            &["--from", &no_json],
            &["no.json", "neither JSON nor YAML", "kubectl get"],
        ),
        (&["--from", &bare], &["bare.yaml", "not a Kubernetes object"]),
        (&["--from", &other], &["other.json", "not a Kubernetes object"]),
        (&["--from", &wrong], &["wrong.json", "item 0 (Pod `b/a`)"]),
        (&["--from", &cut], &["cut.json", "not JSON"]),
        (&["--from", &bytes], &["bytes.json", "neither JSON nor YAML"]),
        (&["--from", &missing], &["missing.json", "No such file"]),
        (&["--from", &undated], &["`yesterday` is not a time either"]),
        (&["--from", &directory], &["cannot read", "directory"]),
        (&["--from", "-", "--from", "-"], &["stdin (`-`) is named twice"]),
        (&["--from", &good, "--from", &dated], &["need a time each"]),
        (&["--from", &dated, "--from", &dated], &["two snapshots have the time"]),
        (&[], &["--from"]),
    ];
    for (from, expected) in cases {
        let arguments = [&["metadata"], *from, &["-o", &tape]].concat();
        let ran = run(&arguments);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(2), ""),
            "{from:?}: {}",
            ran.stderr
        );
        assert!(ran.stderr.starts_with("error: "), "{from:?}: {}", ran.stderr);
        for part in *expected {
            assert!(ran.stderr.contains(part), "{from:?} lacks `{part}`: {}", ran.stderr);
        }
        assert!(!Path::new(&tape).exists(), "{from:?} left something behind");
    }
}

#[test]
fn empty_input_is_no_metadata() {
    let (_home, tape) = home();
    let ran = run_with_input(&["metadata", "--from", "-", "-o", &tape], "\n");
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("`stdin` holds no metadata"), "{}", ran.stderr);
}

#[test]
fn nothing_but_a_tape_is_replaced_and_only_with_force() {
    let (home, tape) = home();
    let input = store(&home, "cluster.json", cluster());
    let arguments = ["metadata", "--from", &input, "-o", &tape];
    let forced = [&arguments[..], &["--force"]].concat();
    assert_eq!(run(&arguments).code, Some(0));

    let again = run(&arguments);
    assert_eq!(again.code, Some(2));
    assert!(
        again.stderr.contains("is not empty") && again.stderr.contains("--force"),
        "{}",
        again.stderr
    );
    assert_eq!(run(&forced).code, Some(0));

    let note = Path::new(&tape).join("cluster/notes.txt");
    std::fs::write(&note, "mine").unwrap();
    let before = names(Path::new(&tape));
    let refused = run(&forced);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused
            .stderr
            .contains("`cluster/notes.txt`, which is no part of a tape"),
        "{}",
        refused.stderr
    );
    assert_eq!(names(Path::new(&tape)), before, "nothing was touched");

    let file = store(&home, "file", "x");
    let refused = run(&["metadata", "--from", &input, "-o", &file, "--force"]);
    assert!(
        refused.code == Some(2) && refused.stderr.contains("is not a directory"),
        "{}",
        refused.stderr
    );
}
