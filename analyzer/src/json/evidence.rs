//! The body of `flowtape.evidence/v1`: what is behind each rule of generated policies. Policies hold none of it, so that another
//! recording of the same behaviour gives the same policies.

use flowtape_schemas::time::Time;
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use serde::Serialize;

use super::edge::Edge;
use crate::flow::edge::Edge as DomainEdge;
use crate::synthesis::RuleEvidence;

/// Body of `flowtape.evidence/v1`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Evidence<'a> {
    /// Every rule, by policy.
    pub rules: Vec<Rule<'a>>,
}

/// What is behind one rule.
#[derive(Clone, Debug, Serialize)]
pub struct Rule<'a> {
    /// Namespace of the policy.
    pub namespace: &'a str,
    /// Name of the policy.
    pub policy: &'a str,
    /// The rule, such as `egress/1`.
    pub rule: String,
    /// Connections and datagrams.
    pub count: u64,
    /// The first of them; none for a rule that is an addition only.
    pub first_seen: Option<Time>,
    /// The last of them.
    pub last_seen: Option<Time>,
    /// The edges that need it.
    pub edges: Vec<&'a Edge>,
}

/// Edges as documents show them: each once, because it is behind a rule of its client and one of its server.
#[must_use]
pub fn shown(edges: &[DomainEdge]) -> Vec<Edge> {
    edges.par_iter().map(Edge::from).collect()
}

/// What is behind rules that were made of these edges, which are shown so.
#[must_use]
pub fn rules<'a>(rules: &'a [RuleEvidence], edges: &[DomainEdge], shown: &'a [Edge]) -> Vec<Rule<'a>> {
    let rule = |rule: &'a RuleEvidence| {
        let (direction, index) = rule.rule;
        let behind = || rule.edges.iter().filter_map(|place| edges.get(*place));
        let counts = behind().map(|edge| edge.evidence.count);
        Rule {
            namespace: &rule.namespace,
            policy: &rule.policy,
            rule: format!("{direction}/{index}"),
            count: counts.fold(0, u64::saturating_add),
            first_seen: behind().map(|edge| edge.evidence.first_seen).min(),
            last_seen: behind().map(|edge| edge.evidence.last_seen).max(),
            edges: rule.edges.iter().filter_map(|place| shown.get(*place)).collect(),
        }
    };
    rules.iter().map(rule).collect()
}
