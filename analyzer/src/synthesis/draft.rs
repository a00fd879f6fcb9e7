//! What edges ask of the policies of the workloads at their ends, while it is collected.

use std::collections::{BTreeMap, BTreeSet};

use super::additions::{Addition, Kind, outside_peers};
use super::peers::{Left, PeerRules, Unit};
use super::rules::RuleMap;
use super::settings::{Dns, Published, Settings};
use crate::findings::{Code, Findings};
use crate::flow::edge::{Edge, EdgeKey};
use crate::flow::governed::{Governed, governed};
use crate::identity::cluster::Cluster;
use crate::identity::published::PublishedPort;
use crate::identity::{Identity, Role, Workload};
use crate::policy::model::{Direction, Peer};
use crate::policy::ports::Protocol;
use crate::policy::select::Selector;

/// The rules of one workload, while they are collected.
pub(super) struct Draft {
    pub(super) subject: Selector,
    pub(super) ingress: RuleMap,
    pub(super) egress: RuleMap,
    /// Directions in which established traffic was seen that policies govern, or would if its peer were known.
    pub(super) seen: BTreeSet<Side>,
}

pub(super) struct Synthesis<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) settings: &'a Settings,
    pub(super) peers: PeerRules<'a>,
    pub(super) published: BTreeSet<PublishedPort>,
    pub(super) drafts: BTreeMap<Workload, Draft>,
    pub(super) additions: BTreeSet<Addition>,
    pub(super) left_out: BTreeSet<EdgeKey>,
}

impl Synthesis<'_> {
    /// Every selectable workload with established traffic is a subject, even if all of it is exempt.
    pub(super) fn draft_subjects(&mut self, edges: &[Edge], findings: &mut Findings) {
        let mut subjects: BTreeMap<&Workload, BTreeSet<Side>> = BTreeMap::new();
        for edge in edges {
            let judged = governed(&edge.key);
            for (peer, side) in [(&edge.key.from, Side::Egress), (&edge.key.to, Side::Ingress)] {
                if let Identity::Workload(workload) = &peer.identity
                    && judged != Governed::NotEstablished
                {
                    let seen = subjects.entry(workload).or_default();
                    seen.extend((judged != Governed::Exempt).then_some(side));
                }
            }
        }
        let only = &self.settings.namespaces;
        let wanted = |workload: &&Workload| only.is_empty() || only.contains(&workload.namespace);
        for (workload, seen) in subjects.into_iter().filter(|(workload, _)| wanted(workload)) {
            if workload.host_network {
                let message = format!("{workload} is on the host network, so no policy governs it");
                findings.report(Code::HostNetworkSubject, message);
            } else if let Some(subject) = self.peers.selector(workload, findings) {
                let draft = Draft {
                    subject,
                    ingress: RuleMap::default(),
                    egress: RuleMap::default(),
                    seen,
                };
                self.drafts.insert(workload.clone(), draft);
            }
        }
    }

    pub(super) fn add_edge(&mut self, edge: &Edge, findings: &mut Findings) {
        if let Some(why) = self.left_out_by_choice(edge) {
            self.leave_out(edge, why, findings);
            return;
        }
        let Some(protocol) = Protocol::from_number(edge.key.protocol.0) else {
            return;
        };
        let note = note(edge);
        if let Identity::Workload(client) = &edge.key.from.identity
            && self.drafts.contains_key(client)
        {
            let peers = self.peers.of_server(edge, &client.namespace, findings);
            self.add_rules(edge, client, Side::Egress, protocol, peers, &note, findings);
            self.add_behind_cache(edge, client, findings);
        }
        let covered = edge.key.from.role == Some(Role::Published) && self.settings.published == Published::Declared;
        if let Identity::Workload(server) = &edge.key.to.identity
            && self.drafts.contains_key(server)
            && !covered
        {
            let peers = self.peers.of_client(edge, &server.namespace, findings);
            self.add_rules(edge, server, Side::Ingress, protocol, peers, &note, findings);
        }
    }

    /// Says of an edge that no rule can be made of; for unknown peers that is said where they are resolved.
    pub(super) fn report_undecided(&self, edge: &Edge, findings: &mut Findings) {
        let is_subject = |peer: &crate::flow::edge::Peer| match &peer.identity {
            Identity::Workload(workload) => self.drafts.contains_key(workload),
            Identity::Service { .. } | Identity::Node { .. } | Identity::External { .. } | Identity::Unknown { .. } => {
                false
            }
        };
        if !is_subject(&edge.key.from) && !is_subject(&edge.key.to) {
            return;
        }
        if matches!(edge.key.to.identity, Identity::Service { .. }) {
            findings.report_rows(Code::ServiceUnresolved, edge.to_string(), 1, &edge.evidence.samples);
        }
        if Protocol::from_number(edge.key.protocol.0).is_none() {
            let message = format!("{edge}: no NetworkPolicy can name this protocol");
            findings.report_rows(Code::LeftOut, message, 1, &edge.evidence.samples);
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the one place where edge, side and rules come together"
    )]
    fn add_rules(
        &mut self,
        edge: &Edge,
        subject: &Workload,
        side: Side,
        protocol: Protocol,
        peers: Result<Unit, Left>,
        note: &str,
        findings: &mut Findings,
    ) {
        let peers = match peers {
            Ok(peers) => peers,
            Err(Left(why)) => return self.leave_out(edge, why, findings),
        };
        let one_unit = edge.key.to.role == Some(Role::Dns) && self.settings.dns == Dns::Auto;
        let dns = one_unit.then(|| {
            let other = if protocol == Protocol::Udp {
                Protocol::Tcp
            } else {
                Protocol::Udp
            };
            (other, self.peers.dns_port(edge, other))
        });
        let Some(draft) = self.drafts.get_mut(subject) else {
            return;
        };
        let rules = match side {
            Side::Ingress => &mut draft.ingress,
            Side::Egress => &mut draft.egress,
        };
        let Unit { seen, rest } = peers;
        for peer in seen {
            if let Some((other, port)) = dns {
                rules.add(peer.clone(), other, port, note, Kind::Dns);
            }
            rules.observe(peer, protocol, edge.key.port, note);
        }
        let each = |(kind, peers): (Kind, Vec<Peer>)| peers.into_iter().map(move |peer| (kind, peer));
        for (kind, peer) in rest.into_iter().flat_map(each) {
            if let Some((other, port)) = dns {
                rules.add(peer.clone(), other, port, note, kind);
            }
            rules.add(peer, protocol, edge.key.port, note, kind);
        }
    }

    /// Where a cache on the node answered for the Service of the cluster's DNS, the servers behind that Service as well.
    fn add_behind_cache(&mut self, edge: &Edge, subject: &Workload, findings: &mut Findings) {
        let cached = matches!(&edge.key.to.identity, Identity::Workload(server) if server.host_network);
        if !cached || edge.key.to.role != Some(Role::Dns) || self.settings.dns != Dns::Auto {
            return;
        }
        let note = format!("the name servers behind {}", edge.key.to);
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            for (peer, port) in self.peers.behind_cache(edge, protocol, &subject.namespace, findings) {
                if let Some(draft) = self.drafts.get_mut(subject) {
                    draft.egress.add(peer, protocol, port, &note, Kind::DnsBehindCache);
                }
            }
        }
    }

    fn left_out_by_choice(&self, edge: &Edge) -> Option<&'static str> {
        if edge.key.to.role == Some(Role::Dns) && self.settings.dns == Dns::Off {
            return Some("name resolution is left out (--dns off)");
        }
        if edge.key.from.role == Some(Role::Published) && self.settings.published == Published::Off {
            return Some("clients outside the cluster are left out (--published off)");
        }
        None
    }

    fn leave_out(&mut self, edge: &Edge, why: &str, findings: &mut Findings) {
        if self.left_out.insert(edge.key.clone()) {
            findings.report_rows(Code::LeftOut, format!("{edge}: {why}"), 1, &edge.evidence.samples);
        }
    }

    /// One rule for everybody outside the cluster on every port that is published, on purpose and by name.
    pub(super) fn add_published(&mut self) {
        if self.settings.published != Published::Declared {
            return;
        }
        let outside = outside_peers(self.cluster);
        for port in &self.published {
            let (Some(protocol), Some(draft)) =
                (Protocol::from_name(&port.protocol), self.drafts.get_mut(&port.workload))
            else {
                continue;
            };
            let note = format!("everybody outside the cluster, published by {}", port.by);
            for peer in &outside {
                draft
                    .ingress
                    .add(peer.clone(), protocol, port.port, &note, Kind::Published);
            }
        }
    }
}

/// Direction of a rule, as its subject sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Ingress,
    Egress,
}

impl Side {
    pub(super) const fn direction(self) -> Direction {
        match self {
            Self::Ingress => Direction::Ingress,
            Self::Egress => Direction::Egress,
        }
    }

    pub(super) const fn word(self) -> &'static str {
        self.direction().name()
    }
}

/// What a reader should know of an edge in a rule: names only, never counts or times, so that two recordings of the same
/// behaviour give the same bytes.
fn note(edge: &Edge) -> String {
    let name = edge.evidence.port_name.iter().map(|name| format!(" ({name})"));
    let services = edge.evidence.services.iter();
    let through = services.map(|service| format!(", Service {service}"));
    let parts: Vec<String> = std::iter::once(edge.to_string()).chain(name).chain(through).collect();
    parts.concat()
}
