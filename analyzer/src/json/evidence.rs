//! The body of `flowtape.evidence/v1`: what is behind each rule of generated policies. Policies hold none of it, so that another
//! recording of the same behaviour gives the same policies.

use flowtape_schemas::time::Time;
use serde::Serialize;

use super::edge::Edge;
use crate::flow::edge::Edge as DomainEdge;
use crate::synthesis::RuleEvidence;

/// Body of `flowtape.evidence/v1`.
#[derive(Clone, Debug, Serialize)]
pub struct Evidence {
    /// Every rule, by policy.
    pub rules: Vec<Rule>,
}

/// What is behind one rule.
#[derive(Clone, Debug, Serialize)]
pub struct Rule {
    /// Namespace of the policy.
    pub namespace: String,
    /// Name of the policy.
    pub policy: String,
    /// The rule, such as `egress/1`.
    pub rule: String,
    /// Connections and datagrams.
    pub count: u64,
    /// The first of them; none for a rule that is an addition only.
    pub first_seen: Option<Time>,
    /// The last of them.
    pub last_seen: Option<Time>,
    /// The edges that need it.
    pub edges: Vec<Edge>,
}

impl Evidence {
    /// What is behind rules that were made of these edges.
    #[must_use]
    pub fn new(rules: &[RuleEvidence], edges: &[DomainEdge]) -> Self {
        let rule = |rule: &RuleEvidence| {
            let (direction, index) = rule.rule;
            let behind: Vec<&DomainEdge> = rule.edges.iter().filter_map(|place| edges.get(*place)).collect();
            let counts = behind.iter().map(|edge| edge.evidence.count);
            Rule {
                namespace: rule.namespace.clone(),
                policy: rule.policy.clone(),
                rule: format!("{direction}/{index}"),
                count: counts.fold(0, u64::saturating_add),
                first_seen: behind.iter().map(|edge| edge.evidence.first_seen).min(),
                last_seen: behind.iter().map(|edge| edge.evidence.last_seen).max(),
                edges: behind.into_iter().map(Edge::from).collect(),
            }
        };
        Self {
            rules: rules.iter().map(rule).collect(),
        }
    }
}
