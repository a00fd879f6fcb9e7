//! Table `pods`.

use std::collections::BTreeMap;

use crate::address::Address;
use crate::cluster::Bound;
use crate::table::table;
use crate::time::Time;

table! {
    /// Versions of pods. A pod holds its addresses from `status.startTime` (declared) until it ends; Succeeded and
    /// Failed pods hold none.
    pub struct PodRow in Cluster "pods" {
        /// `metadata.uid`.
        pub uid: String,
        /// `metadata.namespace`.
        pub namespace: String,
        /// `metadata.name`.
        pub name: String,
        /// `spec.nodeName`.
        pub node: Option<String>,
        /// `spec.hostNetwork`: the pod shares the addresses of its node.
        pub host_network: bool,
        /// `status.podIPs`, canonical.
        pub pod_ips: Vec<Address>,
        /// `status.hostIPs`, canonical.
        pub host_ips: Vec<Address>,
        /// `metadata.labels`.
        pub labels: BTreeMap<String, String>,
        /// `metadata.annotations`, only those on the allow-list.
        pub annotations: BTreeMap<String, String>,
        /// `spec.serviceAccountName`.
        pub service_account: Option<String>,
        /// `status.phase`.
        pub phase: String,
        /// API version of the controlling owner.
        pub owner_api_version: Option<String>,
        /// Kind of the controlling owner.
        pub owner_kind: Option<String>,
        /// Name of the controlling owner.
        pub owner_name: Option<String>,
        /// UID of the controlling owner.
        pub owner_uid: Option<String>,
        /// `spec.runtimeClassName`: sandboxed runtimes hide their sockets from the node's kernel.
        pub runtime_class: Option<String>,
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
