//! The proof that goes with generated policies.

use serde::Serialize;

use crate::policy::model::{Peer, Peers, Policy, PolicySet, PortRule, Ports};
use crate::replay::neighbour::{Neighbour as DomainNeighbour, Neighbours as DomainNeighbours};
use crate::replay::proof::{Proof as DomainProof, RuleProof};
use crate::replay::soundness::Denied as DomainDenied;
use crate::semantics::index::Part;

use super::edge;

/// What is proved of a policy set, and what is not.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// Whether every recorded connection that policies govern is allowed.
    pub sound: bool,
    /// Whether every part of every rule is observed or a named addition.
    pub tight: bool,
    /// Whether no connection that was asked for beside the recording is allowed without a name.
    pub closed: bool,
    /// What was recorded.
    pub connections: Connections,
    /// What the rules rest on, by policy.
    pub rules: Vec<Rule>,
    /// What lies beside the recording.
    pub neighbours: Neighbours,
}

/// Recorded connections, judged.
#[derive(Clone, Debug, Serialize)]
pub struct Connections {
    /// How many pairs of pods or addresses were judged, in each address family.
    pub judged: u64,
    /// Pairs of which an end is not in the metadata.
    pub unjudged: u64,
    /// Those that the policies deny, one of each edge.
    pub denied: Vec<Denied>,
}

/// A recorded connection that the policies deny.
#[derive(Clone, Debug, Serialize)]
pub struct Denied {
    /// Id of its edge, as in `flowtape.flows/v1`.
    pub edge: String,
    /// The client: a pod or an address.
    pub from: String,
    /// The server.
    pub to: String,
    /// TCP, UDP or SCTP.
    pub protocol: String,
    /// The port of the server.
    pub port: u16,
    /// `ingress`, `egress`, or both.
    pub directions: Vec<&'static str>,
}

/// What the parts of a rule rest on; a part is one peer on one port.
#[derive(Clone, Debug, Serialize)]
pub struct Rule {
    /// Namespace of the policy.
    pub namespace: String,
    /// Name of the policy.
    pub policy: String,
    /// The rule, such as `egress/1`.
    pub rule: String,
    /// Parts without which a recorded connection is denied.
    pub observed: u64,
    /// Parts that recorded connections use, each of which another rule allows as well.
    pub shared: u64,
    /// Named additions.
    pub added: u64,
    /// Parts that rest on nothing.
    pub unneeded: Vec<String>,
}

/// Connections beside recorded ones, judged.
#[derive(Clone, Debug, Serialize)]
pub struct Neighbours {
    /// How many were asked for.
    pub asked: u64,
    /// Denied.
    pub denied: u64,
    /// Allowed by a named addition only.
    pub added: u64,
    /// Allowed because selectors overlap, which is a finding.
    pub overlapping: u64,
    /// Governed by none of the policies.
    pub ungoverned: u64,
    /// Allowed, and nothing says why.
    pub allowed: Vec<Neighbour>,
}

/// A connection that nobody recorded.
#[derive(Clone, Debug, Serialize)]
pub struct Neighbour {
    /// The client: a pod or an address. `*` is a pod that no label selects.
    pub from: String,
    /// The server.
    pub to: String,
    /// TCP, UDP or SCTP.
    pub protocol: &'static str,
    /// The port of the server.
    pub port: u16,
    /// Whose rules allow it: `egress` of the client, `ingress` of the server.
    pub direction: &'static str,
}

impl Proof {
    /// The proof of a set.
    #[must_use]
    pub fn new(proof: &DomainProof, set: &PolicySet) -> Self {
        Self {
            sound: proof.sound(),
            tight: proof.tight(),
            closed: proof.closed(),
            connections: Connections {
                judged: proof.connections,
                unjudged: proof.unjudged,
                denied: proof.denied.iter().map(denied).collect(),
            },
            rules: proof.rules.iter().filter_map(|proof| rule(proof, set)).collect(),
            neighbours: neighbours(&proof.neighbours),
        }
    }
}

fn denied(denied: &DomainDenied) -> Denied {
    let DomainDenied {
        edge: key,
        pair,
        verdict,
    } = denied;
    let sides = [("egress", &verdict.egress), ("ingress", &verdict.ingress)];
    Denied {
        edge: edge::id(key),
        from: pair.0.to_string(),
        to: pair.1.to_string(),
        protocol: key.protocol.to_string(),
        port: key.port,
        directions: sides
            .into_iter()
            .filter(|(_, side)| !side.allowed)
            .map(|(name, _)| name)
            .collect(),
    }
}

fn rule(proof: &RuleProof, set: &PolicySet) -> Option<Rule> {
    let RuleProof {
        policy,
        rule,
        observed,
        shared,
        added,
        unneeded,
    } = proof;
    let policy = set.policies().get(*policy)?;
    Some(Rule {
        namespace: policy.namespace.clone(),
        policy: policy.name.clone(),
        rule: rule.to_string(),
        observed: *observed,
        shared: *shared,
        added: *added,
        unneeded: unneeded.iter().map(|part| part_text(*part, policy)).collect(),
    })
}

/// A part of a rule of this policy, for people: the peer and the port.
#[must_use]
pub fn part_text(part: Part, policy: &Policy) -> String {
    let rule = policy
        .rules(part.rule.direction)
        .and_then(|rules| rules.get(part.rule.index));
    let who = rule.and_then(|rule| match &rule.peers {
        Peers::Any => None,
        Peers::Of(listed) => listed.iter().nth(part.peer),
    });
    let on = rule.and_then(|rule| match &rule.ports {
        Ports::Any => None,
        Ports::Of(listed) => listed.iter().nth(part.port),
    });
    let who = who.map_or_else(|| "everybody".to_owned(), Peer::to_string);
    let on = on.map_or_else(|| "every port".to_owned(), PortRule::to_string);
    format!("{who} on {on}")
}

fn neighbours(neighbours: &DomainNeighbours) -> Neighbours {
    let DomainNeighbours {
        asked,
        denied,
        added,
        overlapping,
        ungoverned,
        allowed,
    } = neighbours;
    let neighbour = |neighbour: &DomainNeighbour| Neighbour {
        from: neighbour.from.clone(),
        to: neighbour.to.clone(),
        protocol: neighbour.protocol.name(),
        port: neighbour.port,
        direction: neighbour.direction.name(),
    };
    Neighbours {
        asked: *asked,
        denied: *denied,
        added: *added,
        overlapping: *overlapping,
        ungoverned: *ungoverned,
        allowed: allowed.iter().map(neighbour).collect(),
    }
}
