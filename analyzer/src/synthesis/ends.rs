//! The workloads at the ends of edges, each found by name once.

use std::collections::BTreeSet;

use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

use crate::flow::edge::{Edge, Peer};
use crate::identity::cluster::Cluster;
use crate::identity::{Identity, Workload};

/// Every workload of a tape, and which are at the ends of its edges.
pub(super) struct Ends<'a> {
    /// The workloads, in order.
    pub(super) workloads: Vec<&'a Workload>,
    /// Of each edge the places of its client and of its server among them; `None` for what is no workload.
    pub(super) of_edges: Vec<[Option<usize>; 2]>,
}

impl<'a> Ends<'a> {
    /// Those of these edges, and all that pods have: servers behind a cache are on no edge.
    pub(super) fn new(edges: &'a [Edge], cluster: &'a Cluster) -> Self {
        let known: BTreeSet<&Workload> = cluster.pods.values().map(|pod| &pod.workload).collect();
        let workloads: Vec<&Workload> = known.iter().copied().collect();
        let of_edges = places(edges, &workloads);
        let both = edges.iter().flat_map(|edge| [&edge.key.from, &edge.key.to]);
        let unplaced = both.zip(of_edges.iter().flatten()).filter(|(_, place)| place.is_none());
        let others: BTreeSet<&Workload> = unplaced.filter_map(|(peer, _)| workload(peer)).collect();
        if others.is_empty() {
            return Self { workloads, of_edges };
        }
        let workloads: Vec<&Workload> = known.union(&others).copied().collect();
        Self {
            of_edges: places(edges, &workloads),
            workloads,
        }
    }
}

/// The places of both ends of each edge among these.
fn places(edges: &[Edge], workloads: &[&Workload]) -> Vec<[Option<usize>; 2]> {
    let place = |peer: &Peer| workloads.binary_search(&workload(peer)?).ok();
    let of_edge = |edge: &Edge| [place(&edge.key.from), place(&edge.key.to)];
    edges.par_iter().map(of_edge).collect()
}

fn workload(peer: &Peer) -> Option<&Workload> {
    match &peer.identity {
        Identity::Workload(workload) => Some(workload),
        Identity::Service { .. } | Identity::Node { .. } | Identity::External { .. } | Identity::Unknown { .. } => None,
    }
}
