//! Table `namespaces`.

use std::collections::BTreeMap;

use crate::cluster::Bound;
use crate::table::table;
use crate::time::Time;

table! {
    /// Versions of namespaces.
    pub struct NamespaceRow in Cluster "namespaces" {
        /// `metadata.uid`.
        pub uid: String,
        /// `metadata.name`.
        pub name: String,
        /// `metadata.labels`; a real cluster always has `kubernetes.io/metadata.name`.
        pub labels: BTreeMap<String, String>,
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
