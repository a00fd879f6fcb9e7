//! The naive evaluator: nested loops straight from the API text. Obvious before fast, nothing cached; every faster
//! engine is tested against it.
//!
//! Source: Kubernetes API `networking.k8s.io/v1 NetworkPolicy` (field docs, v1.36) and the concept page "Network
//! Policies". Where they leave room, these are the properties:
//!
//! 1. A connection is allowed if the egress of its source and the ingress of its destination are.
//! 2. Policies add up. A side is isolated if any policy selects its pod for that direction, and then allowed if any
//!    rule of any such policy matches.
//! 3. An `ipBlock` matches whatever has the address, pods included. The API calls rewriting of addresses undefined, but
//!    the conformance suite of Kubernetes expects pods to be matched by their own address.
//! 4. Pods on the network of their node are neither subject nor selected as peers. They act as their node's address,
//!    and named ports do not resolve on them.
//! 5. Traffic to a pod from its own node is allowed, whatever the policies (field doc of `ingress`). The egress field
//!    doc has no such exception, so traffic from a pod to its own node needs a rule.
//! 6. A pod always reaches itself.
//! 7. A named port is a container port of the destination pod with that name and the rule's protocol. It matches
//!    nothing on destinations that are no pods.
//! 8. Rules without ports allow every protocol; a port without a number allows every port of its protocol.
//! 9. Policies of other kinds add up with them in the same way; `entity` says who is meant by the peers that only they have.
//! 10. Policies of the cluster stand before and behind NetworkPolicies: see [`super::tier`].

use std::fmt;

use crate::policy::cidr::Cidr;
use crate::policy::cluster::{Action, Tier};
use crate::policy::kind::PolicyKind;
use crate::policy::model::{Direction, Peer, Peers, Policy, PolicySet, PortMatch, PortRule, Ports, Rule, Source};
use crate::policy::ports::Protocol;

use super::entity;
use super::tier::{Decision, decision};
use super::world::{Endpoint, Pod, World};

/// A connection to be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection<'a> {
    /// Who opens it.
    pub from: Endpoint<'a>,
    /// Who accepts it.
    pub to: Endpoint<'a>,
    /// The protocol.
    pub protocol: Protocol,
    /// The port at the destination itself, after any Service translation.
    pub port: u16,
}

/// What policies say to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The side of the source.
    pub egress: Side,
    /// The side of the destination.
    pub ingress: Side,
}

impl Verdict {
    /// Whether the connection works: both sides allow it.
    #[must_use]
    pub const fn allowed(&self) -> bool {
        self.egress.allowed && self.ingress.allowed
    }
}

/// The verdict for one end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// Whether this end allows the connection.
    pub allowed: bool,
    /// Why.
    pub basis: Basis,
    /// Allowed by rules: every rule that matches. Denied: every policy that isolates, or the rule that denies. Otherwise empty.
    pub by: Vec<By>,
}

/// Why one end of a connection is allowed or denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// This end is no pod that policies apply to: an address, or a pod on its node's network.
    NotSubject,
    /// Both ends are the same pod.
    SamePod,
    /// The source is the node that the destination runs on.
    OwnNode,
    /// No policy isolates the pod in this direction.
    NotIsolated,
    /// A rule matches.
    Rule,
    /// Policies isolate the pod and no rule of theirs matches.
    NoRule,
    /// A rule of a policy of the cluster denies it.
    DenyRule,
}

impl Basis {
    /// The stable word of documents.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotSubject => "not-subject",
            Self::SamePod => "same-pod",
            Self::OwnNode => "own-node",
            Self::NotIsolated => "not-isolated",
            Self::Rule => "rule",
            Self::NoRule => "no-rule",
            Self::DenyRule => "deny-rule",
        }
    }

    /// Whether the connection is allowed for this reason.
    #[must_use]
    pub const fn allows(self) -> bool {
        match self {
            Self::NotSubject | Self::SamePod | Self::OwnNode | Self::NotIsolated | Self::Rule => true,
            Self::NoRule | Self::DenyRule => false,
        }
    }
}

/// A policy, or a rule of one, that a verdict rests on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct By {
    /// The kind of the policy.
    pub kind: &'static str,
    /// Its namespace; empty for policies of the cluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The rule; `None` where the policy isolates and none of its rules matches.
    pub rule: Option<RuleId>,
    /// Where the rule, or else the policy, was read from.
    pub source: Option<Source>,
}

impl By {
    /// A rule of a policy; `None` for the policy as what isolates.
    #[must_use]
    pub fn of(policy: &Policy, rule: Option<(RuleId, &Rule)>) -> Self {
        let rule_source = rule.and_then(|(_, rule)| rule.source.clone());
        Self {
            kind: policy.kind.name(),
            namespace: policy.namespace.clone(),
            name: policy.name.clone(),
            rule: rule.map(|(id, _)| id),
            source: rule_source.or_else(|| policy.source.clone()),
        }
    }
}

impl fmt::Display for By {
    /// `shop/web egress/0 (web.yaml:11)`; without the rule where the policy isolates, and with the kind before it where that is
    /// not NetworkPolicy. A policy of the cluster is in no namespace: `AdminNetworkPolicy wall egress/0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            namespace,
            name,
            rule,
            source,
        } = self;
        if *kind != PolicyKind::NetworkPolicy.name() {
            write!(f, "{kind} ")?;
        }
        if !namespace.is_empty() {
            write!(f, "{namespace}/")?;
        }
        f.write_str(name)?;
        if let Some(rule) = rule {
            write!(f, " {rule}")?;
        }
        match source {
            Some(source) => write!(f, " ({source})"),
            None => Ok(()),
        }
    }
}

/// Which rule of a policy. Displays as `ingress/0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleId {
    /// The section.
    pub direction: Direction,
    /// The position in the section, starting at 0.
    pub index: usize,
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.direction, self.index)
    }
}

/// Judges one connection.
#[must_use]
pub fn eval(set: &PolicySet, world: &World, connection: &Connection<'_>) -> Verdict {
    Verdict {
        egress: side(set, world, connection, Direction::Egress),
        ingress: side(set, world, connection, Direction::Ingress),
    }
}

/// Judges one end: the source for egress, the destination for ingress.
#[must_use]
pub fn side(set: &PolicySet, world: &World, connection: &Connection<'_>, direction: Direction) -> Side {
    let (subject, peer) = match without_looking(world, connection, direction) {
        Ok(ends) => ends,
        Err(basis) => return without_rules(basis),
    };
    let of_cluster = |tier| decision(set, tier, world, (subject, peer), connection, direction).and_then(decided);
    of_cluster(Tier::Admin)
        .or_else(|| by_network_policies(set, world, (subject, peer), connection, direction))
        .or_else(|| of_cluster(Tier::Baseline))
        .unwrap_or_else(|| without_rules(Basis::NotIsolated))
}

/// What a rule of the cluster says; `None` if it passes on.
fn decided(decision: Decision<'_>) -> Option<Side> {
    let basis = match decision.rule.action {
        Action::Allow => Basis::Rule,
        Action::Deny => Basis::DenyRule,
        Action::Pass => return None,
    };
    Some(Side {
        allowed: basis.allows(),
        basis,
        by: vec![decision.by()],
    })
}

/// What NetworkPolicies say; `None` if none isolates the pod.
fn by_network_policies(
    set: &PolicySet,
    world: &World,
    (subject, peer): (&Pod, Endpoint<'_>),
    connection: &Connection<'_>,
    direction: Direction,
) -> Option<Side> {
    let mut isolating = Vec::new();
    let mut matching = Vec::new();
    for policy in set {
        if policy.namespace != subject.namespace || !policy.subject.matches(&subject.labels) {
            continue;
        }
        let Some(rules) = policy.rules(direction) else { continue };
        isolating.push(By::of(policy, None));
        for (index, rule) in rules.iter().enumerate() {
            if peers_match(&rule.peers, policy, world, peer) && ports_match(&rule.ports, connection) {
                matching.push(By::of(policy, Some((RuleId { direction, index }, rule))));
            }
        }
    }
    if isolating.is_empty() {
        return None;
    }
    let (basis, by) = if matching.is_empty() {
        (Basis::NoRule, isolating)
    } else {
        (Basis::Rule, matching)
    };
    Some(Side {
        allowed: basis.allows(),
        basis,
        by,
    })
}

/// The pod that policies decide for at one end, and its peer; or the reason for which no policy is asked.
pub(super) fn without_looking<'a>(
    world: &World,
    connection: &Connection<'a>,
    direction: Direction,
) -> Result<(&'a Pod, Endpoint<'a>), Basis> {
    let Connection {
        from,
        to,
        protocol: _,
        port: _,
    } = *connection;
    let (end, peer) = match direction {
        Direction::Egress => (from, to),
        Direction::Ingress => (to, from),
    };
    let subject = end.selectable_pod().ok_or(Basis::NotSubject)?;
    if peer.selectable_pod().is_some_and(|peer| same_pod(peer, subject)) {
        return Err(Basis::SamePod);
    }
    if direction == Direction::Ingress && is_node_of(world, peer, subject) {
        return Err(Basis::OwnNode);
    }
    Ok((subject, peer))
}

fn without_rules(basis: Basis) -> Side {
    Side {
        allowed: basis.allows(),
        basis,
        by: Vec::new(),
    }
}

fn same_pod(left: &Pod, right: &Pod) -> bool {
    left.namespace == right.namespace && left.name == right.name
}

/// Whether `peer` is the node that `pod` runs on, or shares the network of that node.
fn is_node_of(world: &World, peer: Endpoint<'_>, pod: &Pod) -> bool {
    let Some(node) = &pod.node else { return false };
    let on_the_node = match peer {
        Endpoint::Pod { pod: peer, address: _ } => peer.host_network && peer.node.as_ref() == Some(node),
        Endpoint::Address(_) => false,
    };
    let at_its_address = peer.selectable_pod().is_none()
        && peer
            .address()
            .is_some_and(|address| world.node_addresses(node).contains(&address));
    on_the_node || at_its_address
}

/// Whether the peers of a rule and its ports match, each by itself: what a rule that does not match lacks.
#[must_use]
pub fn matches(
    rule: &Rule,
    policy: &Policy,
    world: &World,
    connection: &Connection<'_>,
    direction: Direction,
) -> (bool, bool) {
    let peer = match direction {
        Direction::Egress => connection.to,
        Direction::Ingress => connection.from,
    };
    (
        peers_match(&rule.peers, policy, world, peer),
        ports_match(&rule.ports, connection),
    )
}

fn peers_match(peers: &Peers, policy: &Policy, world: &World, peer: Endpoint<'_>) -> bool {
    match peers {
        Peers::Any => true,
        Peers::Of(listed) => listed.iter().any(|listed| peer_matches(listed, policy, world, peer)),
    }
}

pub(super) fn peer_matches(listed: &Peer, policy: &Policy, world: &World, peer: Endpoint<'_>) -> bool {
    plain_peer_matches(listed, Some(&policy.namespace), world, peer)
}

/// The same for a policy of a namespace, or of none.
pub(super) fn plain_peer_matches(listed: &Peer, home: Option<&str>, world: &World, peer: Endpoint<'_>) -> bool {
    match listed {
        Peer::Pods { namespaces, pods } => {
            let Some(pod) = peer.selectable_pod() else { return false };
            let namespace_matches = match namespaces {
                None => home == Some(pod.namespace.as_str()),
                Some(selector) => world
                    .namespace_labels(&pod.namespace)
                    .is_some_and(|labels| selector.matches(labels)),
            };
            namespace_matches && pods.matches(&pod.labels)
        }
        Peer::Block { cidr, except } => {
            let inside = |address| cidr.contains(address) && !except.iter().any(|hole: &Cidr| hole.contains(address));
            peer.address().is_some_and(inside)
        }
        Peer::Entity(listed) => entity::matches(listed, world, peer),
    }
}

pub(super) fn ports_match(ports: &Ports, connection: &Connection<'_>) -> bool {
    match ports {
        Ports::Any => true,
        Ports::Of(listed) => listed.iter().any(|listed| port_matches(listed, connection)),
    }
}

pub(super) fn port_matches(listed: &PortRule, connection: &Connection<'_>) -> bool {
    let Connection {
        from: _,
        to,
        protocol,
        port,
    } = *connection;
    if listed.protocol != protocol {
        return false;
    }
    match &listed.port {
        PortMatch::Any => true,
        PortMatch::Range(range) => range.contains(port),
        PortMatch::Named(name) => to.selectable_pod().is_some_and(|pod| {
            pod.ports
                .iter()
                .any(|known| known.name == *name && known.protocol == protocol && known.port == port)
        }),
    }
}
