//! Which peers of a rule an identity becomes.

use std::collections::BTreeSet;
use std::net::IpAddr;

use flowtape_schemas::address::Address;
use flowtape_schemas::cluster::ServicePort;
use flowtape_schemas::pseudonym::is_pseudonym;

use super::selectors::Selectors;
use crate::findings::{Code, Findings};
use crate::flow::edge::{Edge, Endpoint, ServiceUse};
use crate::identity::cluster::Cluster;
use crate::identity::service::{Backend, ServiceHit};
use crate::identity::timeline::Span;
use crate::identity::{Identity, Role, Workload};
use crate::policy::cidr::Cidr;
use crate::policy::model::Peer;
use crate::policy::ports::Protocol;
use crate::policy::select::Selector;

/// Label that every API server sets on every namespace (Kubernetes 1.22, `core/v1` LabelMetadataName).
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Why an edge cannot become a rule.
pub(super) struct Left(pub(super) &'static str);

/// Turns identities into peers.
pub(super) struct PeerRules<'a> {
    cluster: &'a Cluster,
    selectors: Selectors,
    /// Whether addresses outside may be pseudonyms.
    redacted: bool,
}

impl<'a> PeerRules<'a> {
    pub(super) fn new(cluster: &'a Cluster, redacted: bool) -> Self {
        Self {
            cluster,
            selectors: Selectors::default(),
            redacted,
        }
    }

    /// The selector of a workload's pods.
    pub(super) fn selector(&mut self, workload: &Workload, findings: &mut Findings) -> Option<Selector> {
        self.selectors.of(self.cluster, workload, findings)
    }

    /// Peers of an egress rule.
    pub(super) fn of_server(&mut self, edge: &Edge, home: &str, findings: &mut Findings) -> Result<Vec<Peer>, Left> {
        let seen: BTreeSet<&Endpoint> = edge.evidence.pairs.iter().map(|pair| &pair.1).collect();
        if edge.key.to.role == Some(Role::ApiServer) {
            return Ok(self.api_server(edge.key.port));
        }
        if edge.key.to.role == Some(Role::MetadataService) {
            findings.report_rows(Code::MetadataService, edge.to_string(), 1, &edge.evidence.samples);
        }
        self.peers(&edge.key.to.identity, &seen, home, findings)
    }

    /// Peers of an ingress rule.
    pub(super) fn of_client(&mut self, edge: &Edge, home: &str, findings: &mut Findings) -> Result<Vec<Peer>, Left> {
        let seen: BTreeSet<&Endpoint> = edge.evidence.pairs.iter().map(|pair| &pair.0).collect();
        self.peers(&edge.key.from.identity, &seen, home, findings)
    }

    fn peers(
        &mut self,
        identity: &Identity,
        seen: &BTreeSet<&Endpoint>,
        home: &str,
        findings: &mut Findings,
    ) -> Result<Vec<Peer>, Left> {
        match identity {
            Identity::Workload(workload) if workload.host_network => {
                let nodes: BTreeSet<&str> = seen.iter().filter_map(|endpoint| self.node_of(endpoint)).collect();
                Ok(self.nodes(&nodes, seen, findings))
            }
            Identity::Workload(workload) => self.pods(workload, home, findings),
            Identity::Node { name } => Ok(self.nodes(&BTreeSet::from([name.as_str()]), seen, findings)),
            Identity::External { address, names: _ } if self.redacted && is_pseudonym(*address) => {
                findings.report(Code::RedactedPeer, format!("no rule names the pseudonym {address}"));
                Err(Left("the address of this peer is redacted"))
            }
            Identity::External { address, names: _ } => Ok(vec![Peer::block(Cidr::host(address.ip()))]),
            Identity::Service { .. } | Identity::Unknown { .. } => Err(Left("no rule can name this peer")),
        }
    }

    fn pods(&mut self, workload: &Workload, home: &str, findings: &mut Findings) -> Result<Vec<Peer>, Left> {
        let Some(pods) = self.selector(workload, findings) else {
            return Err(Left("no label selects the pods of this peer"));
        };
        if workload.namespace == home {
            return Ok(vec![Peer::pods(pods)]);
        }
        let labels = self.cluster.namespaces.get(&workload.namespace);
        if labels.is_none_or(|labels| labels.get(NAMESPACE_NAME) != Some(&workload.namespace)) {
            findings.report(Code::NamespaceUnlabelled, format!("namespace {}", workload.namespace));
        }
        Ok(vec![Peer::pods_in(
            Selector::from_labels([(NAMESPACE_NAME, workload.namespace.as_str())]),
            pods,
        )])
    }

    /// The InternalIPs of nodes, and the addresses of theirs that were seen, such as that of the pods' bridge.
    fn nodes(&self, nodes: &BTreeSet<&str>, seen: &BTreeSet<&Endpoint>, findings: &mut Findings) -> Vec<Peer> {
        let mut addresses: BTreeSet<Address> = BTreeSet::new();
        for name in nodes {
            findings.report(Code::NodeByAddress, format!("node {name} is named by its addresses"));
            addresses.extend(
                self.cluster
                    .nodes
                    .get(*name)
                    .into_iter()
                    .flat_map(|node| &node.internal_ips),
            );
        }
        for endpoint in seen {
            match endpoint {
                Endpoint::Address(address) => {
                    addresses.insert(*address);
                }
                Endpoint::Pod { .. } | Endpoint::Unknown => {}
            }
        }
        let addresses: BTreeSet<IpAddr> = addresses.into_iter().map(Address::ip).collect();
        addresses
            .into_iter()
            .map(|address| Peer::block(Cidr::host(address)))
            .collect()
    }

    fn node_of(&self, endpoint: &Endpoint) -> Option<&'a str> {
        match endpoint {
            Endpoint::Pod { namespace, name } => {
                let mut pods = self.cluster.pods.values();
                pods.find(|pod| pod.namespace == *namespace && pod.name == *name)?
                    .node
                    .as_deref()
            }
            Endpoint::Address(address) => self.cluster.node_of(*address),
            Endpoint::Unknown => None,
        }
    }

    /// Every endpoint of Service `default/kubernetes` on this port.
    fn api_server(&self, port: u16) -> Vec<Peer> {
        let hit = |port_name: Option<&str>| ServiceHit {
            namespace: "default".to_owned(),
            name: "kubernetes".to_owned(),
            port: 443,
            port_name: port_name.map(str::to_owned),
        };
        let always = Span::of_validity(None, None);
        let hits = [hit(None), hit(Some("https"))];
        let backends = hits
            .iter()
            .flat_map(|hit| self.cluster.services.backends(hit, "TCP", always));
        let addresses: BTreeSet<IpAddr> = backends
            .filter(|backend| backend.port == port)
            .map(|backend| backend.address.ip())
            .collect();
        addresses
            .into_iter()
            .map(|address| Peer::block(Cidr::host(address)))
            .collect()
    }

    /// The pods behind the Services of a DNS edge that a cache on the node answered, each with its port.
    pub(super) fn behind_cache(
        &mut self,
        edge: &Edge,
        protocol: Protocol,
        home: &str,
        findings: &mut Findings,
    ) -> BTreeSet<(Peer, u16)> {
        let mut servers: BTreeSet<(Workload, u16)> = BTreeSet::new();
        for service in &edge.evidence.services {
            for backend in self.backends_of(edge, service, protocol) {
                let pod = backend.pod_uid.as_deref().and_then(|uid| self.cluster.pods.get(uid));
                let selectable = pod.filter(|pod| !pod.host_network);
                servers.extend(selectable.map(|pod| (pod.workload.clone(), backend.port)));
            }
        }
        let mut peers = BTreeSet::new();
        for (workload, port) in servers {
            let pods = self.pods(&workload, home, findings).into_iter().flatten();
            peers.extend(pods.map(|peer| (peer, port)));
        }
        peers
    }

    /// The port on which the server of a DNS edge answers over the other protocol: that of the same Service's port 53 where
    /// it stands behind it, otherwise the same number.
    pub(super) fn dns_port(&self, edge: &Edge, protocol: Protocol) -> u16 {
        let is_server = |backend: &Backend| {
            let pod = backend.pod_uid.as_deref().and_then(|uid| self.cluster.pods.get(uid));
            pod.is_none_or(|pod| edge.key.to.identity == Identity::Workload(pod.workload.clone()))
        };
        let services = edge.evidence.services.iter();
        let mut backends = services.flat_map(|service| self.backends_of(edge, service, protocol));
        backends.find(is_server).map_or(edge.key.port, |backend| backend.port)
    }

    /// The backends, at the time of an edge, of a Service that it went through, on that Service's port over a protocol.
    fn backends_of(&self, edge: &Edge, service: &ServiceUse, protocol: Protocol) -> BTreeSet<Backend> {
        let span = Span {
            first: edge.evidence.first_seen,
            last: edge.evidence.last_seen,
        };
        let rows = self.cluster.services.rows().iter();
        let mut rows = rows.filter(|row| row.namespace == service.namespace && row.name == service.name);
        let asked = |port: &&ServicePort| port.port == service.port && port.protocol == protocol.name();
        let Some(port) = rows.find_map(|row| row.ports.iter().find(asked)) else {
            return BTreeSet::new();
        };
        let hit = ServiceHit {
            namespace: service.namespace.clone(),
            name: service.name.clone(),
            port: port.port,
            port_name: port.name.clone(),
        };
        self.cluster.services.backends(&hit, protocol.name(), span)
    }
}
