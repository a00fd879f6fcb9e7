//! What is known of the addresses and servers that rules name.

use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::address::Address;

use crate::flow::edge::{Edge, Endpoint, Peer as EdgePeer};
use crate::identity::cluster::Cluster;
use crate::identity::{Identity, Role, Workload};
use crate::policy::cidr::Cidr;
use crate::policy::landmark::Landmarks;
use crate::policy::model::{Peer, Peers, Policy, PolicySet};
use crate::policy::ports::Protocol;

/// The landmarks of a recording, with the name servers that rules of `set` name.
#[must_use]
pub fn landmarks(edges: &[Edge], cluster: &Cluster, set: &PolicySet) -> Landmarks {
    let host = |address: &Address| Cidr::host(address.ip());
    let mut landmarks = Landmarks {
        api_server: cluster.services.api_server().iter().map(host).collect(),
        nodes: BTreeSet::new(),
        pods: BTreeSet::new(),
        names: BTreeMap::new(),
        name_servers: name_servers(edges, cluster, set),
    };
    for node in cluster.nodes.values() {
        let ranges = node.pod_ranges.iter().filter_map(|range| range.parse::<Cidr>().ok());
        landmarks
            .nodes
            .extend(node.internal_ips.iter().chain(&node.addresses).map(host));
        landmarks.pods.extend(ranges);
    }
    for edge in edges {
        if let Identity::External { address, names } = &edge.key.to.identity
            && !names.is_empty()
        {
            let known = landmarks.names.entry(host(address)).or_default();
            known.extend(names.iter().cloned());
        }
        for (server, peer) in [(false, &edge.key.from), (true, &edge.key.to)] {
            if !is_node(peer) {
                continue;
            }
            let seen = edge
                .evidence
                .pairs
                .iter()
                .map(|pair| if server { &pair.1 } else { &pair.0 });
            landmarks.nodes.extend(seen.filter_map(address).map(host));
        }
    }
    landmarks
}

/// Whether rules name this peer by the address of a node.
fn is_node(peer: &EdgePeer) -> bool {
    match &peer.identity {
        Identity::Node { .. } => true,
        Identity::Workload(workload) => workload.host_network,
        Identity::Service { .. } | Identity::External { .. } | Identity::Unknown { .. } => false,
    }
}

fn address(endpoint: &Endpoint) -> Option<&Address> {
    match endpoint {
        Endpoint::Address(address) => Some(address),
        Endpoint::Pod { .. } | Endpoint::Unknown => None,
    }
}

/// Peers of egress rules that select pods of a name server that was used.
fn name_servers(edges: &[Edge], cluster: &Cluster, set: &PolicySet) -> BTreeSet<(String, Peer, Protocol, u16)> {
    let mut servers: BTreeSet<(&Workload, u16)> = BTreeSet::new();
    for edge in edges.iter().filter(|edge| edge.key.to.role == Some(Role::Dns)) {
        if let Identity::Workload(workload) = &edge.key.to.identity {
            servers.insert((workload, edge.key.port));
        }
    }
    let mut named = BTreeSet::new();
    for policy in set {
        for peer in egress_peers(policy) {
            for (workload, port) in &servers {
                if selects(cluster, &policy.namespace, peer, workload) {
                    let of = |protocol| (policy.namespace.clone(), peer.clone(), protocol, *port);
                    named.extend([Protocol::Tcp, Protocol::Udp].map(of));
                }
            }
        }
    }
    named
}

fn egress_peers(policy: &Policy) -> impl Iterator<Item = &Peer> {
    let rules = policy.egress.as_deref().unwrap_or_default();
    rules.iter().flat_map(|rule| match &rule.peers {
        Peers::Any => Vec::new(),
        Peers::Of(listed) => listed.iter().collect(),
    })
}

/// Whether a peer of a rule in namespace `home` selects pods of a workload.
fn selects(cluster: &Cluster, home: &str, peer: &Peer, workload: &Workload) -> bool {
    let Peer::Pods { namespaces, pods } = peer else {
        return false;
    };
    let namespace = match namespaces {
        None => workload.namespace == home,
        Some(selector) => {
            let labels = cluster.namespaces.get(&workload.namespace);
            labels.is_some_and(|labels| selector.matches(labels))
        }
    };
    let mut of_workload = cluster.pods.values().filter(|pod| pod.workload == *workload);
    namespace && of_workload.any(|pod| pods.matches(&pod.labels))
}
