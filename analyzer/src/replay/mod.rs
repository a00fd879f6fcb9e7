//! Recorded edges against a policy set: the proof that goes with every generated set; and what a set allows between the
//! workloads of a cluster, recorded or not.

pub mod asked;
pub mod connectivity;
mod ends;
pub mod named;
pub mod neighbour;
pub mod party;
pub mod proof;
pub mod soundness;
pub mod world;
