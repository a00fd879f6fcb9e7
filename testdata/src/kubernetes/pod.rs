//! Pods and pod templates.

use serde_json::{Map, Value, json};

use super::{CANARY, Cluster, PODS_STARTED, ip_list, set_labels, set_meta, set_owner};
use crate::layout::Pod;
use crate::layout::cgroup::proxy_id;
use crate::model::{Kind, Offset, PortRef, Probe, ProbeKind, ProbeRole, Workload};

/// Name and image of the container of a proxy.
const PROXY: &str = "proxy";
const PROXY_IMAGE: &str = "registry.example.com/proxy:1";

pub(super) fn pods(cluster: &Cluster<'_>) -> Vec<Map<String, Value>> {
    let known = cluster.layout.pods.iter().filter(|pod| cluster.knows(pod));
    known
        .filter_map(|pod| {
            let workload = cluster.scenario.workloads.get(pod.workload)?;
            let node = cluster.scenario.nodes.get(pod.node)?;
            let mut object = cluster.meta_with_uid("v1", "Pod", &pod.namespace, &pod.name, &pod.uid);
            let started = pod.from.unwrap_or(PODS_STARTED);
            set_meta(
                &mut object,
                "creationTimestamp",
                cluster.timestamp(Offset(started.0.saturating_sub(1_000_000_000))),
            );
            set_labels(&mut object, &pod.labels);
            set_meta(&mut object, "annotations", annotations(pod));
            if let Some(owner) = &pod.owner {
                set_owner(&mut object, owner);
            }
            let mut spec = spec(workload);
            spec.insert("nodeName".to_owned(), json!(node.name));
            object.insert("spec".to_owned(), Value::Object(spec));
            object.insert(
                "status".to_owned(),
                status(cluster, pod, workload, &node.addresses, started),
            );
            Some(object)
        })
        .collect()
}

/// Annotations: what the kubelet writes for static pods, and what somebody else wrote.
fn annotations(pod: &Pod) -> Value {
    let mut annotations = Map::new();
    annotations.insert("example.com/note".to_owned(), json!(CANARY));
    if let Some(hash) = &pod.config_hash {
        annotations.insert("kubernetes.io/config.hash".to_owned(), json!(hash));
        annotations.insert("kubernetes.io/config.mirror".to_owned(), json!(hash));
        annotations.insert("kubernetes.io/config.source".to_owned(), json!("file"));
    }
    Value::Object(annotations)
}

/// `spec` of a pod or of a pod template.
pub(super) fn spec(workload: &Workload) -> Map<String, Value> {
    let mut container = Map::new();
    container.insert("name".to_owned(), json!(container_name(workload)));
    container.insert(
        "image".to_owned(),
        json!(format!("registry.example.com/{}:1", workload.name)),
    );
    container.insert("args".to_owned(), json!([format!("--token={CANARY}")]));
    container.insert("env".to_owned(), json!([{ "name": "PASSWORD", "value": CANARY }]));
    container.insert("resources".to_owned(), json!({ "requests": { "cpu": "100m" } }));
    if !workload.ports.is_empty() {
        container.insert("ports".to_owned(), ports(workload));
    }
    for probe in &workload.probes {
        let (field, value) = probe_of(probe, workload);
        container.insert(field.to_owned(), value);
    }
    let mut spec = Map::new();
    let mut containers = vec![Value::Object(container)];
    if workload.has_sidecar() {
        containers.push(json!({ "name": PROXY, "image": PROXY_IMAGE, "args": [format!("--token={CANARY}")] }));
    }
    spec.insert("containers".to_owned(), Value::Array(containers));
    spec.insert("dnsPolicy".to_owned(), json!("ClusterFirst"));
    let restart = match workload.kind {
        Kind::Job | Kind::CronJob => "Never",
        Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet | Kind::Pod | Kind::StaticPod => "Always",
    };
    spec.insert("restartPolicy".to_owned(), json!(restart));
    spec.insert("serviceAccountName".to_owned(), json!(workload.account));
    if workload.host_network {
        spec.insert("hostNetwork".to_owned(), json!(true));
    }
    spec
}

/// A container is called after its workload, up to the first dot: names of containers are DNS labels.
fn container_name(workload: &Workload) -> &str {
    workload.name.name.split('.').next().unwrap_or_default()
}

fn ports(workload: &Workload) -> Value {
    workload
        .ports
        .iter()
        .map(|port| {
            let mut value = Map::new();
            value.insert("containerPort".to_owned(), json!(port.port));
            value.insert("protocol".to_owned(), json!(port.protocol.to_string()));
            if let Some(name) = &port.name {
                value.insert("name".to_owned(), json!(name));
            }
            // The API server fills hostPort in for pods of the host's network.
            let host_port = port.host_port.or_else(|| workload.host_network.then_some(port.port));
            if let Some(host_port) = host_port {
                value.insert("hostPort".to_owned(), json!(host_port));
            }
            Value::Object(value)
        })
        .collect()
}

fn probe_of(probe: &Probe, workload: &Workload) -> (&'static str, Value) {
    let field = match probe.role {
        ProbeRole::Liveness => "livenessProbe",
        ProbeRole::Readiness => "readinessProbe",
        ProbeRole::Startup => "startupProbe",
    };
    let port = match &probe.port {
        PortRef::Number(number) => json!(number),
        PortRef::Name(name) => json!(name),
    };
    let handler = match probe.kind {
        ProbeKind::Http => ("httpGet", json!({ "path": "/", "port": port, "scheme": "HTTP" })),
        ProbeKind::Tcp => ("tcpSocket", json!({ "port": port })),
        // gRPC probes take numbers only.
        ProbeKind::Grpc => {
            let number = workload.port(&probe.port, crate::model::Protocol::Tcp);
            ("grpc", json!({ "port": number.unwrap_or_default() }))
        }
    };
    (field, json!({ handler.0: handler.1, "periodSeconds": 10 }))
}

fn status(cluster: &Cluster<'_>, pod: &Pod, workload: &Workload, host: &[std::net::IpAddr], started: Offset) -> Value {
    let completed = cluster.completed(pod);
    // The kubelet states it, by the clock of its node.
    let clock = cluster
        .scenario
        .nodes
        .get(pod.node)
        .map_or(Offset(0), |node| node.clock);
    let by_kubelet = Offset(started.0.saturating_add(clock.0));
    let state = match (completed, pod.to) {
        (true, Some(to)) => json!({ "terminated": {
            "exitCode": 0, "finishedAt": cluster.timestamp(to), "reason": "Completed", "startedAt": cluster.timestamp(started),
        } }),
        _ => json!({ "running": { "startedAt": cluster.timestamp(started) } }),
    };
    let container = |id: &str, image: String, name: &str| {
        json!({
            "containerID": format!("containerd://{id}"),
            "image": image,
            "name": name,
            "ready": !completed,
            "restartCount": 0,
            "started": !completed,
            "state": state,
        })
    };
    let image = format!("registry.example.com/{}:1", workload.name);
    let mut containers = vec![container(&pod.container_id, image, container_name(workload))];
    if workload.has_sidecar() {
        containers.push(container(&proxy_id(pod), PROXY_IMAGE.to_owned(), PROXY));
    }
    json!({
        "containerStatuses": containers,
        "hostIP": host.first(),
        "hostIPs": ip_list(host),
        "phase": if completed { "Succeeded" } else { "Running" },
        "podIP": pod.addresses.first(),
        "podIPs": ip_list(&pod.addresses),
        "qosClass": "Burstable",
        "startTime": cluster.timestamp(by_kubelet),
    })
}
