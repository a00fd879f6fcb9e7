//! What part a peer plays besides its identity.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flowtape_schemas::address::Address;

use super::edge::{Edge, EdgeKey, Peer, Transport};
use super::end::{IdentityRef, PeerRef};
use crate::findings::{Code, Findings};
use crate::identity::cluster::Cluster;
use crate::identity::published::published;
use crate::identity::resolve::Party;
use crate::identity::service::ServiceHit;
use crate::identity::timeline::Span;
use crate::identity::{Identity, Reason, Role};

/// Port of the domain name system, RFC 1035.
pub(super) const DNS_PORT: u16 = 53;

/// Addresses of instance metadata services: EC2, Azure, GCP, OpenStack and others, and Alibaba Cloud, over IPv4; EC2, GCP
/// and Oracle over IPv6; the credentials of ECS tasks and of EKS pod identities.
const METADATA_V4: [Ipv4Addr; 4] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
];
const METADATA_V6: [Ipv6Addr; 4] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
];

/// Where the API server answers: endpoint addresses and ports of Service `default/kubernetes`.
pub(super) type ApiServer = BTreeSet<(Address, u16)>;

/// The client of an edge. `own_node` tells whether it runs on the node of the server's pod.
pub(super) fn client<'a>(identity: IdentityRef<'a>, server: Party<'_>, own_node: bool, port: u16) -> PeerRef<'a> {
    let Party::Pod(pod) = server else {
        return PeerRef { identity, role: None };
    };
    let probed = matches!(identity, IdentityRef::Node(_)) && pod.probed_ports.contains(&port);
    let role = own_node.then_some(if probed { Role::Kubelet } else { Role::OwnNode });
    PeerRef { identity, role }
}

/// The server of an edge.
pub(super) fn server<'a>(
    identity: IdentityRef<'a>,
    address: Option<Address>,
    port: u16,
    api_server: &ApiServer,
) -> PeerRef<'a> {
    let role = match address {
        Some(address) if api_server.contains(&(address, port)) => Some(Role::ApiServer),
        Some(address) if is_metadata_service(address) => Some(Role::MetadataService),
        Some(address) if is_link_local(address) && port == DNS_PORT => Some(Role::Dns),
        Some(_) | None => None,
    };
    PeerRef { identity, role }
}

fn is_metadata_service(address: Address) -> bool {
    match address.ip() {
        IpAddr::V4(v4) => METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => METADATA_V6.contains(&v6),
    }
}

/// Whether an address never leaves its link, as that of a DNS cache on the node.
pub(crate) fn is_link_local(address: Address) -> bool {
    match address.ip() {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Marks the backends of every Service that was used on port 53 or has one, also on edges that went to them directly, and
/// whatever their own port is (5353 on OpenShift).
pub(super) fn with_dns(edges: Vec<Edge>, cluster: &Cluster) -> Vec<Edge> {
    let through_dns_port = |edge: &&Edge| edge.evidence.services.iter().any(|service| service.port == DNS_PORT);
    let answering = |edge: &Edge| (edge.key.port, edge.key.to.identity.clone());
    let answers = edges.iter().filter(through_dns_port).map(answering);
    let mut dns: BTreeMap<u16, BTreeSet<Identity>> = BTreeMap::new();
    for (port, server) in answers.chain(name_servers(cluster)) {
        dns.entry(port).or_default().insert(server);
    }
    let mut marked = edges;
    let mut any = false;
    for edge in &mut marked {
        let datagrams_or_streams = matches!(edge.key.protocol, Transport::UDP | Transport::TCP);
        let answers = || {
            dns.get(&edge.key.port)
                .is_some_and(|servers| servers.contains(&edge.key.to.identity))
        };
        if datagrams_or_streams && edge.key.to.role.is_none() && answers() {
            edge.key.to.role = Some(Role::Dns);
            any = true;
        }
    }
    // Reached under an address that told its part, and under one that did not: it is one server.
    if any { united(marked) } else { marked }
}

/// Edges by key; what supports the same one is put together.
fn united(mut edges: Vec<Edge>) -> Vec<Edge> {
    edges.sort_by(|a, b| a.key.cmp(&b.key));
    let mut united: Vec<Edge> = Vec::with_capacity(edges.len());
    for edge in edges {
        match united.last_mut().filter(|known| known.key == edge.key) {
            Some(known) => known.evidence.absorb(edge.evidence),
            None => united.push(edge),
        }
    }
    united
}

/// Backends of every Service with a port 53, each with its own port.
fn name_servers(cluster: &Cluster) -> BTreeSet<(u16, Identity)> {
    let mut servers = BTreeSet::new();
    for row in cluster.services.rows() {
        for port in row.ports.iter().filter(|port| port.port == DNS_PORT) {
            let hit = ServiceHit::of(row, port);
            let span = Span::of_validity(row.valid_from, row.valid_to);
            for backend in cluster.services.backends(hit, &port.protocol, span) {
                if let Some(pod) = backend.pod_uid.and_then(|uid| cluster.pods.get(uid)) {
                    servers.insert((backend.port, Identity::Workload(pod.workload.clone())));
                }
            }
        }
    }
    servers
}

/// Marks clients outside the cluster of ports that the cluster itself publishes.
pub(super) fn with_published(edges: Vec<Edge>, cluster: &Cluster) -> Vec<Edge> {
    let published = published(cluster);
    if published.is_empty() {
        return edges;
    }
    let is_published = |key: &EdgeKey| {
        let protocol = key.protocol.to_string();
        let Identity::Workload(workload) = &key.to.identity else {
            return false;
        };
        published
            .iter()
            .any(|one| one.workload == *workload && one.port == key.port && one.protocol == protocol)
    };
    let mut marked: Vec<Edge> = edges;
    let mut any = false;
    for edge in &mut marked {
        let outside = matches!(edge.key.from.identity, Identity::External { .. });
        if outside && edge.key.from.role.is_none() && is_published(&edge.key) {
            edge.key.from.role = Some(Role::Published);
            any = true;
        }
    }
    if any {
        marked.sort_by(|a, b| a.key.cmp(&b.key));
    }
    marked
}

/// Reports a peer that could not be identified, with what is known of it.
pub(super) fn report_unknown(peer: &Peer, edge: &Edge, findings: &mut Findings) {
    let Identity::Unknown { reason, .. } = &peer.identity else {
        return;
    };
    let code = match reason {
        Reason::Ambiguous => Code::AmbiguousPeer,
        Reason::Folded => Code::RemotesFolded,
        Reason::NoPodAtTime | Reason::PodNotInMetadata | Reason::NoAddress => Code::UnknownPeer,
    };
    let evidence = &edge.evidence;
    findings.report_rows(code, edge.to_string(), evidence.count.max(1), &evidence.samples);
}
