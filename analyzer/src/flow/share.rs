//! How much of a recording has a peer that is not known: what a reader must know before trusting anything else.

use super::edge::{Edge, EdgeKey};
use crate::identity::{Identity, Reason, Role};

/// How much of a recording has a peer that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// Of the edges.
    pub edges: Share,
    /// Of the operations that they count, and of those that make no edge because their direction or port is not known.
    pub operations: Share,
}

/// How many there are, and of how many a peer is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// All of them.
    pub total: u64,
    /// Of these a peer is not known, and no candidate is; or the port at which it was reached, behind a proxy.
    pub unknown: u64,
    /// Of these a peer is one of several; whoever is in both groups stands here only.
    pub ambiguous: u64,
    /// Of these the server is supposed and was not seen, which finding FT3001 explains.
    pub supposed: u64,
}

impl Shares {
    /// Those of the edges of a recording, and of so many operations that make no edge.
    pub(super) fn of(edges: &[Edge], without_edge: u64) -> Self {
        let mut shares = Self::default();
        shares.operations.add(without_edge, Some(Doubt::Unknown), false);
        for Edge { key, evidence } in edges {
            let doubt = doubt(key);
            shares.edges.add(1, doubt, evidence.assumed);
            shares.operations.add(evidence.count, doubt, evidence.assumed);
        }
        shares
    }
}

impl Share {
    fn add(&mut self, count: u64, doubt: Option<Doubt>, supposed: bool) {
        let doubted = match doubt {
            None => None,
            Some(Doubt::Unknown) => Some(&mut self.unknown),
            Some(Doubt::Ambiguous) => Some(&mut self.ambiguous),
        };
        let supposed = supposed.then_some(&mut self.supposed);
        for sum in [Some(&mut self.total), doubted, supposed].into_iter().flatten() {
            *sum = sum.saturating_add(count);
        }
    }
}

/// What is doubted in an edge, the better known last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Doubt {
    Unknown,
    Ambiguous,
}

fn doubt(key: &EdgeKey) -> Option<Doubt> {
    // A proxy took it, and who served it at which port nobody saw.
    let hidden = key.to.role == Some(Role::Redirected);
    let of = |identity: &Identity| match identity {
        Identity::Unknown {
            reason: Reason::Ambiguous,
            ..
        } => Some(Doubt::Ambiguous),
        Identity::Unknown { .. } => Some(Doubt::Unknown),
        Identity::Workload(_) | Identity::Service { .. } | Identity::Node { .. } | Identity::External { .. } => None,
    };
    let served = hidden.then_some(Doubt::Unknown);
    served.max(of(&key.from.identity)).max(of(&key.to.identity))
}
