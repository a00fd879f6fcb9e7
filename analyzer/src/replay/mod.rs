//! Recorded edges against a policy set: the proof that goes with every generated set.

pub mod asked;
mod ends;
pub mod named;
pub mod neighbour;
pub mod proof;
pub mod soundness;
pub mod world;
