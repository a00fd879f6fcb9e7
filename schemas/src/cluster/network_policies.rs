//! Table `network_policies`.

use crate::cluster::Bound;
use crate::table::table;
use crate::time::Time;

table! {
    /// Policies in force while the window was recorded: under enforcement a tape shows only what they allowed.
    pub struct NetworkPolicyRow in Cluster "network_policies" {
        /// `metadata.uid`.
        pub uid: String,
        /// `apiVersion`.
        pub api_version: String,
        /// `kind`.
        pub kind: String,
        /// `metadata.namespace`; empty for a kind that has none.
        pub namespace: String,
        /// `metadata.name`.
        pub name: String,
        /// `spec`, as JSON with sorted keys.
        pub spec: String,
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
