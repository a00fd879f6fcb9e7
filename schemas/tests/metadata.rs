//! Kubernetes JSON to rows: what is kept, what never is, and from when to when it holds.
#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps nothing has failed, and says where"
)]

use flowtape_schemas::cluster::{Bound, ContainerKind};
use flowtape_schemas::metadata::{ALLOWED_ANNOTATIONS, ClusterRows, MetadataError, Snapshot, rows};
use flowtape_schemas::parquet::encode_file;
use flowtape_schemas::time::Time;
use serde_json::{Value, json};

fn time(text: &str) -> Time {
    text.parse().unwrap()
}

fn list(items: &[Value]) -> Vec<u8> {
    json!({"apiVersion": "v1", "kind": "List", "items": items})
        .to_string()
        .into_bytes()
}

fn pod(name: &str, ip: &str, phase: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"), "labels": {"app": name},
                     "creationTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "1",
                     "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "rs-1", "controller": true}]},
        "spec": {"nodeName": "n1", "containers": [
            {"name": "app", "image": "shop/app:1",
             "ports": [{"name": "http", "containerPort": 8080}],
             "livenessProbe": {"httpGet": {"port": "http", "path": "/"}}}],
            "initContainers": [{"name": "proxy", "image": "mesh", "restartPolicy": "Always"}]},
        "status": {"phase": phase, "podIPs": [{"ip": ip}], "hostIPs": [{"ip": "172.31.0.1"}],
                   "startTime": "2026-01-01T00:00:05Z",
                   "containerStatuses": [{"name": "app", "containerID": "containerd://abc",
                        "state": {"terminated": {"finishedAt": "2026-01-01T00:00:20Z"}}}]}
    })
}

fn snapshot(items: &[Value], at: Option<&str>) -> Snapshot {
    Snapshot::parse(&list(items), at.map(time)).unwrap()
}

#[test]
fn one_snapshot_without_a_time_is_assumed_and_a_pod_declares_its_start() {
    let rows = rows(vec![snapshot(&[pod("web", "10.1.0.1", "Running")], None)]).unwrap();
    let row = &rows.pods[0];
    assert_eq!(
        (row.valid_from, row.from_bound),
        (Some(time("2026-01-01T00:00:05Z")), Bound::Declared)
    );
    assert_eq!((row.valid_to, row.to_bound), (None, Bound::Assumed));
    assert_eq!(row.owner_kind.as_deref(), Some("ReplicaSet"));
    assert_eq!(rows.containers.len(), 2);
    assert_eq!(rows.containers[0].container_id.as_deref(), Some("abc"));
    assert_eq!(rows.containers[0].probes[0].port_name.as_deref(), Some("http"));
    assert_eq!(rows.containers[1].kind, ContainerKind::Sidecar);
}

#[test]
fn a_pod_that_ended_holds_its_address_until_its_last_container_finished() {
    let rows = rows(vec![snapshot(&[pod("job", "10.1.0.1", "Succeeded")], None)]).unwrap();
    assert_eq!(
        (rows.pods[0].valid_to, rows.pods[0].to_bound),
        (Some(time("2026-01-01T00:00:20Z")), Bound::Declared)
    );
}

#[test]
fn a_pod_that_ended_at_an_unknown_time_holds_no_address() {
    let mut ended = pod("job", "10.1.0.1", "Failed");
    ended["status"]["containerStatuses"] = json!([]);
    assert!(rows(vec![snapshot(&[ended], None)]).unwrap().pods[0].pod_ips.is_empty());
}

#[test]
fn dated_snapshots_give_intervals() {
    let (first, second) = ("2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z");
    let mut relabelled = pod("web", "10.1.0.1", "Running");
    relabelled["metadata"]["labels"]["app"] = json!("web2");
    let early = snapshot(
        &[pod("web", "10.1.0.1", "Running"), pod("gone", "10.1.0.2", "Running")],
        Some(first),
    );
    let late = snapshot(&[relabelled, pod("new", "10.1.0.3", "Running")], Some(second));
    // The order of the arguments is no information.
    let rows = rows(vec![late, early]).unwrap();
    let spans: Vec<_> = rows
        .pods
        .iter()
        .map(|row| (row.labels["app"].as_str(), row.valid_from, row.valid_to))
        .collect();
    let start = Some(time("2026-01-01T00:00:05Z"));
    assert_eq!(
        spans,
        [
            ("gone", start, Some(time(second))),
            ("new", start, None),
            ("web", start, Some(time(second))),
            ("web2", Some(time(second)), None),
        ]
    );
}

#[test]
fn an_unchanged_object_is_one_version_whatever_its_resource_version() {
    let mut touched = pod("web", "10.1.0.1", "Running");
    touched["metadata"]["resourceVersion"] = json!("2");
    let early = snapshot(&[pod("web", "10.1.0.1", "Running")], Some("2026-01-01T00:01:00Z"));
    let late = snapshot(&[touched], Some("2026-01-01T00:02:00Z"));
    assert_eq!(rows(vec![early, late]).unwrap().pods.len(), 1);
}

#[test]
fn several_snapshots_need_distinct_times() {
    let one = || snapshot(&[], Some("2026-01-01T00:01:00Z"));
    assert!(matches!(
        rows(vec![one(), snapshot(&[], None)]),
        Err(MetadataError::NoTime)
    ));
    assert!(matches!(rows(vec![one(), one()]), Err(MetadataError::SameTime { .. })));
}

#[test]
fn what_is_no_metadata_is_said() {
    assert!(matches!(
        Snapshot::parse(b"not json", None),
        Err(MetadataError::Json(_))
    ));
    for text in [
        "",
        "[]",
        "7",
        "{}",
        r#"{"kind": "Pod"}"#,
        r#"{"apiVersion": "v1", "kind": "Pod", "items": []}"#,
    ] {
        let error = Snapshot::parse(text.as_bytes(), None).unwrap_err();
        assert!(matches!(error, MetadataError::NotKubernetes), "{text}: {error}");
    }
    let broken = list(&[
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "b"}, "spec": {"containers": 7}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "c"}, "spec": {"ports": [{"port": 99999}]}}),
    ]);
    let text = Snapshot::parse(&broken, None).unwrap_err().to_string();
    assert!(
        text.contains("item 0 (Pod `b/a`)") && text.contains("item 1 (Service `c`)"),
        "{text}"
    );
}

#[test]
fn a_typed_list_and_unknown_kinds_are_read() {
    let mut bare = pod("web", "10.1.0.1", "Running");
    bare.as_object_mut().unwrap().remove("kind");
    let text = json!({"apiVersion": "v1", "kind": "PodList", "items": [bare]}).to_string();
    assert_eq!(
        rows(vec![Snapshot::parse(text.as_bytes(), None).unwrap()])
            .unwrap()
            .pods
            .len(),
        1
    );
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"password": "x"}});
    assert_eq!(snapshot(&[secret], None).skipped()["Secret"], 1);
}

/// Plants a canary in every text of the input that the allow-list does not name, and searches every file for it.
#[test]
fn whatever_makes_pods_from_a_template_is_a_workload() {
    let template =
        json!({"metadata": {"labels": {"app": "web"}}, "spec": {"hostNetwork": true, "containers": [{"name": "app"}]}});
    let object = |api_version: &str, kind: &str, spec: Value| json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "web", "namespace": "shop"}, "spec": spec});
    let full = json!({"matchLabels": {"app": "web"}});
    let plain = json!({"app": "web"});
    let items = [
        object(
            "apps.kruise.io/v1alpha1",
            "CloneSet",
            json!({"selector": full, "template": template}),
        ),
        object(
            "apps.openshift.io/v1",
            "DeploymentConfig",
            json!({"selector": plain, "template": template}),
        ),
        object(
            "v1",
            "ReplicationController",
            json!({"selector": plain, "template": template}),
        ),
        object("serving.knative.dev/v1", "Configuration", json!({"template": template})),
        // Fields that mean something else here.
        object(
            "example.com/v1",
            "Odd",
            json!({"selector": "app=web", "template": template}),
        ),
        // Templates that are none of pods.
        object(
            "example.com/v1",
            "Other",
            json!({"selector": full, "template": {"spec": {"image": "app"}}}),
        ),
        object(
            "example.com/v1",
            "Empty",
            json!({"selector": full, "template": {"spec": {"containers": []}}}),
        ),
        object("v1", "PersistentVolumeClaim", json!({"selector": full})),
    ];
    let snapshot = snapshot(&items, None);
    let skipped: Vec<&str> = snapshot.skipped().keys().map(String::as_str).collect();
    assert_eq!(skipped, ["Empty", "Odd", "Other", "PersistentVolumeClaim"]);
    let rows = rows(vec![snapshot]).unwrap();
    let mut known: Vec<(&str, Option<usize>, bool)> = Vec::new();
    for row in &rows.workloads {
        assert_eq!(row.template_labels["app"], "web", "{}", row.kind);
        assert!(row.match_expressions.is_empty(), "{}", row.kind);
        let selects = row.match_labels.as_ref().map(std::collections::BTreeMap::len);
        known.push((&row.kind, selects, row.template_host_network));
    }
    known.sort_unstable();
    assert_eq!(
        known,
        [
            ("CloneSet", Some(1), true),
            ("Configuration", None, true),
            ("DeploymentConfig", Some(1), true),
            ("ReplicationController", Some(1), true),
        ]
    );
}

#[test]
fn nothing_outside_the_allow_list_reaches_a_tape() {
    const CANARY: &str = "canary-7f3a";
    let secretive = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "labels": {"app": "web"}, "generateName": CANARY,
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": CANARY, CANARY: "x", "note": CANARY},
            "managedFields": [{"manager": CANARY}], "selfLink": CANARY, "finalizers": [CANARY]},
        "spec": {"nodeName": "n1", "schedulerName": CANARY, "hostname": CANARY, "subdomain": CANARY,
            "imagePullSecrets": [{"name": CANARY}], "nodeSelector": {CANARY: CANARY},
            "volumes": [{"name": CANARY, "secret": {"secretName": CANARY}, "hostPath": {"path": CANARY}}],
            "hostAliases": [{"ip": "1.2.3.4", "hostnames": [CANARY]}],
            "containers": [{"name": "app", "image": "shop/app", "command": [CANARY], "args": [CANARY], "workingDir": CANARY,
                "env": [{"name": CANARY, "value": CANARY}, {"name": "x", "valueFrom": {"secretKeyRef": {"name": CANARY, "key": CANARY}}}],
                "envFrom": [{"secretRef": {"name": CANARY}}],
                "volumeMounts": [{"name": CANARY, "mountPath": CANARY}],
                "lifecycle": {"preStop": {"exec": {"command": [CANARY]}}},
                "livenessProbe": {"httpGet": {"port": 80, "path": CANARY, "host": CANARY, "httpHeaders": [{"name": CANARY, "value": CANARY}]}},
                "readinessProbe": {"exec": {"command": [CANARY]}},
                "startupProbe": {"grpc": {"port": 81, "service": CANARY}}}],
            "initContainers": [{"name": "init", "args": [CANARY], "env": [{"name": "x", "value": CANARY}]}],
            "ephemeralContainers": [{"name": "debug", "command": [CANARY]}]},
        "status": {"phase": "Running", "message": CANARY, "reason": CANARY, "nominatedNodeName": CANARY,
            "conditions": [{"type": CANARY, "message": CANARY}],
            "containerStatuses": [{"name": "app", "imageID": CANARY, "containerID": "containerd://a",
                "state": {"waiting": {"message": CANARY}}, "lastState": {"terminated": {"message": CANARY}}}]}
    });
    let others = [
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "shop", "annotations": {"note": CANARY}},
               "spec": {"ports": [{"port": 80, "appProtocol": CANARY}], "loadBalancerClass": CANARY},
               "status": {"loadBalancer": {"ingress": [{"hostname": CANARY}]}, "conditions": [{"message": CANARY}]}}),
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "e", "namespace": "shop", "annotations": {"note": CANARY}},
               "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"], "hostname": CANARY, "deprecatedTopology": {"x": CANARY},
               "targetRef": {"kind": "Pod", "name": "web", "uid": "u1", "resourceVersion": CANARY, "fieldPath": CANARY}}]}),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "annotations": {"note": CANARY}}, "spec": {"finalizers": [CANARY]}}),
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "annotations": {"note": CANARY}},
               "spec": {"providerID": CANARY, "taints": [{"key": CANARY}]},
               "status": {"addresses": [{"type": "Hostname", "address": CANARY}], "images": [{"names": [CANARY]}],
                          "nodeInfo": {"machineID": CANARY, "systemUUID": CANARY, "bootID": CANARY, "osImage": CANARY}}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop", "annotations": {"note": CANARY}},
               "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}, "annotations": {"note": CANARY}},
               "spec": {"containers": [{"name": "app", "env": [{"name": "x", "value": CANARY}], "args": [CANARY]}]}}},
               "status": {"conditions": [{"message": CANARY}]}}),
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c", "namespace": "shop"},
               "spec": {"schedule": CANARY, "jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "app", "command": [CANARY]}]}}}}}}),
        json!({"apiVersion": "apps.kruise.io/v1alpha1", "kind": "CloneSet", "metadata": {"name": "k", "namespace": "shop", "annotations": {"note": CANARY}},
               "spec": {"selector": {"matchLabels": {"app": "k"}}, "strategy": CANARY, "template": {"metadata": {"annotations": {"note": CANARY}},
               "spec": {"containers": [{"name": "app", "env": [{"name": "x", "value": CANARY}], "args": [CANARY]}]}}},
               "status": {"labelSelector": CANARY}}),
        json!({"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "metadata": {"name": "s", "namespace": "shop"},
               "spec": {"encryptedData": {"password": CANARY}, "template": {"metadata": {"labels": {"x": CANARY}}, "data": {"y": CANARY}}}}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p", "namespace": "shop", "annotations": {"note": CANARY}},
               "spec": {"podSelector": {}}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"password": CANARY}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s"}, "data": {"password": CANARY}}),
    ];
    let mut items = vec![secretive];
    items.extend(others);
    let rows = rows(vec![snapshot(&items, None)]).unwrap();
    assert_eq!(
        (rows.pods.len(), rows.workloads.len()),
        (1, 3),
        "the input was understood"
    );
    for (table, bytes) in files(&rows) {
        let found = bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
        assert!(!found, "the canary reached `{table}`");
    }
    // Files are compressed: the rows themselves must not hold it either.
    assert!(!format!("{rows:?}").contains(CANARY));
}

fn files(rows: &ClusterRows) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("pods", encode_file(&rows.pods).unwrap()),
        ("containers", encode_file(&rows.containers).unwrap()),
        ("services", encode_file(&rows.services).unwrap()),
        ("endpoint_slices", encode_file(&rows.endpoint_slices).unwrap()),
        ("namespaces", encode_file(&rows.namespaces).unwrap()),
        ("nodes", encode_file(&rows.nodes).unwrap()),
        ("workloads", encode_file(&rows.workloads).unwrap()),
        ("network_policies", encode_file(&rows.network_policies).unwrap()),
    ]
}

#[test]
fn allowed_annotations_are_kept() {
    let mut annotated = pod("web", "10.1.0.1", "Running");
    annotated["metadata"]["annotations"] = json!({ALLOWED_ANNOTATIONS[0]: "hash", "other": "x"});
    let rows = rows(vec![snapshot(&[annotated], None)]).unwrap();
    assert_eq!(
        rows.pods[0].annotations.keys().collect::<Vec<_>>(),
        [ALLOWED_ANNOTATIONS[0]]
    );
}

#[test]
fn who_may_use_a_load_balancer_and_whether_nodes_translate_it() {
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop", "uid": "s1"},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}],
                 "loadBalancerSourceRanges": [" 203.0.113.0/24 ", "2001:db8::/32"]},
        "status": {"loadBalancer": {"ingress": [
            {"ip": "192.0.2.1", "ipMode": "VIP"}, {"ip": "192.0.2.2", "ipMode": "Proxy"}, {"ip": "192.0.2.3"},
            {"hostname": "lb.example.com"}]}}});
    let rows = rows(vec![snapshot(&[service], None)]).unwrap();
    let row = &rows.services[0];
    let text = |addresses: &[flowtape_schemas::address::Address]| -> Vec<String> {
        addresses.iter().map(ToString::to_string).collect()
    };
    assert_eq!(text(&row.load_balancer_ips), ["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    assert_eq!(text(&row.load_balancer_proxies), ["192.0.2.2"]);
    assert_eq!(row.load_balancer_source_ranges, ["203.0.113.0/24", "2001:db8::/32"]);
}
