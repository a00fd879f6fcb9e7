//! Ports that the cluster itself publishes to the outside.

use std::collections::BTreeSet;

use flowtape_schemas::address::Address;
use flowtape_schemas::cluster::ServiceRow;

use super::Workload;
use super::cluster::Cluster;
use super::prefix::Prefix;
use super::service::ServiceHit;
use super::timeline::Span;

/// A port of a workload that clients outside the cluster are meant to reach.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublishedPort {
    /// Whose port.
    pub workload: Workload,
    /// TCP, UDP or SCTP.
    pub protocol: String,
    /// The port of the pods.
    pub port: u16,
    /// What publishes it: `Service NS/NAME` or `hostPort N`.
    pub by: String,
    /// The ranges of addresses that may use it, where not everybody may.
    pub sources: Option<BTreeSet<Prefix>>,
}

impl PublishedPort {
    /// Whether it is meant for clients at an address.
    #[must_use]
    pub fn admits(&self, address: Address) -> bool {
        let ranges = self.sources.as_ref();
        ranges.is_none_or(|ranges| ranges.iter().any(|range| range.contains(address)))
    }
}

/// Every published port: of Services of type NodePort and LoadBalancer or with externalIPs, and hostPorts.
#[must_use]
pub fn published(cluster: &Cluster) -> BTreeSet<PublishedPort> {
    let mut ports = BTreeSet::new();
    for row in cluster.services.rows().iter().filter(|row| publishes(row)) {
        for port in &row.ports {
            let hit = ServiceHit::of(row, port);
            let span = Span::of_validity(row.valid_from, row.valid_to);
            for backend in cluster.services.backends(hit, &port.protocol, span) {
                let Some(pod) = backend.pod_uid.and_then(|uid| cluster.pods.get(uid)) else {
                    continue;
                };
                ports.insert(PublishedPort {
                    workload: pod.workload.clone(),
                    protocol: port.protocol.clone(),
                    port: backend.port,
                    by: format!("Service {}/{}", row.namespace, row.name),
                    sources: sources(row),
                });
            }
        }
    }
    for pod in cluster.pods.values().filter(|pod| !pod.host_network) {
        for declared in &pod.ports {
            let Some(host_port) = declared.host_port else { continue };
            ports.insert(PublishedPort {
                workload: pod.workload.clone(),
                protocol: declared.protocol.clone(),
                port: declared.port,
                by: format!("hostPort {host_port}"),
                sources: None,
            });
        }
    }
    ports
}

/// Who may use a Service from outside, where it is not everybody. A range that cannot be read admits nobody.
fn sources(row: &ServiceRow) -> Option<BTreeSet<Prefix>> {
    let ranges = &row.load_balancer_source_ranges;
    let restricted = row.service_type == "LoadBalancer" && !ranges.is_empty();
    restricted.then(|| ranges.iter().filter_map(|range| range.parse().ok()).collect())
}

fn publishes(row: &ServiceRow) -> bool {
    matches!(row.service_type.as_str(), "NodePort" | "LoadBalancer") || !row.external_ips.is_empty()
}
