//! What runs on the network of a node, and so has no address of its own.

use std::collections::{BTreeMap, BTreeSet};

use super::edge::Transport;
use super::end::Numbered;
use super::sighting::Sighting;
use crate::identity::cluster::{Cluster, Pod};
use crate::identity::resolve::Party;

/// The node on whose network a party is, with all its addresses.
pub(super) fn host_of(party: Party<'_>) -> Option<&str> {
    match party {
        Party::Node(name) => Some(name),
        Party::Pod(Pod {
            host_network: true,
            node,
            ..
        }) => node.as_deref(),
        Party::Pod(_) | Party::External(..) | Party::Loopback | Party::Group | Party::Unknown(..) => None,
    }
}

/// The node a party runs on.
pub(super) fn node_of(party: Party<'_>) -> Option<&str> {
    match party {
        Party::Node(name) => Some(name),
        Party::Pod(pod) => pod.node.as_deref(),
        Party::External(..) | Party::Loopback | Party::Group | Party::Unknown(..) => None,
    }
}

/// Whether a client on a node's network talks to a pod of that node, which no policy can deny.
pub(super) fn same_node(client: Party<'_>, server: Party<'_>) -> bool {
    let Party::Pod(pod) = server else { return false };
    !pod.host_network && host_of(client).is_some_and(|node| pod.node.as_deref() == Some(node))
}

/// Workloads by node, protocol and port.
pub(super) type HostServers<'a> = BTreeMap<(&'a str, Transport, u16), BTreeSet<Numbered<'a>>>;

/// Who served which port on the network of a node: as seen, and as pods there declare.
pub(super) fn host_servers<'a>(sightings: &[Sighting<'a>], cluster: &'a Cluster) -> HostServers<'a> {
    let mut seen: HostServers<'a> = BTreeMap::new();
    for sighting in sightings.iter().filter(|sighting| sighting.is_server()) {
        if let (Party::Pod(pod), Some(node)) = (sighting.local, host_of(sighting.local)) {
            let key = (node, sighting.protocol(), sighting.port);
            seen.entry(key).or_default().insert(Numbered::by_workload(pod));
        }
    }
    let mut declared: HostServers<'a> = BTreeMap::new();
    for pod in cluster.pods.values().filter(|pod| pod.host_network) {
        for port in &pod.ports {
            let protocol = match port.protocol.as_str() {
                "TCP" => Transport::TCP,
                "UDP" => Transport::UDP,
                "SCTP" => Transport::SCTP,
                _ => continue,
            };
            let Some(node) = pod.node.as_deref() else { continue };
            let servers = declared.entry((node, protocol, port.port)).or_default();
            servers.insert(Numbered::by_workload(pod));
        }
    }
    // What was seen outweighs what is declared.
    declared.extend(seen);
    declared
}
