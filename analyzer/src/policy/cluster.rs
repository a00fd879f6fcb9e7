//! Policies of the whole cluster: ordered rules that allow, deny or pass on, in a tier before NetworkPolicy or behind it.
//!
//! Source: kubernetes-sigs/network-policy-api `apis/v1alpha1/{adminnetworkpolicy,baselineadminnetworkpolicy}_types.go`
//! (v0.1.7) and `apis/v1alpha2/clusternetworkpolicy_types.go` (v0.2.0). An AdminNetworkPolicy is in the tier `Admin`, a
//! BaselineAdminNetworkPolicy in the tier `Baseline`, and a ClusterNetworkPolicy says which one.

use std::fmt;

use super::model::{Direction, Peer, Ports, Source};
use super::one_or_more::OneOrMore;
use super::select::Selector;

/// When policies are asked, relative to NetworkPolicies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Before them.
    Admin,
    /// Behind them: for pods that none of them isolates.
    Baseline,
}

impl Tier {
    /// The name as the API spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "Admin",
            Self::Baseline => "Baseline",
        }
    }
}

/// The kind of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClusterKind {
    /// `policy.networking.k8s.io/v1alpha1 AdminNetworkPolicy`.
    Admin,
    /// `policy.networking.k8s.io/v1alpha1 BaselineAdminNetworkPolicy`.
    BaselineAdmin,
    /// `policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy`.
    Cluster,
}

impl ClusterKind {
    /// The name as the API spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "AdminNetworkPolicy",
            Self::BaselineAdmin => "BaselineAdminNetworkPolicy",
            Self::Cluster => "ClusterNetworkPolicy",
        }
    }
}

/// What becomes of connections that a rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// They are made: `Allow`, or `Accept` in a ClusterNetworkPolicy.
    Allow,
    /// They are not.
    Deny,
    /// The rest of the tier is not asked, the next one is.
    Pass,
}

/// One policy of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterPolicy {
    /// The kind of the object.
    pub kind: ClusterKind,
    /// The name, unique among those of its kind.
    pub name: String,
    /// Before NetworkPolicies or behind them.
    pub tier: Tier,
    /// Lower numbers are asked first; 0 where the kind has no priority.
    pub priority: u16,
    /// Whose connections it is about.
    pub subject: Subject,
    /// Rules for connections to these pods, first match first.
    pub ingress: Vec<ClusterRule>,
    /// Rules for connections from these pods, first match first.
    pub egress: Vec<ClusterRule>,
    /// Where the policy was read from; `None` if it was made otherwise.
    pub source: Option<Source>,
}

impl fmt::Display for ClusterPolicy {
    /// `ClusterNetworkPolicy wall (wall.yaml:3)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.name)?;
        match &self.source {
            Some(source) => write!(f, " ({source})"),
            None => Ok(()),
        }
    }
}

impl ClusterPolicy {
    /// The rules of one direction.
    #[must_use]
    pub fn rules(&self, direction: Direction) -> &[ClusterRule] {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }

    /// The same rules without sources.
    #[must_use]
    pub fn bare(&self) -> Self {
        let bare = |rules: &[ClusterRule]| {
            let bare = |rule: &ClusterRule| ClusterRule {
                source: None,
                ..rule.clone()
            };
            rules.iter().map(bare).collect()
        };
        Self {
            ingress: bare(&self.ingress),
            egress: bare(&self.egress),
            source: None,
            ..self.clone()
        }
    }
}

/// The pods of some namespaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// The namespaces.
    pub namespaces: Selector,
    /// Which pods there.
    pub pods: Selector,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterRule {
    /// What becomes of what it matches.
    pub action: Action,
    /// Who.
    pub peers: OneOrMore<ClusterPeer>,
    /// On which ports.
    pub ports: Ports,
    /// Where the rule was read from; `None` if it was made otherwise.
    pub source: Option<Source>,
}

/// One peer of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClusterPeer {
    /// Pods with the namespaces to look in, or addresses of whomever.
    Plain(Peer),
    /// Nodes by label, at their addresses. No tape and no list of objects says which labels nodes have, so only the selector
    /// of all nodes says whom it means; see [`ClusterRule::takes_every_node`] for others.
    Nodes(Selector),
    /// Whoever has one of these DNS names. Which addresses that are is not known, so this matches nobody; it stands in rules
    /// that allow only.
    Domains(OneOrMore<String>),
}

impl ClusterRule {
    /// Whether a selector of nodes means every node in this rule. One that asks for labels, which are not known, means every
    /// node where the rule denies or passes on, and none where it allows: the API has unknown peers fail closed as well.
    #[must_use]
    pub fn takes_every_node(&self, nodes: &Selector) -> bool {
        nodes.is_everything() || self.action != Action::Allow
    }
}

impl fmt::Display for ClusterPeer {
    /// As [`Peer`]; or as `nodes role=worker`, `names *.example.com`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(peer) => peer.fmt(f),
            Self::Nodes(selector) => write!(f, "nodes {selector}"),
            Self::Domains(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                write!(f, "names {}", names.join(","))
            }
        }
    }
}
