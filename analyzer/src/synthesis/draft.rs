//! What edges ask of the policies of the workloads at their ends, while it is collected.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::node::Outcome;

use super::RuleEvidence;
use super::additions::{Addition, Kind, outside_peers};
use super::note::Note;
use super::peers::{Left, PeerRules, Unit};
use super::rules::{Origin, RuleMap};
use super::settings::{Dns, Published, Settings};
use crate::findings::{Code, Findings};
use crate::flow;
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
    pub(super) seen: BTreeSet<Direction>,
}

pub(super) struct Synthesis<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) settings: &'a Settings,
    pub(super) peers: PeerRules<'a>,
    pub(super) published: BTreeSet<PublishedPort>,
    pub(super) drafts: BTreeMap<Workload, Draft>,
    pub(super) additions: BTreeSet<Addition>,
    pub(super) left_out: BTreeSet<EdgeKey>,
    pub(super) evidence: Vec<RuleEvidence>,
    /// Edges that the rule for everybody outside allows, by the server's workload and port.
    pub(super) covered: BTreeMap<(Workload, Protocol, u16), BTreeSet<usize>>,
}

impl Synthesis<'_> {
    /// Every selectable workload with established traffic is a subject, even if all of it is exempt.
    pub(super) fn draft_subjects(&mut self, edges: &[Edge], findings: &mut Findings) {
        let mut subjects: BTreeMap<&Workload, BTreeSet<Direction>> = BTreeMap::new();
        for edge in edges {
            let judged = self.judged(edge);
            for (peer, side) in [(&edge.key.from, Direction::Egress), (&edge.key.to, Direction::Ingress)] {
                if let Identity::Workload(workload) = &peer.identity
                    && judged != Governed::NotEstablished
                {
                    let seen = subjects.entry(workload).or_default();
                    seen.extend((judged != Governed::Exempt).then_some(side));
                }
            }
        }
        let only = &self.settings.namespaces;
        let excluded = |workload: &Workload| self.settings.exclude.iter().any(|pattern| pattern.names(workload));
        let wanted =
            |workload: &&Workload| (only.is_empty() || only.contains(&workload.namespace)) && !excluded(workload);
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

    /// What policies have to do with an edge, attempts that failed taken for others where they are asked for.
    pub(super) fn judged(&self, edge: &Edge) -> Governed {
        let established = EdgeKey {
            outcome: Outcome::Established,
            ..edge.key.clone()
        };
        let judged = governed(&edge.key);
        if judged == Governed::NotEstablished && self.settings.include_failed {
            return governed(&established);
        }
        judged
    }

    /// Makes rules of an edge, which has this place in the list.
    pub(super) fn add_edge(&mut self, place: usize, edge: &Edge, findings: &mut Findings) {
        if let Some(why) = self.left_out_by_choice(edge) {
            self.leave_out(edge, &why, findings);
            return;
        }
        let Some(protocol) = Protocol::from_number(edge.key.protocol.0) else {
            return;
        };
        let failed = governed(&edge.key) == Governed::NotEstablished;
        let asked = Asked {
            place,
            edge,
            protocol,
            note: Note::of(edge),
            kind: failed.then_some(Kind::Failed),
        };
        if let Identity::Workload(client) = &edge.key.from.identity
            && self.drafts.contains_key(client)
        {
            let peers = self.peers.of_server(edge, &client.namespace, findings);
            self.add_service_addresses(edge, client, peers.as_ref().ok());
            self.add_rules(&asked, client, Direction::Egress, peers, findings);
            self.add_behind_cache(edge, client, findings);
        }
        if let Identity::Workload(server) = &edge.key.to.identity
            && self.drafts.contains_key(server)
        {
            if edge.key.from.role == Some(Role::Published) && self.settings.published == Published::Declared {
                let port = (server.clone(), protocol, edge.key.port);
                self.covered.entry(port).or_default().insert(place);
            } else {
                let peers = self.peers.of_client(edge, &server.namespace, findings);
                self.add_rules(&asked, server, Direction::Ingress, peers, findings);
            }
        }
    }

    /// Says of an edge that no rule can be made of; for unknown peers that is said where they are resolved.
    pub(super) fn report_undecided(&self, edge: &Edge, findings: &mut Findings) {
        let is_subject = |peer: &flow::edge::Peer| match &peer.identity {
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

    fn add_rules(
        &mut self,
        asked: &Asked<'_>,
        subject: &Workload,
        side: Direction,
        peers: Result<Unit, Left>,
        findings: &mut Findings,
    ) {
        let Asked {
            place,
            edge,
            protocol,
            note,
            kind,
        } = asked;
        let peers = match peers {
            Ok(peers) => peers,
            Err(Left(why)) => return self.leave_out(edge, why, findings),
        };
        let one_unit = edge.key.to.role == Some(Role::Dns) && self.settings.dns == Dns::Auto;
        let dns = one_unit.then(|| {
            let other = if *protocol == Protocol::Udp {
                Protocol::Tcp
            } else {
                Protocol::Udp
            };
            (other, self.peers.dns_port(edge, other))
        });
        let Some(draft) = self.drafts.get_mut(subject) else {
            return;
        };
        let (rules, origin) = match side {
            Direction::Ingress => (&mut draft.ingress, origin(&edge.key.from)),
            Direction::Egress => (&mut draft.egress, origin(&edge.key.to)),
        };
        let port = (*protocol, edge.key.port);
        let Unit { seen, rest } = peers;
        for peer in seen {
            let peer = (peer, origin.clone());
            if let Some(dns) = dns {
                rules.add(peer.clone(), dns, note, Kind::Dns, []);
            }
            match kind {
                None => rules.observe(peer, port, note, *place),
                Some(kind) => rules.add(peer, port, note, *kind, [*place]),
            }
        }
        let each = |(kind, peers): (Kind, Vec<Peer>)| peers.into_iter().map(move |peer| (kind, peer));
        for (kind, peer) in rest.into_iter().flat_map(each) {
            let peer = (peer, origin.clone());
            if let Some(dns) = dns {
                rules.add(peer.clone(), dns, note, kind, []);
            }
            rules.add(peer, port, note, kind, [*place]);
        }
    }

    /// Where a cache on the node answered for the Service of the cluster's DNS, the servers behind that Service as well.
    fn add_behind_cache(&mut self, edge: &Edge, subject: &Workload, findings: &mut Findings) {
        let cached = matches!(&edge.key.to.identity, Identity::Workload(server) if server.host_network);
        if !cached || edge.key.to.role != Some(Role::Dns) || self.settings.dns != Dns::Auto {
            return;
        }
        let note = Note::Text(format!("the name servers behind {}", edge.key.to));
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            for (peer, port) in self.peers.behind_cache(edge, protocol, &subject.namespace, findings) {
                if let Some(draft) = self.drafts.get_mut(subject) {
                    let peer = (peer, Origin::Fixed);
                    draft
                        .egress
                        .add(peer, (protocol, port), &note, Kind::DnsBehindCache, []);
                }
            }
        }
    }

    fn left_out_by_choice(&self, edge: &Edge) -> Option<Cow<'static, str>> {
        if edge.key.to.role == Some(Role::Dns) && self.settings.dns == Dns::Off {
            return Some("name resolution is left out (--dns off)".into());
        }
        if edge.key.from.role == Some(Role::Published) && self.settings.published == Published::Off {
            return Some("clients outside the cluster are left out (--published off)".into());
        }
        if self.settings.exclude.iter().any(|pattern| pattern.is_end_of(edge)) {
            return Some("one of its peers is left out (--exclude)".into());
        }
        let (count, least) = (edge.evidence.count, self.settings.min_count);
        // What is older than the window, or supposed, was not counted, which says nothing of how often it is used.
        (count > 0 && count < least && !edge.evidence.predates_window)
            .then(|| format!("seen too seldom ({count}, --min-count {least})").into())
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
            let note = Note::Text(format!("everybody outside the cluster, published by {}", port.by));
            let key = (port.workload.clone(), protocol, port.port);
            let edges = self.covered.get(&key).cloned().unwrap_or_default();
            for peer in &outside {
                let (peer, port) = ((peer.clone(), Origin::Fixed), (protocol, port.port));
                draft
                    .ingress
                    .add(peer, port, &note, Kind::Published, edges.iter().copied());
            }
        }
    }
}

/// An edge that is asked to be allowed.
struct Asked<'e> {
    /// Its place in the list of edges.
    place: usize,
    edge: &'e Edge,
    protocol: Protocol,
    note: Note,
    /// Why it is allowed, if not because it was established.
    kind: Option<Kind>,
}

/// What a peer of a rule stands for. Who plays a part of its own is what it is, and is never taken together with others.
fn origin(peer: &flow::edge::Peer) -> Origin {
    match (&peer.identity, peer.role) {
        (Identity::Node { .. }, None) => Origin::Node,
        (Identity::Workload(workload), None) if workload.host_network => Origin::Node,
        (Identity::Workload(workload), _) if !workload.host_network => Origin::Workload(workload.clone()),
        (Identity::External { .. }, None | Some(Role::Published)) => Origin::External,
        (
            Identity::Workload(_)
            | Identity::Node { .. }
            | Identity::External { .. }
            | Identity::Service { .. }
            | Identity::Unknown { .. },
            _,
        ) => Origin::Fixed,
    }
}
