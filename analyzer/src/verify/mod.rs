//! Verify: a recording played against a policy set. What would be denied, what cannot be judged, and which rules nothing in
//! the recording needs.
//!
//! Every pair of pods or addresses of every recorded edge is judged, on the arranged set, which says what the naive evaluator
//! says. Only what worked is asked for: policies cannot take away what was refused or never answered.

pub mod accepted;
pub mod usage;

use std::collections::{BTreeMap, BTreeSet};

use crate::flow::edge::{Edge, EdgeKey, Endpoint};
use crate::flow::governed::{Governed, governed};
use crate::identity::{Identity, Workload};
use crate::policy::model::{Direction, PolicySet};
use crate::policy::ports::Protocol;
use crate::replay::soundness::connections;
use crate::semantics::eval::{Basis, By, Connection, side};
use crate::semantics::index::Index;
use crate::semantics::tier::denying;
use crate::semantics::world::World;
use usage::{RuleUse, Usage};

/// What a policy set does to a recording.
#[derive(Clone, Debug, Default)]
pub struct Verified<'a> {
    /// Edges that it would deny, once for each end that denies them; in the order of the edges, egress first.
    pub denied: Vec<Denied<'a>>,
    /// Edges that cannot be judged, in their order.
    pub undecided: Vec<Undecided<'a>>,
    /// How many edges it allows.
    pub allowed: u64,
    /// How many edges no policy can deny.
    pub exempt: u64,
    /// How many edges did not work when they were recorded, so that no policy is asked about them.
    pub not_established: u64,
    /// Every rule of the set and how the recording used it, by policy, ingress first.
    pub rules: Vec<RuleUse>,
    /// Workloads with recorded connections in a direction in which no policy isolates them.
    pub unbounded: BTreeSet<(Workload, Direction)>,
}

/// A recorded edge that would be denied at one of its ends.
#[derive(Clone, Debug)]
pub struct Denied<'a> {
    /// The edge.
    pub edge: &'a Edge,
    /// The end: the client's egress or the server's ingress.
    pub direction: Direction,
    /// The policies that isolate that end without a rule that matches, or the rule that denies; sorted.
    pub by: Vec<By>,
    /// The pods or addresses that would be denied, client first.
    pub pairs: BTreeSet<(Endpoint, Endpoint)>,
}

impl Denied<'_> {
    /// Whether other pods of the same edge would be allowed at this end.
    #[must_use]
    pub fn is_partly(&self) -> bool {
        self.pairs.len() < self.edge.evidence.pairs.len()
    }
}

/// An edge that cannot be judged.
#[derive(Clone, Debug)]
pub struct Undecided<'a> {
    /// The edge.
    pub edge: &'a Edge,
    /// Why not.
    pub reason: Reason,
}

/// Why an edge cannot be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A peer is not known.
    UnknownPeer(crate::identity::Reason),
    /// No backend of the Service is known.
    ServiceUnresolved,
    /// The server is behind a proxy in its pod, at a port that is not known.
    PortHidden,
    /// No NetworkPolicy can name the protocol.
    Protocol,
    /// A pod of the edge is not in the metadata.
    NotInMetadata,
}

impl Reason {
    /// The stable word of reports and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::UnknownPeer(reason) => reason.word(),
            Self::ServiceUnresolved => "service-unresolved",
            Self::PortHidden => "port-hidden",
            Self::Protocol => "protocol-not-in-policies",
            Self::NotInMetadata => "pod-not-in-metadata",
        }
    }
}

/// Plays the edges of a recording against a policy set in the universe of the recording. Of namespaces only what begins or
/// ends in them is asked for, and rules of their policies; of none everything.
#[must_use]
pub fn verify<'a>(edges: &'a [Edge], set: &PolicySet, world: &World, namespaces: &[String]) -> Verified<'a> {
    let mut verified = Verified::default();
    let mut judge = Judge {
        set,
        world,
        index: Index::new(set, world),
        usage: Usage::new(),
        beside: BTreeMap::new(),
    };
    for edge in edges.iter().filter(|edge| begins_or_ends_in(edge, namespaces)) {
        match governed(&edge.key) {
            Governed::NotEstablished => verified.not_established += 1,
            Governed::Exempt => verified.exempt += 1,
            Governed::Undecided => {
                let reason = reason(&edge.key);
                verified.undecided.push(Undecided { edge, reason });
            }
            Governed::Yes => judge.edge(edge, &mut verified),
        }
    }
    verified.rules = judge.usage.rules(set, &judge.index, namespaces);
    if !namespaces.is_empty() {
        let is_asked = |(workload, _): &(Workload, Direction)| namespaces.contains(&workload.namespace);
        verified.unbounded.retain(is_asked);
    }
    verified
}

fn begins_or_ends_in(edge: &Edge, namespaces: &[String]) -> bool {
    let named = |identity: &Identity| match identity {
        Identity::Workload(Workload { namespace, .. }) | Identity::Service { namespace, name: _ } => {
            namespaces.contains(namespace)
        }
        Identity::Node { .. } | Identity::External { .. } | Identity::Unknown { .. } => false,
    };
    namespaces.is_empty() || named(&edge.key.from.identity) || named(&edge.key.to.identity)
}

/// Why an edge that policies would govern cannot be judged.
fn reason(key: &EdgeKey) -> Reason {
    for peer in [&key.from, &key.to] {
        match &peer.identity {
            Identity::Unknown { reason, address: _ } => return Reason::UnknownPeer(*reason),
            Identity::Service { .. } => return Reason::ServiceUnresolved,
            Identity::Workload(_) | Identity::Node { .. } | Identity::External { .. } => {}
        }
    }
    match Protocol::from_number(key.protocol.0) {
        None => Reason::Protocol,
        Some(_) => Reason::PortHidden,
    }
}

/// What one end of an edge says, over all of its pairs.
#[derive(Default)]
struct End {
    by: BTreeSet<By>,
    pairs: BTreeSet<(Endpoint, Endpoint)>,
}

/// Judges edge after edge.
struct Judge<'s> {
    set: &'s PolicySet,
    world: &'s World,
    index: Index<'s>,
    usage: Usage,
    /// The policies of a namespace, of those in which something is denied.
    beside: BTreeMap<String, PolicySet>,
}

impl Judge<'_> {
    fn edge<'a>(&mut self, edge: &'a Edge, verified: &mut Verified<'a>) {
        let mut denying: BTreeMap<Direction, End> = BTreeMap::new();
        let mut unjudged = edge.evidence.pairs.is_empty();
        for pair in &edge.evidence.pairs {
            let connections = connections(&edge.key, pair, self.world);
            unjudged |= connections.is_empty();
            for connection in connections {
                for direction in [Direction::Egress, Direction::Ingress] {
                    if let Some(by) = self.end(edge, &connection, direction, verified) {
                        let end = denying.entry(direction).or_default();
                        end.by.extend(by);
                        end.pairs.insert(pair.clone());
                    }
                }
            }
        }
        if denying.is_empty() && unjudged {
            let reason = Reason::NotInMetadata;
            verified.undecided.push(Undecided { edge, reason });
        } else if denying.is_empty() {
            verified.allowed += 1;
        }
        for direction in [Direction::Egress, Direction::Ingress] {
            if let Some(End { by, pairs }) = denying.remove(&direction) {
                verified.denied.push(Denied {
                    edge,
                    direction,
                    by: by.into_iter().collect(),
                    pairs,
                });
            }
        }
    }

    /// The policies that deny a connection at one end. Where none does, notes the rules that it needs, or that nothing
    /// isolates this end.
    fn end(
        &mut self,
        edge: &Edge,
        connection: &Connection<'_>,
        direction: Direction,
        verified: &mut Verified<'_>,
    ) -> Option<Vec<By>> {
        let judged = self.index.side(connection, direction);
        let (peer, end) = match direction {
            Direction::Egress => (&edge.key.from, connection.from),
            Direction::Ingress => (&edge.key.to, connection.to),
        };
        match judged.basis {
            Basis::NoRule => {
                let namespace = &end.selectable_pod()?.namespace;
                let beside = self.beside.entry(namespace.clone());
                let own = || self.set.only(|policy| policy.namespace == *namespace);
                return Some(side(beside.or_insert_with(own), self.world, connection, direction).by);
            }
            Basis::DenyRule => return judged.of_cluster.map(|rule| vec![self.index.by(rule)]),
            Basis::Rule => {
                self.usage.add(edge, &judged.parts);
                if let Some(rule) = judged.of_cluster {
                    self.usage.add_of_cluster(edge, rule);
                }
            }
            Basis::NotIsolated => {
                let subject = end.selectable_pod()?;
                let bounded = !denying(self.set, self.world, subject, direction).is_empty();
                if let (Identity::Workload(workload), false) = (&peer.identity, bounded) {
                    verified.unbounded.insert((workload.clone(), direction));
                }
            }
            Basis::NotSubject | Basis::SamePod | Basis::OwnNode => {}
        }
        None
    }
}
