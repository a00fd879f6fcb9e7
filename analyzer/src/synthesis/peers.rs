//! Which peers of a rule an identity becomes.

use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::address::Address;
use flowtape_schemas::cluster::ServicePort;
use flowtape_schemas::pseudonym::is_pseudonym;

use super::additions::Kind;
use super::selectors::Selectors;
use crate::findings::{Code, Findings};
use crate::flow::edge::{Edge, Endpoint, ServiceUse};
use crate::identity::cluster::{Cluster, Pod};
use crate::identity::service::{Backend, ServiceHit};
use crate::identity::timeline::Span;
use crate::identity::{Identity, Role, Workload};
use crate::policy::cidr::Cidr;
use crate::policy::model::Peer;
use crate::policy::ports::Protocol;
use crate::policy::select::Selector;

/// Label that every API server sets on every namespace (Kubernetes 1.22, `core/v1` LabelMetadataName).
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Selects one namespace.
pub(super) fn namespace_selector(namespace: &str) -> Selector {
    Selector::from_labels([(NAMESPACE_NAME, namespace)])
}

/// Why an edge cannot become a rule.
pub(super) struct Left(pub(super) &'static str);

/// The peers that a peer of an edge becomes.
pub(super) struct Unit {
    /// What was seen of it.
    pub(super) seen: Vec<Peer>,
    /// What belongs to it as well, and why.
    pub(super) rest: Option<(Kind, Vec<Peer>)>,
}

impl Unit {
    const fn whole(seen: Vec<Peer>) -> Self {
        Self { seen, rest: None }
    }

    /// All addresses of something of which some were seen.
    fn of_addresses(all: &BTreeSet<Address>, seen: &BTreeSet<Address>, kind: Kind) -> Self {
        let block = |address: &Address| Peer::block(Cidr::host(address.ip()));
        let rest: Vec<Peer> = all.difference(seen).map(block).collect();
        Self {
            seen: seen.iter().map(block).collect(),
            rest: (!rest.is_empty()).then_some((kind, rest)),
        }
    }
}

/// Turns identities into peers.
pub(super) struct PeerRules<'a> {
    cluster: &'a Cluster,
    selectors: Selectors<'a>,
    /// What selects each namespace.
    namespaces: BTreeMap<&'a str, Selector>,
    /// Whether addresses outside may be pseudonyms.
    redacted: bool,
}

/// What is said while peers are made.
#[derive(Default)]
pub(super) struct Said {
    /// What the user must know.
    pub(super) findings: Findings,
    /// Workloads whose selectors were asked for.
    pub(super) asked: BTreeSet<Workload>,
}

impl<'a> PeerRules<'a> {
    /// For these workloads.
    pub(super) fn new(workloads: &[&'a Workload], cluster: &'a Cluster, redacted: bool) -> Self {
        let namespaces: BTreeSet<&str> = workloads.iter().map(|workload| workload.namespace.as_str()).collect();
        Self {
            cluster,
            selectors: Selectors::new(cluster, workloads),
            namespaces: namespaces
                .into_iter()
                .map(|name| (name, namespace_selector(name)))
                .collect(),
            redacted,
        }
    }

    /// The selector of a workload's pods.
    pub(super) fn selector(&self, workload: &Workload, said: &mut Said) -> Option<Selector> {
        if !said.asked.contains(workload) {
            said.asked.insert(workload.clone());
        }
        self.selectors.of(workload).cloned()
    }

    /// Says what there is to know about selectors that were asked for, and gives each of their workloads with another whose
    /// pods its selector also selects.
    pub(super) fn report(&self, asked: BTreeSet<Workload>, findings: &mut Findings) -> BTreeSet<(Workload, Workload)> {
        self.selectors.report(asked, findings)
    }

    /// Peers of an egress rule.
    pub(super) fn of_server(&self, edge: &Edge, home: &str, said: &mut Said) -> Result<Unit, Left> {
        let seen = || edge.evidence.pairs.iter().map(|pair| &pair.1).collect();
        if edge.key.to.role == Some(Role::ApiServer) {
            return Ok(self.api_server(edge.key.port, &seen()));
        }
        if edge.key.to.role == Some(Role::MetadataService) {
            let message = edge.to_string();
            said.findings
                .report_rows(Code::MetadataService, message, 1, &edge.evidence.samples);
        }
        self.peers(&edge.key.to.identity, seen, home, said)
    }

    /// Peers of an ingress rule.
    pub(super) fn of_client(&self, edge: &Edge, home: &str, said: &mut Said) -> Result<Unit, Left> {
        let seen = || edge.evidence.pairs.iter().map(|pair| &pair.0).collect();
        self.peers(&edge.key.from.identity, seen, home, said)
    }

    fn peers<'e>(
        &self,
        identity: &Identity,
        seen: impl FnOnce() -> BTreeSet<&'e Endpoint>,
        home: &str,
        said: &mut Said,
    ) -> Result<Unit, Left> {
        match identity {
            Identity::Workload(workload) if workload.host_network => {
                let seen = seen();
                let nodes: BTreeSet<&str> = seen.iter().filter_map(|endpoint| self.node_of(endpoint)).collect();
                Ok(self.nodes(&nodes, &seen, said))
            }
            Identity::Workload(workload) => self.pods(workload, home, said).map(Unit::whole),
            Identity::Node { name } => Ok(self.nodes(&BTreeSet::from([name.as_str()]), &seen(), said)),
            Identity::External { address, names: _ } if self.redacted && is_pseudonym(*address) => {
                let message = format!("no rule names the pseudonym {address}");
                said.findings.report(Code::RedactedPeer, message);
                Err(Left("the address of this peer is redacted"))
            }
            Identity::External { address, names: _ } => Ok(Unit::whole(vec![Peer::block(Cidr::host(address.ip()))])),
            Identity::Service { .. } | Identity::Unknown { .. } => Err(Left("no rule can name this peer")),
        }
    }

    fn pods(&self, workload: &Workload, home: &str, said: &mut Said) -> Result<Vec<Peer>, Left> {
        let Some(pods) = self.selector(workload, said) else {
            return Err(Left("no label selects the pods of this peer"));
        };
        if workload.namespace == home {
            return Ok(vec![Peer::pods(pods)]);
        }
        let labels = self.cluster.namespaces.get(&workload.namespace);
        if labels.is_none_or(|labels| labels.get(NAMESPACE_NAME) != Some(&workload.namespace)) {
            let message = format!("namespace {}", workload.namespace);
            said.findings.report(Code::NamespaceUnlabelled, message);
        }
        let namespace = self.namespaces.get(workload.namespace.as_str()).cloned();
        let namespace = namespace.unwrap_or_else(|| namespace_selector(&workload.namespace));
        Ok(vec![Peer::pods_in(namespace, pods)])
    }

    /// The InternalIPs of nodes, and the addresses of theirs that were seen, such as that of the pods' bridge.
    fn nodes(&self, nodes: &BTreeSet<&str>, seen: &BTreeSet<&Endpoint>, said: &mut Said) -> Unit {
        let mut all: BTreeSet<Address> = BTreeSet::new();
        for name in nodes {
            let message = format!("node {name} is named by its addresses");
            said.findings.report(Code::NodeByAddress, message);
            let node = self.cluster.nodes.get(*name).into_iter();
            all.extend(node.flat_map(|node| &node.internal_ips));
        }
        let seen: BTreeSet<Address> = seen.iter().flat_map(|endpoint| self.addresses_of(endpoint)).collect();
        Unit::of_addresses(&all, &seen, Kind::Node)
    }

    fn node_of(&self, endpoint: &Endpoint) -> Option<&'a str> {
        match endpoint {
            Endpoint::Pod { namespace, name } => self.pod(namespace, name)?.node.as_deref(),
            Endpoint::Address(address) => self.cluster.node_of(*address),
            Endpoint::Unknown => None,
        }
    }

    /// The addresses of an endpoint on the network of a node: its own, or all of the node where the metadata has none.
    fn addresses_of(&self, endpoint: &Endpoint) -> BTreeSet<Address> {
        match endpoint {
            Endpoint::Pod { namespace, name } => {
                let pod = self.pod(namespace, name);
                let own = pod.map(|pod| &pod.addresses).filter(|addresses| !addresses.is_empty());
                let node = || {
                    self.cluster
                        .nodes
                        .get(pod?.node.as_deref()?)
                        .map(|node| &node.internal_ips)
                };
                own.or_else(node).cloned().unwrap_or_default()
            }
            Endpoint::Address(address) => BTreeSet::from([*address]),
            Endpoint::Unknown => BTreeSet::new(),
        }
    }

    fn pod(&self, namespace: &str, name: &str) -> Option<&'a Pod> {
        self.cluster.pods_in(namespace).find(|pod| pod.name == name)
    }

    /// Every endpoint of Service `default/kubernetes` on this port.
    fn api_server(&self, port: u16, seen: &BTreeSet<&Endpoint>) -> Unit {
        let endpoints = self.cluster.services.api_endpoints().into_iter();
        let on_port = endpoints.filter(|(_, own)| *own == port);
        let all: BTreeSet<Address> = on_port.map(|(address, _)| address).collect();
        let seen = seen.iter().flat_map(|endpoint| self.addresses_of(endpoint));
        let seen = seen.filter(|address| all.contains(address)).collect();
        Unit::of_addresses(&all, &seen, Kind::ApiServer)
    }

    /// The pods behind the Services of a DNS edge that a cache on the node answered, each with its port.
    pub(super) fn behind_cache(
        &self,
        edge: &Edge,
        protocol: Protocol,
        home: &str,
        said: &mut Said,
    ) -> BTreeSet<(Peer, u16)> {
        let mut servers: BTreeSet<(Workload, u16)> = BTreeSet::new();
        for service in &edge.evidence.services {
            for backend in self.backends_of(edge, service, protocol) {
                let pod = backend.pod_uid.and_then(|uid| self.cluster.pods.get(uid));
                let selectable = pod.filter(|pod| !pod.host_network);
                servers.extend(selectable.map(|pod| (pod.workload.clone(), backend.port)));
            }
        }
        let mut peers = BTreeSet::new();
        for (workload, port) in servers {
            let pods = self.pods(&workload, home, said).into_iter().flatten();
            peers.extend(pods.map(|peer| (peer, port)));
        }
        peers
    }

    /// The port on which the server of a DNS edge answers over the other protocol: that of the same Service's port 53 where
    /// it stands behind it, otherwise the same number.
    pub(super) fn dns_port(&self, edge: &Edge, protocol: Protocol) -> u16 {
        let is_server = |backend: &Backend<'_>| {
            let pod = backend.pod_uid.and_then(|uid| self.cluster.pods.get(uid));
            pod.is_none_or(|pod| edge.key.to.identity == Identity::Workload(pod.workload.clone()))
        };
        let services = edge.evidence.services.iter();
        let mut backends = services.flat_map(|service| self.backends_of(edge, service, protocol));
        backends.find(is_server).map_or(edge.key.port, |backend| backend.port)
    }

    /// The backends, at the time of an edge, of a Service that it went through, on that Service's port over a protocol.
    fn backends_of(&self, edge: &Edge, service: &ServiceUse, protocol: Protocol) -> BTreeSet<Backend<'_>> {
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
            namespace: &service.namespace,
            name: &service.name,
            port: port.port,
            port_name: port.name.as_deref(),
        };
        self.cluster.services.backends(hit, protocol.name(), span)
    }
}
