//! What existing policies do not allow already.

use super::cover::{Part, covers, parts, selector_covers};
use crate::policy::model::{Direction, Policy, PolicySet, PolicySetError, Rule};

/// The policies without what `existing` visibly allow the same pods. A direction that they isolate, and in which nothing is left
/// to allow, is left to them; so is a policy without directions.
pub fn uncovered(wanted: &PolicySet, existing: &[Policy]) -> Result<PolicySet, PolicySetError> {
    let mut left = Vec::new();
    for policy in wanted {
        let about =
            |other: &&Policy| other.namespace == policy.namespace && selector_covers(&other.subject, &policy.subject);
        let about: Vec<&Policy> = existing.iter().filter(about).collect();
        let mut rest = policy.clone();
        rest.ingress = direction(policy, Direction::Ingress, &about);
        rest.egress = direction(policy, Direction::Egress, &about);
        if rest.ingress.is_some() || rest.egress.is_some() {
            left.push(rest);
        }
    }
    PolicySet::new(left)
}

fn direction(policy: &Policy, direction: Direction, about: &[&Policy]) -> Option<Vec<Rule>> {
    let rules = policy.rules(direction)?;
    let isolating: Vec<&[Rule]> = about.iter().filter_map(|other| other.rules(direction)).collect();
    if isolating.is_empty() {
        return Some(rules.to_vec());
    }
    let have: Vec<Part> = isolating
        .iter()
        .flat_map(|rules| rules.iter())
        .flat_map(parts)
        .collect();
    let covered = |rule: &Rule| {
        parts(rule)
            .iter()
            .all(|part| have.iter().any(|have| covers(have, part)))
    };
    let left: Vec<Rule> = rules.iter().filter(|rule| !covered(rule)).cloned().collect();
    (!left.is_empty()).then_some(left)
}
