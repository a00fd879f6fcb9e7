//! The body of `flowtape.explain/v1`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::activity::Process;
use super::diff::By;
use super::edge::Edge;
use super::verify::Pair;
use crate::explain::Behind;
use crate::explain::question::{Answer as DomainAnswer, Case as DomainCase, End as DomainEnd};
use crate::flow::edge::{Edge as DomainEdge, EdgeKey, Endpoint, Side};
use crate::flow::process::Processes;
use crate::policy::model::{Peer, Peers, PolicySet, PortRule, Ports};
use crate::semantics::eval::Basis;

/// Body of `flowtape.explain/v1`.
#[derive(Clone, Debug, Serialize)]
pub struct Explain {
    /// Rules that were asked about.
    pub rules: Vec<Rule>,
    /// Connections that were asked about.
    pub answers: Vec<Answer>,
}

/// A rule and what is behind it.
#[derive(Clone, Debug, Serialize)]
pub struct Rule {
    /// Kind of the policy.
    pub kind: &'static str,
    /// Namespace of the policy.
    pub namespace: String,
    /// Name of the policy.
    pub policy: String,
    /// The rule, such as `egress/1`.
    pub rule: String,
    /// File it was read from, below the path given; null for generated policies.
    pub file: Option<String>,
    /// Line in that file, from 1.
    pub line: Option<usize>,
    /// Its peers, in words.
    pub peers: Vec<String>,
    /// Its ports.
    pub ports: Vec<String>,
    /// What it allows on purpose and by name; of generated policies only.
    pub additions: Vec<String>,
    /// The recorded edges that it allows.
    pub edges: Vec<Recorded>,
}

/// A recorded edge with all that is known of who is behind it.
#[derive(Clone, Debug, Serialize)]
pub struct Recorded {
    /// The edge in words.
    pub text: String,
    /// The edge.
    pub edge: Edge,
    /// Nodes whose recorder saw it.
    pub nodes: Vec<String>,
    /// The pods or addresses that talked.
    pub pairs: Vec<Pair>,
    /// Processes that asked, by name, as far as samples tell them.
    pub client_processes: Vec<Process>,
    /// Processes that were asked, by name, as far as samples tell them.
    pub server_processes: Vec<Process>,
}

/// What policies say to a connection.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// The client, as it was asked for.
    pub from: String,
    /// The server.
    pub to: String,
    /// TCP, UDP or SCTP.
    pub protocol: String,
    /// The port of the server.
    pub port: u16,
    /// Whether all connections that were judged are allowed.
    pub allowed: bool,
    /// Connections that policies answer alike, those that are denied first.
    pub cases: Vec<Case>,
    /// Recorded edges that these are of.
    pub edges: Vec<Recorded>,
}

/// Connections that policies answer alike.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// The first of them: the client, a pod or an address.
    pub from: String,
    /// The first of them: the server.
    pub to: String,
    /// How many there are.
    pub count: usize,
    /// Whether they work.
    pub allowed: bool,
    /// What the client's end says.
    pub egress: End,
    /// What the server's end says.
    pub ingress: End,
}

/// What one end says.
#[derive(Clone, Debug, Serialize)]
pub struct End {
    /// Whether it allows the connection.
    pub allowed: bool,
    /// A stable word that says why.
    pub basis: &'static str,
    /// Rules that match, or policies that isolate without one that does.
    pub by: Vec<By>,
    /// Rules that nearly match, where it denies.
    pub near: Vec<Near>,
    /// What no rule says, where it denies.
    pub missing: Option<String>,
}

/// A rule that nearly matches.
#[derive(Clone, Debug, Serialize)]
pub struct Near {
    /// The rule.
    pub by: By,
    /// `peer` or `port`: what of it does not match.
    pub lacks: &'static str,
}

impl Rule {
    /// A rule of a set with the edges behind it.
    #[must_use]
    pub fn of(
        behind: &Behind<'_>,
        set: &PolicySet,
        additions: BTreeSet<String>,
        processes: &BTreeMap<EdgeKey, Processes>,
    ) -> Option<Self> {
        let Behind { policy, rule, edges } = behind;
        let policy = set.policies().get(*policy)?;
        let of_policy = policy.rules(rule.direction)?.get(rule.index)?;
        let source = of_policy.source.as_ref();
        Some(Self {
            kind: policy.kind.name(),
            namespace: policy.namespace.clone(),
            policy: policy.name.clone(),
            rule: rule.to_string(),
            file: source.map(|source| source.file.to_string()),
            line: source.map(|source| source.line),
            peers: match &of_policy.peers {
                Peers::Any => vec!["everybody".to_owned()],
                Peers::Of(listed) => listed.iter().map(Peer::to_string).collect(),
            },
            ports: match &of_policy.ports {
                Ports::Any => vec!["every port".to_owned()],
                Ports::Of(listed) => listed.iter().map(PortRule::to_string).collect(),
            },
            additions: additions.into_iter().collect(),
            edges: edges
                .iter()
                .map(|(edge, pairs)| recorded(edge, pairs, processes))
                .collect(),
        })
    }
}

/// An edge with who is behind it.
#[must_use]
pub fn recorded<'a>(
    edge: &DomainEdge,
    pairs: impl IntoIterator<Item = &'a (Endpoint, Endpoint)>,
    processes: &BTreeMap<EdgeKey, Processes>,
) -> Recorded {
    let of_side = |side: Side| {
        let known = processes.get(&edge.key).into_iter().flatten();
        let own = known.filter(|((of, _), _)| *of == side);
        own.map(|((_, name), samples)| Process::new(name, *samples)).collect()
    };
    let pair = |(from, to): &(Endpoint, Endpoint)| Pair {
        from: from.to_string(),
        to: to.to_string(),
    };
    Recorded {
        text: edge.to_string(),
        edge: edge.into(),
        nodes: edge.evidence.nodes.iter().cloned().collect(),
        pairs: pairs.into_iter().map(pair).collect(),
        client_processes: of_side(Side::Client),
        server_processes: of_side(Side::Server),
    }
}

/// The cases of an answer.
#[must_use]
pub fn cases(answer: &DomainAnswer) -> Vec<Case> {
    answer.cases.iter().map(case).collect()
}

fn case(case: &DomainCase) -> Case {
    let DomainCase {
        example: (from, to),
        count,
        allowed,
        ends: [egress, ingress],
    } = case;
    Case {
        from: from.clone(),
        to: to.clone(),
        count: *count,
        allowed: *allowed,
        egress: end(egress),
        ingress: end(ingress),
    }
}

fn end(end: &DomainEnd) -> End {
    let DomainEnd {
        direction: _,
        side,
        near,
        missing,
    } = end;
    End {
        allowed: side.allowed,
        basis: match side.basis {
            Basis::NotSubject => "not-subject",
            Basis::SamePod => "same-pod",
            Basis::OwnNode => "own-node",
            Basis::NotIsolated => "not-isolated",
            Basis::Rule => "rule",
            Basis::NoRule => "no-rule",
            Basis::DenyRule => "deny-rule",
        },
        by: side.by.iter().map(By::from).collect(),
        near: near
            .iter()
            .map(|near| Near {
                by: (&near.by).into(),
                lacks: near.lacks.word(),
            })
            .collect(),
        missing: missing.clone(),
    }
}
