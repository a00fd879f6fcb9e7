//! What a network plugin needs besides the rules of the API's text, as named additions.

use std::net::IpAddr;

use super::additions::Kind;
use super::draft::Drafting;
use super::note::Note;
use super::peers::Unit;
use super::rules::Origin;
use super::settings::Dns;
use crate::flow::edge::Edge;
use crate::identity::Role;
use crate::identity::cluster::Cluster;
use crate::policy::cidr::Cidr;
use crate::policy::model::Peer;
use crate::policy::ports::Protocol;
use crate::policy::select::{Labels, Selector};

/// An address and a port under which an edge's client addressed a Service, and what that Service selects by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Front<'a> {
    /// The cluster address.
    pub address: IpAddr,
    /// The Service's own port.
    pub port: u16,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// What the Service selects by, if anything.
    pub selector: Option<&'a Labels>,
}

impl Front<'_> {
    /// Whether a plugin that looks for a Service's address finds it by itself: where the labels that the Service selects by
    /// meet the rule's own selector (aws/amazon-network-policy-controller-k8s, `pkg/resolvers/endpoints.go`,
    /// `getMatchingServiceClusterIPs`).
    #[must_use]
    pub fn is_found_by(&self, pods: &Selector) -> bool {
        self.selector
            .is_some_and(|labels| !labels.is_empty() && pods.matches(labels))
    }
}

/// Where an edge's client addressed Services.
#[must_use]
pub fn fronts<'a>(edge: &Edge, cluster: &'a Cluster) -> Vec<Front<'a>> {
    let mut fronts: Vec<Front<'a>> = Vec::new();
    let Some(protocol) = Protocol::from_number(edge.key.protocol.0) else {
        return fronts;
    };
    for used in &edge.evidence.services {
        for row in cluster
            .services
            .named(&used.namespace, &used.name)
            .filter(|row| !row.headless)
        {
            let front = |address: &flowtape_schemas::address::Address| Front {
                address: address.ip(),
                port: used.port,
                protocol,
                selector: row.selector.as_ref(),
            };
            for front in row.cluster_ips.iter().map(front) {
                if !fronts.contains(&front) {
                    fronts.push(front);
                }
            }
        }
    }
    fronts
}

impl Drafting<'_> {
    /// The addresses of the Services that a client went through, where the plugin looks for them and does not find them by
    /// itself. `unit` are the peers of the rule; none if there is no rule.
    pub(super) fn add_service_addresses(&mut self, edge: &Edge, unit: Option<&Unit>) {
        let settings = self.synthesis.settings;
        let (true, Some(unit)) = (settings.cni.sees_service_addresses(), unit) else {
            return;
        };
        let one_unit = edge.key.to.role == Some(Role::Dns) && settings.dns == Dns::Auto;
        for front in fronts(edge, self.synthesis.cluster) {
            let found = unit.seen.iter().any(|peer| match peer {
                Peer::Pods { namespaces: _, pods } => front.is_found_by(pods),
                Peer::Block { .. } | Peer::Entity(_) => false,
            });
            if found {
                continue;
            }
            let note = Note::Text(format!("{edge}, at the address of its Service"));
            let peer = (Peer::block(Cidr::host(front.address)), Origin::Fixed);
            let dns: &[Protocol] = if one_unit { &[Protocol::Tcp, Protocol::Udp] } else { &[] };
            for protocol in std::iter::once(&front.protocol).chain(dns) {
                let kind = Kind::ServiceAddress;
                self.egress.add(peer.clone(), (*protocol, front.port), &note, kind, []);
            }
        }
    }
}
