//! What a policy set means: evaluation of connections against it.
//!
//! Place in the data flow: reads [`crate::policy::model::PolicySet`] and a [`world::World`] of pods, gives verdicts.
//! [`eval`] is the naive evaluator, and what everything else is held against; [`index`] finds the rules of one connection
//! quickly, and [`reach`] says everything that a set allows, by [`class`].
//!
//! Knows policies only: nothing of tapes, evidence, Kubernetes YAML or time.

pub mod bits;
pub mod class;
pub mod entity;
pub mod eval;
pub mod index;
mod label;
mod mentioned;
pub mod ordered;
pub mod reach;
pub mod representative;
pub mod row;
mod section;
pub mod space;
pub mod tier;
pub mod traffic;
pub mod world;
