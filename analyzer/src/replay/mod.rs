//! Recorded edges against a policy set: the proof that goes with every generated set.

mod ends;
pub mod neighbour;
pub mod proof;
pub mod soundness;
pub mod world;
