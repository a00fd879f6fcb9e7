//! Table `workloads`.

use std::collections::BTreeMap;

use crate::cluster::{Bound, ContainerPort};
use crate::table::{record, table};
use crate::time::Time;

record! {
    /// One entry of `spec.selector.matchExpressions`.
    pub struct SelectorRequirement {
        /// Label key.
        pub key: String,
        /// In, NotIn, Exists or DoesNotExist.
        pub operator: String,
        /// Values, for In and NotIn.
        pub values: Vec<String>,
    }
}

table! {
    /// Versions of what owns pods: Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs, CronJobs, and objects of any
    /// other kind that make pods from a template.
    pub struct WorkloadRow in Cluster "workloads" {
        /// `metadata.uid`.
        pub uid: String,
        /// `apiVersion`.
        pub api_version: String,
        /// `kind`.
        pub kind: String,
        /// `metadata.namespace`.
        pub namespace: String,
        /// `metadata.name`.
        pub name: String,
        /// API version of the controlling owner, as a Deployment is to a ReplicaSet.
        pub owner_api_version: Option<String>,
        /// Kind of the controlling owner.
        pub owner_kind: Option<String>,
        /// Name of the controlling owner.
        pub owner_name: Option<String>,
        /// UID of the controlling owner.
        pub owner_uid: Option<String>,
        /// `spec.selector.matchLabels`; null for a kind without selector.
        pub match_labels: Option<BTreeMap<String, String>>,
        /// `spec.selector.matchExpressions`.
        pub match_expressions: Vec<SelectorRequirement>,
        /// Labels of the pod template.
        pub template_labels: BTreeMap<String, String>,
        /// `hostNetwork` of the pod template.
        pub template_host_network: bool,
        /// Container ports of the pod template.
        pub template_ports: Vec<ContainerPort>,
        /// `spec.replicas`, where the kind has it.
        pub replicas: Option<i32>,
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
