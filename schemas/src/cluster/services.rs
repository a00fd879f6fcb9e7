//! Table `services`.

use std::collections::BTreeMap;

use crate::address::Address;
use crate::cluster::Bound;
use crate::table::{record, table};
use crate::time::Time;

record! {
    /// A port of a Service.
    pub struct ServicePort {
        /// Name, needed where there are several.
        pub name: Option<String>,
        /// TCP, UDP or SCTP.
        pub protocol: String,
        /// Port of the Service's addresses.
        pub port: u16,
        /// `targetPort`, if given as a number (the default is `port`).
        pub target_port: Option<u16>,
        /// `targetPort`, if given as the name of a container port.
        pub target_port_name: Option<String>,
        /// Port on every node, for NodePort and LoadBalancer.
        pub node_port: Option<u16>,
    }
}

table! {
    /// Versions of Services.
    pub struct ServiceRow in Cluster "services" {
        /// `metadata.uid`.
        pub uid: String,
        /// `metadata.namespace`.
        pub namespace: String,
        /// `metadata.name`.
        pub name: String,
        /// `spec.type`.
        pub service_type: String,
        /// `spec.clusterIPs` that are addresses.
        pub cluster_ips: Vec<Address>,
        /// `spec.externalIPs`.
        pub external_ips: Vec<Address>,
        /// `status.loadBalancer.ingress` that are addresses.
        pub load_balancer_ips: Vec<Address>,
        /// Those of them with `ipMode: Proxy`: nodes do not translate them, and what is sent there leaves for the load balancer.
        pub load_balancer_proxies: Vec<Address>,
        /// `spec.loadBalancerSourceRanges`: who may use the load balancer; everybody where there are none.
        pub load_balancer_source_ranges: Vec<String>,
        /// `spec.healthCheckNodePort`.
        pub health_check_node_port: Option<u16>,
        /// `spec.selector`; null for a Service without one.
        pub selector: Option<BTreeMap<String, String>>,
        /// `spec.ports`.
        pub ports: Vec<ServicePort>,
        /// `spec.clusterIP: None`: clients connect to the pods.
        pub headless: bool,
        /// `spec.externalName`.
        pub external_name: Option<String>,
        /// `spec.internalTrafficPolicy`.
        pub internal_traffic_policy: Option<String>,
        /// `spec.externalTrafficPolicy`.
        pub external_traffic_policy: Option<String>,
        /// `spec.sessionAffinity`.
        pub session_affinity: Option<String>,
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
