//! Why: the recorded edges behind a rule, and what policies say to a connection, rule by rule.

pub mod question;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::flow::edge::{Edge, EdgeKey, Endpoint};
use crate::flow::governed::{Governed, governed};
use crate::policy::model::{Direction, PolicySet};
use crate::replay::soundness::connections;
use crate::semantics::eval::RuleId;
use crate::semantics::index::Index;
use crate::semantics::world::World;

/// A rule and the recorded edges that it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind<'a> {
    /// Position of its policy in the set.
    pub policy: usize,
    /// Which rule of it.
    pub rule: RuleId,
    /// The edges by key, each with the pods and addresses of it that the rule allows.
    pub edges: Vec<(&'a Edge, BTreeSet<(Endpoint, Endpoint)>)>,
}

/// Which rules are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulePattern {
    /// Namespace of the policy.
    pub namespace: String,
    /// Name of the policy.
    pub policy: String,
    /// One direction only.
    pub direction: Option<Direction>,
    /// One rule of it only.
    pub index: Option<usize>,
}

impl RulePattern {
    fn admits(&self, rule: RuleId) -> bool {
        self.direction.is_none_or(|direction| direction == rule.direction)
            && self.index.is_none_or(|index| index == rule.index)
    }
}

impl fmt::Display for RulePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.policy)?;
        if let Some(direction) = self.direction {
            write!(f, "/{direction}")?;
        }
        self.index.map_or(Ok(()), |index| write!(f, "/{index}"))
    }
}

impl FromStr for RulePattern {
    type Err = &'static str;

    /// Reads `NAMESPACE/POLICY`, `NAMESPACE/POLICY/ingress` and `NAMESPACE/POLICY/ingress/0`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "write NAMESPACE/POLICY, NAMESPACE/POLICY/ingress or NAMESPACE/POLICY/egress/0";
        let parts: Vec<&str> = text.split('/').collect();
        let (namespace, policy, rest) = match parts.as_slice() {
            [namespace, policy, rest @ ..] if !namespace.is_empty() && !policy.is_empty() => (namespace, policy, rest),
            _ => return Err(FORM),
        };
        let direction = |word: &str| match word {
            "ingress" => Ok(Direction::Ingress),
            "egress" => Ok(Direction::Egress),
            _ => Err(FORM),
        };
        let (direction, index) = match rest {
            [] => (None, None),
            [word] => (Some(direction(word)?), None),
            [word, number] => (Some(direction(word)?), Some(number.parse::<usize>().ok().ok_or(FORM)?)),
            _ => return Err(FORM),
        };
        Ok(Self {
            namespace: (*namespace).to_owned(),
            policy: (*policy).to_owned(),
            direction,
            index,
        })
    }
}

/// Edges by key, each with the pods and addresses that are meant.
type Edges<'a> = BTreeMap<&'a EdgeKey, (&'a Edge, BTreeSet<(Endpoint, Endpoint)>)>;

/// The rules that are asked for, by policy and position, each with the edges behind it.
#[must_use]
pub fn behind<'a>(edges: &'a [Edge], set: &PolicySet, world: &World, wanted: &RulePattern) -> Vec<Behind<'a>> {
    let mut rules: BTreeMap<(usize, RuleId), Edges<'a>> = BTreeMap::new();
    for (policy, of) in set.iter().enumerate() {
        if of.namespace != wanted.namespace || of.name != wanted.policy {
            continue;
        }
        for direction in [Direction::Ingress, Direction::Egress] {
            let all = 0..of.rules(direction).map_or(0, <[_]>::len);
            let ids = all
                .map(|index| RuleId { direction, index })
                .filter(|rule| wanted.admits(*rule));
            rules.extend(ids.map(|rule| ((policy, rule), Edges::new())));
        }
    }
    let index = Index::new(set, world);
    for edge in edges.iter().filter(|edge| governed(&edge.key) == Governed::Yes) {
        for pair in &edge.evidence.pairs {
            for connection in connections(&edge.key, pair, world) {
                for direction in [Direction::Egress, Direction::Ingress] {
                    for part in index.side(&connection, direction).parts {
                        if let Some(known) = rules.get_mut(&(part.policy, part.rule)) {
                            let (_, pairs) = known.entry(&edge.key).or_insert_with(|| (edge, BTreeSet::new()));
                            pairs.insert(pair.clone());
                        }
                    }
                }
            }
        }
    }
    let behind = rules.into_iter().map(|((policy, rule), edges)| Behind {
        policy,
        rule,
        edges: edges.into_values().collect(),
    });
    behind.collect()
}

#[cfg(test)]
mod tests {
    use super::RulePattern;
    use crate::policy::model::Direction;

    #[test]
    fn a_rule_is_named_as_reports_name_it() {
        let pattern = |text: &str| text.parse::<RulePattern>();
        let whole = pattern("shop/web/egress/1").expect("a rule");
        assert_eq!((whole.direction, whole.index), (Some(Direction::Egress), Some(1)));
        let all = pattern("shop/web").expect("a policy");
        assert_eq!((all.direction, all.index), (None, None));
        for text in [
            "",
            "shop",
            "shop/",
            "/web",
            "shop/web/out",
            "shop/web/egress/x",
            "shop/web/egress/0/1",
        ] {
            assert!(pattern(text).is_err(), "{text}");
        }
    }
}
