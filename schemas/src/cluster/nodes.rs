//! Table `nodes`.

use std::collections::BTreeMap;

use crate::address::Address;
use crate::cluster::Bound;
use crate::table::{record, table};
use crate::time::Time;

record! {
    /// An address of a node.
    pub struct NodeAddress {
        /// `type`: InternalIP or ExternalIP. Host names are left out.
        pub kind: String,
        /// The address.
        pub ip: Address,
    }
}

table! {
    /// Versions of nodes.
    pub struct NodeRow in Cluster "nodes" {
        /// `metadata.uid`.
        pub uid: String,
        /// `metadata.name`.
        pub name: String,
        /// `status.addresses` that are addresses.
        pub addresses: Vec<NodeAddress>,
        /// `spec.podCIDRs`.
        pub pod_cidrs: Vec<String>,
        /// `metadata.labels`.
        pub labels: BTreeMap<String, String>,
        /// `status.nodeInfo.operatingSystem`.
        pub operating_system: Option<String>,
        /// `status.nodeInfo.kernelVersion`.
        pub kernel_version: Option<String>,
        /// `status.nodeInfo.containerRuntimeVersion`.
        pub container_runtime: Option<String>,
        /// `status.nodeInfo.kubeletVersion`.
        pub kubelet_version: Option<String>,
        /// `metadata.resourceVersion`.
        pub resource_version: Option<String>,
        /// When this version began to hold; null: before anything known.
        pub valid_from: Option<Time>,
        /// How the beginning is known.
        pub from_bound: Bound,
        /// When it ceased to hold; null: after anything known.
        pub valid_to: Option<Time>,
        /// How the end is known.
        pub to_bound: Bound,
    }
}
