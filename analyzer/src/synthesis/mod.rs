//! Edges to a policy set: one policy for each workload with recorded traffic, tight by construction.
//!
//! Each peer and port of a rule comes from a recorded edge or from a named [`Addition`]; nothing else is ever written.
//! Which rule each kind of peer becomes is the table in ARCHITECTURE.md.

pub mod additions;
mod names;
mod peers;
mod rules;
mod selectors;
pub mod settings;
mod volatile;

use std::collections::{BTreeMap, BTreeSet};

use crate::findings::{Code, Findings};
use crate::flow::edge::{Edge, EdgeKey};
use crate::flow::governed::{Governed, governed};
use crate::identity::cluster::Cluster;
use crate::identity::published::{PublishedPort, published};
use crate::identity::{Identity, Role, Workload};
use crate::policy::model::{Peer, Policy, PolicySet, PolicySetError, Rule};
use crate::policy::ports::Protocol;
use crate::policy::select::Selector;
use additions::{Addition, Kind, outside_peers};
use peers::{Left, PeerRules};
use rules::{Grouped, RuleMap};
use settings::{DefaultDeny, Dns, Published, Settings};

/// A derived policy set and what there is to know about it.
#[derive(Clone, Debug)]
pub struct Generated {
    /// The policies.
    pub set: PolicySet,
    /// What they allow beyond the recording, on purpose.
    pub additions: BTreeSet<Addition>,
    /// Edges that they deny, on purpose; each is in a finding.
    pub left_out: BTreeSet<EdgeKey>,
}

/// Derives the policies.
pub fn synthesize(
    edges: &[Edge],
    cluster: &Cluster,
    settings: &Settings,
    findings: &mut Findings,
) -> Result<Generated, PolicySetError> {
    let mut synthesis = Synthesis {
        cluster,
        settings,
        peers: PeerRules::new(cluster, settings.redacted),
        published: published(cluster),
        drafts: BTreeMap::new(),
        additions: BTreeSet::new(),
        left_out: BTreeSet::new(),
    };
    synthesis.draft_subjects(edges, findings);
    for edge in edges {
        match governed(&edge.key) {
            Governed::Yes => synthesis.add_edge(edge, findings),
            Governed::Undecided => synthesis.report_undecided(edge, findings),
            Governed::Exempt | Governed::NotEstablished => {}
        }
    }
    synthesis.add_published();
    synthesis.finish(findings)
}

/// The rules of one workload, while they are collected.
struct Draft {
    subject: Selector,
    ingress: RuleMap,
    egress: RuleMap,
    /// Directions in which established traffic was seen that policies govern, or would if its peer were known.
    seen: BTreeSet<Side>,
}

struct Synthesis<'a> {
    cluster: &'a Cluster,
    settings: &'a Settings,
    peers: PeerRules<'a>,
    published: BTreeSet<PublishedPort>,
    drafts: BTreeMap<Workload, Draft>,
    additions: BTreeSet<Addition>,
    left_out: BTreeSet<EdgeKey>,
}

impl Synthesis<'_> {
    /// Every selectable workload with established traffic is a subject, even if all of it is exempt.
    fn draft_subjects(&mut self, edges: &[Edge], findings: &mut Findings) {
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

    fn add_edge(&mut self, edge: &Edge, findings: &mut Findings) {
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
    fn report_undecided(&self, edge: &Edge, findings: &mut Findings) {
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
        peers: Result<Vec<Peer>, Left>,
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
        for peer in &peers {
            rules.observe(peer.clone(), protocol, edge.key.port, note);
            if let Some((other, port)) = dns {
                rules.add(peer.clone(), other, port, note, Kind::Dns);
            }
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
    fn add_published(&mut self) {
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

    fn finish(mut self, findings: &mut Findings) -> Result<Generated, PolicySetError> {
        let names = names::of_workloads(self.drafts.keys());
        let mut policies = Vec::new();
        for (workload, draft) in std::mem::take(&mut self.drafts) {
            let name = names.get(&workload).cloned().unwrap_or_else(|| workload.name.clone());
            policies.extend(self.policy(&workload, name, draft, findings));
        }
        if self.settings.default_deny == DefaultDeny::Namespace {
            policies.extend(self.namespace_denials(&policies, findings));
        }
        for addition in &self.additions {
            findings.report(Code::Addition, addition.to_string());
        }
        let Self {
            additions, left_out, ..
        } = self;
        Ok(Generated {
            set: PolicySet::new(policies)?,
            additions,
            left_out,
        })
    }

    fn policy(&mut self, workload: &Workload, name: String, draft: Draft, findings: &mut Findings) -> Option<Policy> {
        let Draft {
            subject,
            ingress,
            egress,
            seen,
        } = draft;
        let ingress = self.rules(workload, &name, Side::Ingress, ingress);
        let egress = self.rules(workload, &name, Side::Egress, egress);
        let isolates = |rules: &Vec<_>| !rules.is_empty() || self.settings.default_deny != DefaultDeny::None;
        if !isolates(&ingress) && !isolates(&egress) {
            return None;
        }
        for (side, rules) in [(Side::Ingress, &ingress), (Side::Egress, &egress)] {
            if rules.is_empty() && isolates(rules) {
                let why = if seen.contains(&side) {
                    "what was seen no rule allows"
                } else {
                    "nothing was seen"
                };
                let message = format!("denies all {} of {workload}; {why}", side.word());
                findings.report(Code::EmptyDirection, message);
            }
        }
        Some(Policy {
            namespace: workload.namespace.clone(),
            name,
            subject,
            notes: vec![format!("{} {}", workload.kind, workload.name)],
            ingress: Some(ingress).filter(isolates),
            egress: Some(egress).filter(isolates),
            source: None,
        })
    }

    /// The rules of one direction; what they add to the recording is kept by name.
    fn rules(&mut self, workload: &Workload, policy: &str, side: Side, rules: RuleMap) -> Vec<Rule> {
        let mut plain = Vec::new();
        for (index, Grouped { rule, additions }) in rules.into_rules().into_iter().enumerate() {
            let addition = |(kind, port): (Kind, String)| Addition {
                namespace: workload.namespace.clone(),
                policy: policy.to_owned(),
                rule: format!("{}/{index}", side.word()),
                kind,
                port,
            };
            self.additions.extend(additions.into_iter().map(addition));
            plain.push(rule);
        }
        plain
    }

    /// A policy for each namespace that selects every pod and allows nothing.
    fn namespace_denials(&self, policies: &[Policy], findings: &mut Findings) -> Vec<Policy> {
        let namespaces: BTreeSet<&str> = policies.iter().map(|policy| policy.namespace.as_str()).collect();
        let taken = |namespace: &str, name: &str| {
            policies
                .iter()
                .any(|one| one.namespace == namespace && one.name == name)
        };
        let mut denials = Vec::new();
        for namespace in namespaces {
            let mut name = "default-deny".to_owned();
            while taken(namespace, &name) {
                name.push_str("-all");
            }
            denials.push(Policy {
                namespace: namespace.to_owned(),
                name,
                subject: Selector::everything(),
                notes: vec!["everything that no other policy of this namespace allows".to_owned()],
                ingress: Some(Vec::new()),
                egress: Some(Vec::new()),
                source: None,
            });
            for workload in self.unseen_workloads(namespace, policies) {
                let message = format!("{workload} is denied everything; nothing was seen of it");
                findings.report(Code::WorkloadNotRecorded, message);
            }
        }
        denials
    }

    fn unseen_workloads(&self, namespace: &str, policies: &[Policy]) -> BTreeSet<String> {
        let covered = |labels: &crate::policy::select::Labels| {
            policies
                .iter()
                .any(|policy| policy.namespace == namespace && policy.subject.matches(labels))
        };
        let pods = self.cluster.pods_in(namespace).filter(|pod| !pod.host_network);
        let of_pods = pods
            .filter(|pod| !covered(&pod.labels))
            .map(|pod| pod.workload.to_string());
        let rows = self
            .cluster
            .owners
            .templates_in(namespace)
            .filter(|(workload, _)| !workload.host_network);
        let of_rows = rows
            .filter(|(_, row)| !covered(&row.template_labels))
            .map(|(workload, _)| workload.to_string());
        of_pods.chain(of_rows).collect()
    }
}

/// Direction of a rule, as its subject sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Ingress,
    Egress,
}

impl Side {
    const fn word(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
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
