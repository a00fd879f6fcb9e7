//! Nodes and namespaces.

use serde_json::{Map, Value, json};

use super::{CANARY, Cluster, set_labels, set_meta};
use crate::model::Labels;

/// The kernel that compiled nodes run.
pub(crate) const KERNEL: &str = "6.12.0";

pub(super) fn nodes(cluster: &Cluster<'_>) -> Vec<Map<String, Value>> {
    let machines = cluster.scenario.nodes.iter().zip(&cluster.layout.machines);
    machines
        .map(|(node, machine)| {
            let mut object = cluster.meta_with_uid("v1", "Node", "", &node.name, &machine.uid);
            let mut labels = Labels::new();
            for (key, value) in [
                ("kubernetes.io/arch", "amd64"),
                ("kubernetes.io/hostname", node.name.as_str()),
                ("kubernetes.io/os", "linux"),
            ] {
                labels.insert(key.to_owned(), value.to_owned());
            }
            labels.extend(node.labels.clone());
            set_labels(&mut object, &labels);
            set_meta(&mut object, "annotations", json!({ "example.com/note": CANARY }));
            let ranges: Vec<String> = node.pods.iter().map(ToString::to_string).collect();
            object.insert(
                "spec".to_owned(),
                json!({ "podCIDR": ranges.first(), "podCIDRs": ranges }),
            );
            let mut addresses: Vec<Value> = node
                .addresses
                .iter()
                .map(|address| json!({ "address": address, "type": "InternalIP" }))
                .collect();
            addresses.push(json!({ "address": node.name, "type": "Hostname" }));
            object.insert(
                "status".to_owned(),
                json!({
                    "addresses": addresses,
                    "conditions": [{ "status": "True", "type": "Ready" }],
                    "nodeInfo": {
                        "architecture": "amd64",
                        "containerRuntimeVersion": "containerd://2.1.4",
                        "kernelVersion": KERNEL,
                        "kubeletVersion": "v1.36.0",
                        "operatingSystem": "linux",
                        "osImage": "Debian GNU/Linux 13 (trixie)",
                    },
                }),
            );
            object
        })
        .collect()
}

pub(super) fn namespaces(cluster: &Cluster<'_>) -> Vec<Map<String, Value>> {
    cluster
        .scenario
        .namespaces
        .iter()
        .map(|namespace| {
            let mut object = cluster.meta("v1", "Namespace", "", &namespace.name);
            let mut labels = namespace.labels.clone();
            labels.insert("kubernetes.io/metadata.name".to_owned(), namespace.name.clone());
            set_labels(&mut object, &labels);
            object.insert("spec".to_owned(), json!({ "finalizers": ["kubernetes"] }));
            object.insert("status".to_owned(), json!({ "phase": "Active" }));
            object
        })
        .collect()
}
