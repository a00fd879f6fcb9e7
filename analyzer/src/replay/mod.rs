//! Recorded edges against a policy set: the proof that goes with every generated set.

pub mod soundness;
pub mod world;
