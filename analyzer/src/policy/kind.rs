//! What a policy was written as.

use std::fmt;

/// The kind of a policy, by which a verdict names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicyKind {
    /// `networking.k8s.io/v1 NetworkPolicy`.
    #[default]
    NetworkPolicy,
    /// `projectcalico.org/v3 NetworkPolicy`, which has the name of Kubernetes' own.
    CalicoNetworkPolicy,
    /// `cilium.io/v2 CiliumNetworkPolicy`.
    CiliumNetworkPolicy,
    /// `projectcalico.org/v3 StagedKubernetesNetworkPolicy`, which nothing enforces.
    StagedKubernetesNetworkPolicy,
}

impl PolicyKind {
    /// The name in messages and documents; no two kinds share one.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NetworkPolicy => "NetworkPolicy",
            Self::CalicoNetworkPolicy => "CalicoNetworkPolicy",
            Self::CiliumNetworkPolicy => "CiliumNetworkPolicy",
            Self::StagedKubernetesNetworkPolicy => "StagedKubernetesNetworkPolicy",
        }
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
