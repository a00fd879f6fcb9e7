//! Policies of network plugins, as far as `generate --kind` writes them: [`calico`], [`cilium`] and [`staged`].
//!
//! A document that says anything else is not read by half: it becomes a [`Refusal`] that names the field.

use crate::policy::model::Policy;

use super::report::{Problem, Refusal, Warning};

pub mod calico;
pub mod cilium;
mod expression;
mod reader;
pub mod staged;

/// What became of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The policy, if there is no problem and nothing was refused.
    pub policy: Option<Policy>,
    /// What it says that has no place in the model, by line, and behind that what it does not say.
    pub refusals: Vec<Refusal>,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
    /// What is legal and probably not meant.
    pub warnings: Vec<Warning>,
}
