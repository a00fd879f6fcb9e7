//! `recorder/deploy/base.yaml` says what the plugin would create.

use std::path::Path;

use flowtape_recorder::plugin::cli::PRINTED;
use flowtape_recorder::plugin::manifest::{Run, objects};
use flowtape_recorder::plugin::yaml;
use serde_json::Value;

/// The run that is committed: without an end, and with an image that whoever applies it names.
fn run() -> Run {
    Run {
        id: PRINTED.to_owned(),
        namespace: "flowtape".to_owned(),
        image: "flowtape-recorder".to_owned(),
        limit: None,
        max_size: 1 << 30,
        namespaces: Vec::new(),
        arguments: Vec::new(),
    }
}

fn base() -> Vec<Value> {
    objects(&run())
}

#[test]
fn the_kustomize_base_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/base.yaml");
    let expected = yaml::documents(&base());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        found, expected,
        "deploy/base.yaml is stale; `make bless` writes it anew"
    );
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects
        .iter()
        .find(|object| object["kind"] == kind)
        .unwrap_or(&Value::Null)
}

#[test]
fn a_node_s_pod_has_three_capabilities_and_nothing_to_write_to_but_its_tape() {
    let objects = base();
    let spec = &of_kind(&objects, "DaemonSet")["spec"]["template"]["spec"];
    let container = &spec["containers"][0];
    let security = &container["securityContext"];
    assert_eq!(
        security["capabilities"]["add"],
        serde_json::json!(["BPF", "NET_ADMIN", "PERFMON"])
    );
    assert_eq!(security["capabilities"]["drop"], serde_json::json!(["ALL"]));
    for (field, expected) in [
        ("privileged", false),
        ("allowPrivilegeEscalation", false),
        ("readOnlyRootFilesystem", true),
    ] {
        assert_eq!(security[field], expected, "{field}");
    }
    assert_eq!(spec["automountServiceAccountToken"], false);
    let mounts = container["volumeMounts"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let writable: Vec<&Value> = mounts.iter().filter(|mount| mount["readOnly"] != true).collect();
    assert_eq!(writable.len(), 1);
    assert_eq!(writable[0]["mountPath"], "/tape");
}

#[test]
fn the_watcher_has_no_privileges_and_may_only_read() {
    let objects = base();
    let spec = &of_kind(&objects, "Deployment")["spec"]["template"]["spec"];
    let security = &spec["containers"][0]["securityContext"];
    assert_eq!(security["runAsNonRoot"], true);
    assert_eq!(security["capabilities"], serde_json::json!({"drop": ["ALL"]}));
    assert!(spec["hostPID"].is_null());
    let rules = of_kind(&objects, "ClusterRole")["rules"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    assert!(!rules.is_empty());
    for rule in rules {
        assert_eq!(rule["verbs"], serde_json::json!(["list", "watch"]));
        let text = rule["resources"].to_string();
        assert!(
            !text.contains("secrets") && !text.contains("configmaps") && !text.contains('*'),
            "{text}"
        );
    }
}

/// Clean-up finds objects by their label and nothing else.
#[test]
fn everything_but_the_namespace_has_the_label_of_its_run() {
    for object in base() {
        let labels = &object["metadata"]["labels"];
        assert_eq!(labels["app.kubernetes.io/managed-by"], "flowtape", "{object}");
        let run = if object["kind"] == "Namespace" {
            &Value::Null
        } else {
            &Value::from(PRINTED)
        };
        assert_eq!(&labels["flowtape.run"], run, "{object}");
    }
}

/// What a pod runs is what the program accepts.
#[test]
fn the_arguments_of_the_pods_are_accepted() {
    use clap::Parser as _;
    use flowtape_recorder::cli::Cli;
    let words = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap_or_default() };
    let objects = objects(&Run {
        limit: Some(std::time::Duration::from_mins(45)),
        namespaces: vec!["shop".to_owned(), "web".to_owned()],
        arguments: vec!["--events".to_owned(), "first:8".to_owned()],
        ..run()
    });
    for kind in ["DaemonSet", "Deployment"] {
        let container = &of_kind(&objects, kind)["spec"]["template"]["spec"]["containers"][0];
        let line = [words(&container["command"]), words(&container["args"])].concat();
        let agent = Cli::try_parse_from(&line);
        assert!(agent.is_ok(), "{line:?}: {agent:?}");
        let verb = line.split(|word| word == "--").nth(1).unwrap_or_default();
        let verb = [
            &["flowtape-recorder".to_owned()],
            verb,
            &["--output".to_owned(), "d".to_owned()],
        ]
        .concat();
        let recorded = Cli::try_parse_from(&verb);
        assert!(recorded.is_ok(), "{verb:?}: {recorded:?}");
        let probe = words(&container["startupProbe"]["exec"]["command"]);
        assert!(Cli::try_parse_from(&probe).is_ok(), "{probe:?}");
    }
}
