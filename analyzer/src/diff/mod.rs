//! Diff: what changed between two recordings, or between a recording and policies.
//!
//! Compared is what policies are made of: connections that worked, and datagrams of which that cannot be known, by
//! client, server, protocol and the server's port. Counts, times and roles make no difference. Laws: a side never
//! differs from itself; exchanging the sides mirrors every change; what cannot be decided is a change of its own class
//! and never taken for equal, unless both sides have it in the same words.

pub mod accepted;
mod address;
mod allowed;
mod cause;
pub mod change;
mod compare;
mod connections;
mod judged;
pub mod peer;
mod universe;

use std::collections::BTreeSet;

use crate::flow::Flows;
use crate::identity::Workload;
use crate::identity::cluster::Cluster;
use crate::policy::model::PolicySet;
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
