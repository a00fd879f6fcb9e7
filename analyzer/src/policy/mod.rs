//! Dialect-free policies: what a set of rules means, whatever text it came from or goes to.
//!
//! Place in the data flow: edges are synthesised into a [`model::PolicySet`], existing manifests are parsed into
//! one, `semantics` evaluates one and `render` writes one. This is the only model of a policy in the project.
//!
//! Knows nothing of YAML, tapes, time or evidence.

pub mod cidr;
pub mod cluster;
pub mod identity_label;
pub mod kind;
pub mod landmark;
pub mod model;
pub mod names;
pub mod one_or_more;
pub mod ports;
pub mod profile;
pub mod reading;
pub mod select;
pub mod tie;
mod words;
