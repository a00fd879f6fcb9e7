//! Identity in time: what an endpoint *was at that instant*.
//!
//! Resolved from the cgroup of the socket first, its network namespace second, its address at that time last. What
//! cannot be proved is [`Identity::Unknown`] with a reason, and never a guess.

pub mod clock;
pub mod cluster;
mod holder;
pub mod owner;
pub mod prefix;
pub mod published;
pub mod resolve;
pub mod service;
pub mod timeline;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use flowtape_schemas::address::Address;

/// Names of one address, in lower case.
pub type Names = Arc<BTreeSet<String>>;

/// What an endpoint was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identity {
    /// A pod of a workload.
    Workload(Workload),
    /// A Service whose backend is not known.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A node of the cluster, or a process on it that is no pod.
    Node {
        /// Its name.
        name: String,
    },
    /// An address outside the cluster.
    External {
        /// The address.
        address: Address,
        /// Every name that the tape knows it by. They follow from the address alone, so peers are told apart by that.
        names: Names,
    },
    /// It cannot be known.
    Unknown {
        /// The address, if there was one.
        address: Option<Address>,
        /// Why not.
        reason: Reason,
    },
}

/// The stable owner of pods.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Workload {
    /// Namespace of the pods.
    pub namespace: String,
    /// Kind of the owner that stays over revisions and runs; `Pod` for a pod without one.
    pub kind: String,
    /// Name of that owner.
    pub name: String,
    /// Whether the pods share the addresses of their node, and so cannot be selected by policies.
    pub host_network: bool,
}

impl fmt::Display for Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.namespace, self.kind, self.name)
    }
}

/// Why an identity cannot be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The address lies in the cluster, and no pod held it at that time.
    NoPodAtTime,
    /// More than one pod held the address within the time of the flow.
    Ambiguous,
    /// The cgroup says which pod it was, and the metadata does not know that pod.
    PodNotInMetadata,
    /// The recorder could not tell the address.
    NoAddress,
    /// The peer was folded with others beyond a quota.
    Folded,
}

impl Reason {
    /// The stable word of reports and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NoPodAtTime => "no-pod-at-time",
            Self::Ambiguous => "ambiguous",
            Self::PodNotInMetadata => "pod-not-in-metadata",
            Self::NoAddress => "no-address",
            Self::Folded => "folded",
        }
    }
}

/// What part an endpoint plays besides its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The node of the pod it talks to, by a probe that the pod declares.
    Kubelet,
    /// The node of the pod it talks to.
    OwnNode,
    /// An endpoint of Service `default/kubernetes`.
    ApiServer,
    /// A backend of a Service used on port 53.
    Dns,
    /// The instance metadata service of a cloud.
    MetadataService,
    /// From outside, to a port that the cluster itself publishes.
    Published,
    /// A port of the proxy in a pod, which other proxies address.
    MeshProxy,
    /// Behind a proxy in its pod, at a port that is not known.
    Redirected,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 8] = [
        Self::Kubelet,
        Self::OwnNode,
        Self::ApiServer,
        Self::Dns,
        Self::MetadataService,
        Self::Published,
        Self::MeshProxy,
        Self::Redirected,
    ];

    /// The stable word of reports and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kubelet => "kubelet",
            Self::OwnNode => "own-node",
            Self::ApiServer => "api-server",
            Self::Dns => "dns",
            Self::MetadataService => "metadata-service",
            Self::Published => "ingress",
            Self::MeshProxy => "mesh-proxy",
            Self::Redirected => "redirected",
        }
    }
}
