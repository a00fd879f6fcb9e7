//! What edges ask of the policies of the workloads at their ends, while it is collected.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::node::Outcome;

use super::additions::{Kind, outside_peers};
use super::ends::Ends;
use super::note::Note;
use super::peers::{Left, PeerRules, Said, Unit};
use super::rules::{Origin, RuleMap};
use super::settings::{Dns, Published, Settings};
use crate::findings::{Code, Findings};
use crate::flow;
use crate::flow::edge::{Edge, EdgeKey};
use crate::flow::governed::{Governed, governed};
use crate::identity::cluster::Cluster;
use crate::identity::published::PublishedPort;
use crate::identity::{Identity, Role, Workload};
use crate::policy::cidr::Cidr;
use crate::policy::model::{Direction, Peer};
use crate::policy::ports::Protocol;
use crate::policy::select::Selector;

/// What the rules of all workloads are made of.
pub(super) struct Synthesis<'a> {
    pub(super) edges: &'a [Edge],
    pub(super) cluster: &'a Cluster,
    pub(super) settings: &'a Settings,
    pub(super) ends: Ends<'a>,
    pub(super) peers: PeerRules<'a>,
    /// Ports that the cluster itself publishes.
    pub(super) published: BTreeMap<Workload, Vec<PublishedPort>>,
    /// The ranges of pods and the addresses of nodes.
    pub(super) inside: BTreeSet<Cidr>,
}

/// A workload that policies are made for.
pub(super) struct Subject<'a> {
    pub(super) workload: &'a Workload,
    pub(super) selector: Selector,
    /// Directions in which established traffic was seen that policies govern, or would if its peer were known.
    pub(super) seen: BTreeSet<Direction>,
    /// Places of the edges that ask for rules of it, with the end that it is: the client's for egress.
    pub(super) asked: Vec<(usize, Direction)>,
}

/// The rules of one workload, while they are collected.
pub(super) struct Drafting<'s> {
    pub(super) synthesis: &'s Synthesis<'s>,
    pub(super) workload: &'s Workload,
    pub(super) ingress: RuleMap,
    pub(super) egress: RuleMap,
    /// Edges that the rule for everybody outside allows, by port.
    covered: BTreeMap<(Protocol, u16), BTreeSet<usize>>,
    /// Edges that get no rule, and why.
    pub(super) left_out: Vec<LeftOut>,
    pub(super) said: Said,
}

/// An edge that gets no rule: its place, the side that would have had it, clients' first, and why.
pub(super) type LeftOut = (usize, Reverse<Direction>, Cow<'static, str>);

impl<'a> Synthesis<'a> {
    /// Every selectable workload with established traffic is a subject, even if all of it is exempt.
    pub(super) fn subjects(&self, said: &mut Said) -> Vec<Subject<'a>> {
        let mut subjects: Vec<Option<Activity>> = vec![None; self.ends.workloads.len()];
        for (place, (edge, [client, server])) in self.edges.iter().zip(&self.ends.of_edges).enumerate() {
            let judged = self.judged(edge);
            if judged == Governed::NotEstablished {
                continue;
            }
            for (end, side) in [(client, Direction::Egress), (server, Direction::Ingress)] {
                if let Some(workload) = end {
                    let activity = subjects[*workload].get_or_insert_default();
                    activity.seen.extend((judged != Governed::Exempt).then_some(side));
                    activity
                        .asked
                        .extend((judged == Governed::Yes).then_some((place, side)));
                }
            }
        }
        let subjects = self.ends.workloads.iter().copied().zip(subjects);
        let only = &self.settings.namespaces;
        let excluded = |workload: &Workload| self.settings.exclude.iter().any(|pattern| pattern.names(workload));
        let wanted =
            |workload: &Workload| (only.is_empty() || only.contains(&workload.namespace)) && !excluded(workload);
        let mut selectable = Vec::new();
        for (workload, activity) in subjects {
            let Some(Activity { seen, asked }) = activity.filter(|_| wanted(workload)) else {
                continue;
            };
            if workload.host_network {
                let message = format!("{workload} is on the host network, so no policy governs it");
                said.findings.report(Code::HostNetworkSubject, message);
            } else if let Some(selector) = self.peers.selector(workload, said) {
                selectable.push(Subject {
                    workload,
                    selector,
                    seen,
                    asked,
                });
            }
        }
        selectable
    }

    /// What policies have to do with an edge, attempts that failed taken for others where they are asked for.
    pub(super) fn judged(&self, edge: &Edge) -> Governed {
        let judged = governed(&edge.key);
        if judged == Governed::NotEstablished && self.settings.include_failed {
            return governed(&EdgeKey {
                outcome: Outcome::Established,
                ..edge.key.clone()
            });
        }
        judged
    }

    /// Says of an edge that no rule can be made of; for unknown peers that is said where they are resolved.
    pub(super) fn report_undecided(edge: &Edge, subjects: &BTreeSet<&Workload>, findings: &mut Findings) {
        let is_subject = |peer: &flow::edge::Peer| match &peer.identity {
            Identity::Workload(workload) => subjects.contains(workload),
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

    /// Edges that are left out by choice, also those between workloads without a policy of their own: the selector of another may
    /// take them in.
    pub(super) fn chosen(&self) -> impl Iterator<Item = LeftOut> {
        let asked = self.edges.iter().enumerate();
        let asked = asked.filter(|(_, edge)| self.judged(edge) == Governed::Yes);
        asked.filter_map(|(place, edge)| Some((place, Reverse(Direction::Egress), self.left_out_by_choice(edge)?)))
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
}

/// What was seen of a workload.
#[derive(Clone, Default)]
struct Activity {
    seen: BTreeSet<Direction>,
    asked: Vec<(usize, Direction)>,
}

impl<'s> Drafting<'s> {
    /// Collects the rules of one workload.
    pub(super) fn of(synthesis: &'s Synthesis<'s>, subject: &Subject<'s>) -> Self {
        let mut drafting = Self {
            synthesis,
            workload: subject.workload,
            ingress: RuleMap::default(),
            egress: RuleMap::default(),
            covered: BTreeMap::new(),
            left_out: Vec::new(),
            said: Said::default(),
        };
        for (place, side) in &subject.asked {
            drafting.add_edge(*place, *side);
        }
        drafting.add_published();
        drafting
    }

    /// Makes rules of an edge, which has this place in the list.
    fn add_edge(&mut self, place: usize, side: Direction) {
        let edge = &self.synthesis.edges[place];
        if self.synthesis.left_out_by_choice(edge).is_some() {
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
        let (peers, home) = (&self.synthesis.peers, self.workload.namespace.as_str());
        match side {
            Direction::Egress => {
                let peers = peers.of_server(edge, home, &mut self.said);
                self.add_service_addresses(edge, peers.as_ref().ok());
                self.add_rules(&asked, side, peers);
                self.add_behind_cache(edge);
            }
            Direction::Ingress if self.is_declared(edge, protocol) => {
                self.covered.entry((protocol, edge.key.port)).or_default().insert(place);
            }
            Direction::Ingress => {
                let peers = peers.of_client(edge, home, &mut self.said);
                self.add_rules(&asked, side, peers);
            }
        }
    }

    /// Whether the rule for everybody outside is for the client of an edge, too.
    fn is_declared(&self, edge: &Edge, protocol: Protocol) -> bool {
        let Identity::External { address, .. } = &edge.key.from.identity else {
            return false;
        };
        let is_for_it = |port: &PublishedPort| {
            let is_it = port.port == edge.key.port && Protocol::from_name(&port.protocol) == Some(protocol);
            is_it && port.admits(*address)
        };
        let published = self.synthesis.published.get(self.workload);
        let declared = self.synthesis.settings.published == Published::Declared;
        declared && edge.key.from.role == Some(Role::Published) && published.into_iter().flatten().any(is_for_it)
    }

    fn add_rules(&mut self, asked: &Asked<'_>, side: Direction, peers: Result<Unit, Left>) {
        let Asked {
            place,
            edge,
            protocol,
            note,
            kind,
        } = asked;
        let peers = match peers {
            Ok(peers) => peers,
            Err(Left(why)) => {
                self.left_out.push((*place, Reverse(side), why.into()));
                return;
            }
        };
        let one_unit = edge.key.to.role == Some(Role::Dns) && self.synthesis.settings.dns == Dns::Auto;
        let dns = one_unit.then(|| {
            let other = if *protocol == Protocol::Udp {
                Protocol::Tcp
            } else {
                Protocol::Udp
            };
            (other, self.synthesis.peers.dns_port(edge, other))
        });
        let (rules, origin) = match side {
            Direction::Ingress => (&mut self.ingress, origin(&edge.key.from)),
            Direction::Egress => (&mut self.egress, origin(&edge.key.to)),
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
    fn add_behind_cache(&mut self, edge: &Edge) {
        let cached = matches!(&edge.key.to.identity, Identity::Workload(server) if server.host_network);
        if !cached || edge.key.to.role != Some(Role::Dns) || self.synthesis.settings.dns != Dns::Auto {
            return;
        }
        let note = Note::Text(format!("the name servers behind {}", edge.key.to));
        let (peers, home) = (&self.synthesis.peers, self.workload.namespace.as_str());
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            for (peer, port) in peers.behind_cache(edge, protocol, home, &mut self.said) {
                let peer = (peer, Origin::Fixed);
                self.egress.add(peer, (protocol, port), &note, Kind::DnsBehindCache, []);
            }
        }
    }

    /// One rule for everybody outside the cluster on every port that is published, on purpose and by name.
    fn add_published(&mut self) {
        if self.synthesis.settings.published != Published::Declared {
            return;
        }
        let published = self.synthesis.published.get(self.workload);
        for port in published.into_iter().flatten() {
            let Some(protocol) = Protocol::from_name(&port.protocol) else {
                continue;
            };
            let who = if port.sources.is_some() {
                "who may use it from outside the cluster"
            } else {
                "everybody outside the cluster"
            };
            let note = Note::Text(format!("{who}, published by {}", port.by));
            let edges = self.covered.get(&(protocol, port.port)).cloned().unwrap_or_default();
            for peer in outside_peers(&self.synthesis.inside, port) {
                let (peer, port) = ((peer, Origin::Fixed), (protocol, port.port));
                self.ingress
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
