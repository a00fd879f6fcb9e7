//! Diff: what changed between two recordings, between a recording and policies, or between two policy sets.
//!
//! Of recordings, compared is what policies are made of: connections that worked, and datagrams of which that cannot be known, by
//! client, server, protocol and the server's port. Counts, times and roles make no difference. Laws: a side never
//! differs from itself; exchanging the sides mirrors every change; what cannot be decided is a change of its own class
//! and never taken for equal, unless both sides have it in the same words.

pub mod accepted;
mod address;
mod allowed;
mod behind;
mod cause;
pub mod change;
mod compare;
mod connections;
mod judged;
pub mod peer;
mod policies;
pub mod rewrite;
mod universe;
mod unresolved;

use std::collections::{BTreeMap, BTreeSet};

use crate::flow::Flows;
use crate::identity::Workload;
use crate::identity::cluster::Cluster;
use crate::policy::model::PolicySet;
use crate::replay::world::world;
use crate::semantics::representative::for_comparison;
use crate::semantics::world::World;

use change::{Diff, Side, Unbounded};
use connections::Connections;
use universe::Universe;

/// A recording as a side of a diff.
#[derive(Clone, Copy, Debug)]
pub struct Recording<'a> {
    /// Its edges.
    pub flows: &'a Flows,
    /// Whether what it does not show was not there.
    pub complete: bool,
    /// The workloads that were there; `None` if that is not known.
    pub workloads: Option<&'a BTreeSet<Workload>>,
    /// How many nanoseconds it lasted, if that is known.
    pub length: Option<i64>,
}

/// What changed between two recordings.
#[must_use]
pub fn recordings(before: Recording<'_>, after: Recording<'_>) -> Diff {
    let mut diff = compare::compare(&Connections::of_tape(before), &Connections::of_tape(after));
    for change in &mut diff.changes {
        let (own, other) = match change.side {
            Side::Before => (before, after),
            Side::After => (after, before),
        };
        change.cause = cause::cause(change, own, other);
    }
    diff
}

/// What policies allow that a recording does not show, and what it shows that they deny. The recording is the first
/// side. `world` is the universe of the recording, in which the policies are judged.
#[must_use]
pub fn with_policies(before: Recording<'_>, cluster: &Cluster, world: &World, set: &PolicySet) -> Diff {
    let universe = Universe::new(cluster, world, set);
    let mut seen = Connections::of_tape(before);
    seen.aliases = judged::aliases(before.flows, cluster);
    let mut allowed = allowed::allowed(&universe);
    judged::judge(before.flows, &universe, &mut allowed);
    let mut diff = compare::compare(&seen, &allowed);
    for (workload, direction) in judged::unbounded(before.flows, &universe) {
        let side = Side::After;
        diff.unbounded.push(Unbounded {
            workload,
            direction,
            side,
        });
    }
    diff.sorted()
}

/// What changed between two policy sets, for the pods of a cluster and for pods that do not exist yet, see [`for_comparison`].
#[must_use]
pub fn policy_sets(before: &PolicySet, after: &PolicySet, cluster: Option<&Cluster>) -> Diff {
    let pods = cluster.map_or_else(|| universe::strangers(&[before, after]), world);
    let owners = cluster.map(universe::workloads).unwrap_or_default();
    policy_sets_in(before, after, &pods, &owners)
}

/// The same for the pods of a world, and the workloads that some of them belong to, by namespace and name of the pod.
#[must_use]
pub fn policy_sets_in(
    before: &PolicySet,
    after: &PolicySet,
    pods: &World,
    owners: &BTreeMap<(String, String), Workload>,
) -> Diff {
    let (pods, uncombined) = for_comparison(pods, before, after);
    let diff = policies::compare(before, after, &pods, owners);
    Diff {
        rewrites: rewrite::rewrites(before, after),
        unresolved: unresolved::unresolved(before, after, &diff.changes, &pods, owners),
        uncombined,
        ..diff
    }
}
