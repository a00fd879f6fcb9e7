//! What happened to the texts of two policy sets: policies that are new, gone, changed, or the same under another name.

use crate::policy::cluster::ClusterPolicy;
use crate::policy::model::{Policy, PolicySet};
use crate::semantics::eval::By;

/// What happened to a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rewrite {
    /// It is new.
    Added(By),
    /// It is gone.
    Removed(By),
    /// It has another content, before and after.
    Changed(By, By),
    /// It has another name, before and after, and the same content.
    Renamed(By, By),
}

impl Rewrite {
    /// The stable word of JSON.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Added(_) => "added",
            Self::Removed(_) => "removed",
            Self::Changed(..) => "changed",
            Self::Renamed(..) => "renamed",
        }
    }

    /// The policy before and after.
    #[must_use]
    pub const fn sides(&self) -> [Option<&By>; 2] {
        match self {
            Self::Added(after) => [None, Some(after)],
            Self::Removed(before) => [Some(before), None],
            Self::Changed(before, after) | Self::Renamed(before, after) => [Some(before), Some(after)],
        }
    }

    /// The same with the sides exchanged.
    pub(super) fn mirrored(self) -> Self {
        match self {
            Self::Added(by) => Self::Removed(by),
            Self::Removed(by) => Self::Added(by),
            Self::Changed(before, after) => Self::Changed(after, before),
            Self::Renamed(before, after) => Self::Renamed(after, before),
        }
    }
}

/// The policies that are not the same on both sides, sorted.
pub(super) fn rewrites(before: &PolicySet, after: &PolicySet) -> Vec<Rewrite> {
    let (old, new) = (before.bare(), after.bare());
    let absent = |from: &PolicySet, to: &PolicySet| -> Vec<Policy> {
        let absent = |policy: &&Policy| to.namesake(policy).is_none();
        from.iter().filter(absent).cloned().collect()
    };
    let mut added = absent(&new, &old);
    let by = |set: &PolicySet, policy: &Policy| By::of(set.namesake(policy).unwrap_or(policy), None);
    let changed = old.iter().filter(|policy| {
        let other = new.namesake(policy);
        other.is_some_and(|other| other != *policy)
    });
    let mut rewrites: Vec<Rewrite> = changed
        .map(|policy| Rewrite::Changed(by(before, policy), by(after, policy)))
        .collect();
    for policy in absent(&old, &new) {
        let same = |other: &Policy| {
            let name = policy.name.clone();
            let alike = policy.namespace == other.namespace && policy.subject == other.subject;
            alike && policy == Policy { name, ..other.clone() }
        };
        rewrites.push(match added.iter().position(same) {
            Some(at) => Rewrite::Renamed(by(before, &policy), by(after, &added.remove(at))),
            None => Rewrite::Removed(by(before, &policy)),
        });
    }
    rewrites.extend(added.iter().map(|policy| Rewrite::Added(by(after, policy))));
    rewrites.extend(rewrites_of_cluster(before, after));
    rewrites.sort();
    rewrites
}

/// The same for policies of the cluster.
fn rewrites_of_cluster(before: &PolicySet, after: &PolicySet) -> Vec<Rewrite> {
    let by = |policy: &ClusterPolicy| By {
        kind: policy.kind.name(),
        namespace: String::new(),
        name: policy.name.clone(),
        rule: None,
        source: policy.source.clone(),
    };
    let (old, new) = (before.of_cluster(), after.of_cluster());
    let named = |policy: &ClusterPolicy, set: &'_ [ClusterPolicy]| {
        let same = |other: &&ClusterPolicy| (other.kind, &other.name) == (policy.kind, &policy.name);
        set.iter().find(same).cloned()
    };
    let mut rewrites = Vec::new();
    let mut added: Vec<&ClusterPolicy> = new.iter().filter(|policy| named(policy, old).is_none()).collect();
    for policy in old {
        if let Some(other) = named(policy, new) {
            if other.bare() != policy.bare() {
                rewrites.push(Rewrite::Changed(by(policy), by(&other)));
            }
            continue;
        }
        let same = |other: &&ClusterPolicy| {
            let name = policy.name.clone();
            ClusterPolicy { name, ..other.bare() } == policy.bare()
        };
        rewrites.push(match added.iter().position(same) {
            Some(at) => Rewrite::Renamed(by(policy), by(added.remove(at))),
            None => Rewrite::Removed(by(policy)),
        });
    }
    rewrites.extend(added.into_iter().map(|policy| Rewrite::Added(by(policy))));
    rewrites
}
