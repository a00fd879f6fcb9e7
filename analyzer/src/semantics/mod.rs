//! What a policy set means: evaluation of connections against it.
//!
//! Place in the data flow: reads [`crate::policy::model::PolicySet`] and a [`world::World`] of pods, gives verdicts.
//! Knows policies only: nothing of tapes, evidence, Kubernetes YAML or time.

pub mod eval;
pub mod index;
pub mod world;
