//! Table `endpoint_slices`.

use crate::address::Address;
use crate::cluster::Bound;
use crate::table::{record, table};
use crate::time::Time;

record! {
    /// A port that every endpoint of a slice serves.
    pub struct EndpointPort {
        /// Name of the Service port.
        pub name: Option<String>,
        /// The backend's port: the Service's targetPort, resolved.
        pub port: Option<u16>,
        /// TCP, UDP or SCTP.
        pub protocol: String,
    }
}

record! {
    /// A backend of a Service.
    pub struct SliceEndpoint {
        /// Its addresses.
        pub addresses: Vec<Address>,
        /// `conditions.ready`; null counts as true.
        pub ready: Option<bool>,
        /// `conditions.serving`.
        pub serving: Option<bool>,
        /// `conditions.terminating`.
        pub terminating: Option<bool>,
        /// UID of the pod behind it, if it is one.
        pub pod_uid: Option<String>,
        /// Name of the pod behind it, if it is one.
        pub pod_name: Option<String>,
        /// Node it runs on.
        pub node: Option<String>,
    }
}

table! {
    /// Versions of EndpointSlices: which backends a Service had, and when.
    pub struct EndpointSliceRow in Cluster "endpoint_slices" {
        /// `metadata.uid`.
        pub uid: String,
        /// `metadata.namespace`.
        pub namespace: String,
        /// `metadata.name`.
        pub name: String,
        /// Label `kubernetes.io/service-name`.
        pub service: Option<String>,
        /// `addressType`: IPv4, IPv6 or FQDN.
        pub address_type: String,
        /// Ports.
        pub ports: Vec<EndpointPort>,
        /// Backends.
        pub endpoints: Vec<SliceEndpoint>,
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
