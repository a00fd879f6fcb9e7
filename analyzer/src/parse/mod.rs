//! Reading policies that people wrote.
//!
//! Place in the data flow: text of existing manifests in, [`crate::policy::model::PolicySet`] out. Knows policies only.
//! All input is hostile: nesting and alias expansion are bounded, nothing panics, and nothing is skipped in silence.
//!
//! The order of the files below: [`marked`] turns YAML or JSON into a tree that knows its lines, [`scalar`] decides
//! what a plain word is, [`shape`] holds the tree against the fields of the API, [`kubernetes`] finds the policies in a
//! file, [`network_policy`] and [`cluster_policy`] turn each into the model, with the checks of an API server from [`crate::policy::names`];
//! [`dialect`] does so with policies of network plugins. [`objects`] reads objects of any kind, as values.

pub mod cluster_policy;
pub mod dialect;
pub mod kubernetes;
pub mod marked;
pub mod network_policy;
pub mod objects;
pub mod report;
pub mod scalar;
pub mod shape;
