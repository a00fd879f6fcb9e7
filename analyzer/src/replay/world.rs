//! The universe in which policies are judged.
//!
//! It holds the pods of the tape, one representative of every pod template without pods (scaled to zero, CronJobs
//! between runs), and in each namespace one pod that carries no label, standing for everything else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::flow::edge::Edge;
use crate::identity::cluster::{Cluster, DeclaredPort, Pod as TapePod};
use crate::identity::{Identity, Workload};
use crate::policy::ports::Protocol;
use crate::semantics::world::{NamedPort, Pod, World};

/// Name of the pod that stands for every pod of its namespace that nothing selects by label. No pod can have it.
pub const OTHER_POD: &str = "*";

/// Name of the pod that stands for the pods of a template that has none. No pod can have it.
#[must_use]
pub fn representative(kind: &str, name: &str) -> String {
    format!("{kind}/{name}")
}

/// The universe of a tape.
#[must_use]
pub fn world(cluster: &Cluster) -> World {
    // Of pods that bore one name at different times, the one with the last UID in order stands for all.
    let mut pods: BTreeMap<(String, String), Pod> = BTreeMap::new();
    for pod in cluster.pods.values() {
        pods.insert((pod.namespace.clone(), pod.name.clone()), pod_of_tape(pod));
    }
    let alive: BTreeSet<&Workload> = cluster.pods.values().map(|pod| &pod.workload).collect();
    for (workload, row) in cluster.owners.templates() {
        if alive.contains(workload) {
            continue;
        }
        let name = representative(&workload.kind, &workload.name);
        let named = row
            .template_ports
            .iter()
            .filter_map(|port| named_port(port.name.as_deref()?, &port.protocol, port.port));
        let pod = Pod {
            namespace: row.namespace.clone(),
            name: name.clone(),
            labels: row.template_labels.clone(),
            addresses: Vec::new(),
            host_network: row.template_host_network,
            node: None,
            ports: named.collect(),
        };
        pods.insert((row.namespace.clone(), name), pod);
    }
    let mut namespaces = cluster.namespaces.clone();
    for (namespace, _) in pods.keys() {
        namespaces.entry(namespace.clone()).or_default();
    }
    for namespace in namespaces.keys() {
        pods.insert((namespace.clone(), OTHER_POD.to_owned()), other_pod(namespace));
    }
    let nodes = cluster.nodes.iter().map(|(name, node)| {
        let addresses: Vec<IpAddr> = node.addresses.iter().map(|address| address.ip()).collect();
        (name.clone(), addresses)
    });
    let api_server = cluster.services.api_server();
    World::new(namespaces, pods.into_values(), nodes.collect())
        .expect("names are unique by construction, and every namespace was added")
        .with_api_server(api_server.iter().map(|address| address.ip()))
}

/// The universe of a tape, with the DNS names of what its pods reached outside.
#[must_use]
pub fn named_world(cluster: &Cluster, edges: &[Edge]) -> World {
    let outside = edges.iter().filter_map(|edge| match &edge.key.to.identity {
        Identity::External { address, names } => Some((address, names)),
        Identity::Workload(_) | Identity::Node { .. } | Identity::Service { .. } | Identity::Unknown { .. } => None,
    });
    let known = outside.flat_map(|(address, names)| {
        let plain = |name: &String| name.trim_end_matches('.').to_ascii_lowercase();
        names.iter().map(move |name| (plain(name), address.ip()))
    });
    world(cluster).with_names(known)
}

fn pod_of_tape(pod: &TapePod) -> Pod {
    let named = |port: &DeclaredPort| named_port(port.name.as_deref()?, &port.protocol, port.port);
    Pod {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        labels: pod.labels.clone(),
        addresses: pod.addresses.iter().map(|address| address.ip()).collect(),
        host_network: pod.host_network,
        node: pod.node.clone(),
        ports: pod.ports.iter().filter_map(named).collect(),
    }
}

fn named_port(name: &str, protocol: &str, port: u16) -> Option<NamedPort> {
    Some(NamedPort {
        name: name.to_owned(),
        protocol: Protocol::from_name(protocol)?,
        port,
    })
}

fn other_pod(namespace: &str) -> Pod {
    Pod {
        namespace: namespace.to_owned(),
        name: OTHER_POD.to_owned(),
        labels: BTreeMap::new(),
        addresses: Vec::new(),
        host_network: false,
        node: None,
        ports: Vec::new(),
    }
}
