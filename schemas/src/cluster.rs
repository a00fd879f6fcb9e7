//! The tables of the cluster's metadata, in `cluster/`.
//!
//! Identity is an interval, never "now": each row is one version of one object with its validity. `valid_from` and
//! `valid_to` are null where the version reaches beyond what is known, and each end says how it is known.

mod containers;
mod endpoint_slices;
mod namespaces;
mod network_policies;
mod nodes;
mod pods;
mod services;
mod workloads;

pub use containers::{ContainerKind, ContainerPort, ContainerRow, Probe};
pub use endpoint_slices::{EndpointPort, EndpointSliceRow, SliceEndpoint};
pub use namespaces::NamespaceRow;
pub use network_policies::NetworkPolicyRow;
pub use nodes::{NodeAddress, NodeRow};
pub use pods::PodRow;
pub use services::{ServicePort, ServiceRow};
pub use workloads::{SelectorRequirement, WorkloadRow};

use crate::value::words;

words! {
    /// How one end of a validity interval is known.
    pub enum Bound {
        /// The change was seen as it happened.
        Observed = "observed",
        /// The object itself states the time, such as a pod's `status.startTime`.
        Declared = "declared",
        /// Nothing states it: the version is taken to hold up to the next or previous knowledge.
        Assumed = "assumed",
    }
}
