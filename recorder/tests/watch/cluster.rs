//! The objects of a small cluster. Every field that no tape may hold has a canary in it.

use serde_json::{Value, json};

/// Must never be seen in a file.
pub(crate) const CANARY: &str = "canary-91c4";

/// When every pod here says it started.
pub(crate) const STARTED: &str = "2026-01-01T00:00:05Z";

fn metadata(name: &str, namespace: Option<&str>) -> Value {
    let mut metadata = json!({
        "name": name, "uid": format!("uid-{name}"), "labels": {"app": name}, "generateName": CANARY, "selfLink": CANARY,
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": CANARY, CANARY: CANARY},
        "managedFields": [{"manager": CANARY}], "finalizers": [CANARY]});
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    metadata
}

fn pod_spec() -> Value {
    json!({
        "nodeName": "n1", "hostname": CANARY, "imagePullSecrets": [{"name": CANARY}],
        "volumes": [{"name": CANARY, "secret": {"secretName": CANARY}}],
        "containers": [{"name": "app", "image": "shop/app:1", "command": [CANARY], "args": [CANARY], "workingDir": CANARY,
            "env": [{"name": CANARY, "value": CANARY}], "envFrom": [{"secretRef": {"name": CANARY}}],
            "volumeMounts": [{"name": CANARY, "mountPath": CANARY}], "ports": [{"name": "http", "containerPort": 8080}],
            "lifecycle": {"preStop": {"exec": {"command": [CANARY]}}},
            "livenessProbe": {"httpGet": {"port": 8080, "path": CANARY, "httpHeaders": [{"name": CANARY, "value": CANARY}]}}}]})
}

/// A pod that was made a moment ago.
pub(crate) fn new_pod(name: &str, namespace: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata(name, Some(namespace)), "spec": pod_spec(),
        "status": {"phase": "Pending", "message": CANARY}})
}

/// A pod with an address.
pub(crate) fn pod(name: &str, ip: &str) -> Value {
    let mut pod = new_pod(name, "shop");
    pod["status"] = json!({"phase": "Running", "message": CANARY, "startTime": STARTED, "podIPs": [{"ip": ip}],
        "containerStatuses": [{"name": "app", "containerID": format!("containerd://id-{name}"), "imageID": CANARY,
            "lastState": {"terminated": {"message": CANARY}}}]});
    pod
}

/// A Service whose only port is this.
pub(crate) fn service(name: &str, port: u16) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata(name, Some("shop")),
        "spec": {"clusterIPs": ["10.9.0.1"], "loadBalancerClass": CANARY, "selector": {"app": name},
            "ports": [{"port": port, "protocol": "TCP", "appProtocol": CANARY}]},
        "status": {"conditions": [{"message": CANARY}]}})
}

fn workload(api_version: &str, kind: &str) -> Value {
    let template = json!({"metadata": {"labels": {"app": "web"}, "annotations": {"note": CANARY}}, "spec": pod_spec()});
    let spec = match kind {
        "CronJob" => json!({"schedule": CANARY, "jobTemplate": {"spec": {"template": template}}}),
        _ => json!({"selector": {"matchLabels": {"app": "web"}}, "template": template}),
    };
    json!({"apiVersion": api_version, "kind": kind, "metadata": metadata(&kind.to_lowercase(), Some("shop")),
        "spec": spec, "status": {"conditions": [{"message": CANARY}]}})
}

/// One object of every kind that is watched, and some that nobody may read.
pub(crate) fn everything() -> Vec<Value> {
    let mut objects = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata("shop", None), "spec": {"finalizers": [CANARY]}}),
        json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata("n1", None),
            "spec": {"providerID": CANARY, "taints": [{"key": CANARY}], "podCIDRs": ["10.1.0.0/24"]},
            "status": {"addresses": [{"type": "InternalIP", "address": "172.31.0.1"}, {"type": "Hostname", "address": CANARY}],
                "images": [{"names": [CANARY]}], "nodeInfo": {"machineID": CANARY, "kernelVersion": "6.1"}}}),
        pod("web", "10.1.0.1"),
        service("web", 80),
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata("web-1", Some("shop")),
            "addressType": "IPv4", "ports": [{"port": 8080, "appProtocol": CANARY}],
            "endpoints": [{"addresses": ["10.1.0.1"], "hostname": CANARY, "targetRef": {"kind": "Pod", "name": "web", "uid": "uid-web", "fieldPath": CANARY}}]}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata("deny", Some("shop")),
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata("s", Some("shop")), "data": {"password": CANARY}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("c", Some("shop")), "data": {"key": CANARY}}),
    ];
    let kinds = [
        ("apps/v1", "DaemonSet"),
        ("apps/v1", "Deployment"),
        ("apps/v1", "ReplicaSet"),
        ("apps/v1", "StatefulSet"),
        ("batch/v1", "CronJob"),
        ("batch/v1", "Job"),
    ];
    objects.extend(kinds.map(|(api_version, kind)| workload(api_version, kind)));
    objects
}
