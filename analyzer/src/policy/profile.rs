//! Network plugins, and what each reads differently from the API's text.
//!
//! Every entry has its source in `analyzer/CNI.md`. What is not known of a plugin is taken as the API says it.

/// A network plugin that enforces NetworkPolicy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// The API's text on addresses of pods and their own ports.
    #[default]
    Generic,
    /// Calico.
    Calico,
    /// Cilium.
    Cilium,
    /// Amazon VPC CNI with its network policy agent.
    AwsVpcCni,
    /// Weave Net.
    Weave,
    /// Antrea.
    Antrea,
    /// OVN-Kubernetes.
    OvnKubernetes,
    /// kube-router.
    KubeRouter,
}

/// Something in a rule that plugins read differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aspect {
    /// Egress to a Service is judged at the Service's address, before it is translated.
    ServiceAddress,
    /// An `ipBlock` does not match nodes.
    NodeBlock,
    /// A range of ports (`endPort`) is not read as one.
    EndPort,
    /// A port by its name is not the pod's.
    NamedPort,
    /// A port by its name is every port of the protocol.
    AnyPort,
    /// SCTP is not read unless it was switched on.
    Sctp,
    /// Nobody says that SCTP is read.
    UnprovenSctp,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 8] = [
        Self::Generic,
        Self::Calico,
        Self::Cilium,
        Self::AwsVpcCni,
        Self::Weave,
        Self::Antrea,
        Self::OvnKubernetes,
        Self::KubeRouter,
    ];

    /// The word of the command line and of JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Calico => "calico",
            Self::Cilium => "cilium",
            Self::AwsVpcCni => "aws-vpc-cni",
            Self::Weave => "weave",
            Self::Antrea => "antrea",
            Self::OvnKubernetes => "ovn-kubernetes",
            Self::KubeRouter => "kube-router",
        }
    }

    /// What it reads differently from the API's text.
    #[must_use]
    pub const fn differs(self) -> &'static [Aspect] {
        match self {
            Self::Generic | Self::Calico | Self::Antrea => &[],
            Self::Cilium => &[Aspect::NodeBlock, Aspect::EndPort, Aspect::Sctp],
            Self::AwsVpcCni => &[Aspect::ServiceAddress, Aspect::NamedPort],
            Self::Weave => &[Aspect::EndPort, Aspect::NamedPort],
            Self::OvnKubernetes => &[Aspect::AnyPort],
            Self::KubeRouter => &[Aspect::UnprovenSctp],
        }
    }

    /// Whether an `ipBlock` matches pods and nodes of the cluster at their own addresses, as the conformance suite of Kubernetes
    /// expects.
    #[must_use]
    pub const fn blocks_match_the_cluster(self) -> bool {
        match self {
            Self::Cilium => false,
            Self::Generic
            | Self::Calico
            | Self::AwsVpcCni
            | Self::Weave
            | Self::Antrea
            | Self::OvnKubernetes
            | Self::KubeRouter => true,
        }
    }

    /// Whether it judges egress to a Service at the Service's address.
    #[must_use]
    pub fn sees_service_addresses(self) -> bool {
        self.differs().contains(&Aspect::ServiceAddress)
    }
}

impl Aspect {
    /// The stable word of JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ServiceAddress => "service-address",
            Self::NodeBlock => "node-block",
            Self::EndPort => "end-port",
            Self::NamedPort => "named-port",
            Self::AnyPort => "any-port",
            Self::Sctp => "sctp",
            Self::UnprovenSctp => "unproven-sctp",
        }
    }

    /// What it means for a rule.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::ServiceAddress => "it looks for the Service's address, which is not in the rule",
            Self::NodeBlock => "no `ipBlock` matches a node unless `policy-cidr-match-mode` has `nodes`",
            Self::EndPort => "versions of it read only the first port of a range",
            Self::NamedPort => "it does not resolve the name of a port on the pods of the rule",
            Self::AnyPort => "it takes the name of a port for every port of the protocol",
            Self::Sctp => "it reads SCTP only where that was switched on",
            Self::UnprovenSctp => "its project has an open request for SCTP, and nothing that says it works",
        }
    }

    /// What to do about it, with a profile that differs so.
    #[must_use]
    pub const fn remedy(self, profile: Profile) -> &'static str {
        match (self, profile) {
            (Self::ServiceAddress, _) => "`--cni aws-vpc-cni` adds it by name",
            (Self::NodeBlock, _) => "`--cni cilium --kind Cilium` names nodes",
            (Self::EndPort, Profile::Cilium) => {
                "`--cni cilium` writes recorded ports one by one, `--kind Cilium` ranges of its own"
            }
            (Self::EndPort, _) => "`--cni weave` writes recorded ports one by one; leave the widening of ports out",
            (Self::NamedPort | Self::AnyPort, _) => "number the port",
            (Self::UnprovenSctp, _) => "try the rule on such a cluster first",
            (Self::Sctp, _) => "install it with `sctp.enabled`",
        }
    }
}
