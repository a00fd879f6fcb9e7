//! The policy set: namespaced allow-rules, as NetworkPolicy v1 means them.
//!
//! Invariants: a set holds each (namespace, name, kind) once, in ascending order; each isolates in some direction; peers and ports of a rule are sorted and
//! deduplicated, and a list of them is never empty. Rules keep their order, because `ingress/0` must mean to the reader
//! what stands first in his file; the order has no effect on what is allowed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use super::cidr::Cidr;
use super::cluster::{ClusterPolicy, ClusterRule};
use super::kind::PolicyKind;
use super::one_or_more::OneOrMore;
use super::ports::{PortRange, Protocol};
use super::select::Selector;

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// The name of the file as the caller gave it.
    pub file: Arc<str>,
    /// The line, starting at 1.
    pub line: usize,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// The traffic direction a rule is about, seen from the pods that the policy selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Connections to the selected pods.
    Ingress,
    /// Connections from the selected pods.
    Egress,
}

impl Direction {
    /// Both directions, in the order of documents.
    pub const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];

    /// Lower-case name: `ingress` or `egress`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One policy: which pods it isolates in which directions, and what it allows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What it was written as; a policy of another kind and the same name is another policy.
    pub kind: PolicyKind,
    /// The namespace of the policy and of the pods it selects.
    pub namespace: String,
    /// The name, unique in the namespace among those of its kind.
    pub name: String,
    /// The pods of the namespace that the policy applies to.
    pub subject: Selector,
    /// `None`: says nothing about ingress. `Some` of no rules: denies all ingress.
    pub ingress: Option<Vec<Rule>>,
    /// `None`: says nothing about egress. `Some` of no rules: denies all egress.
    pub egress: Option<Vec<Rule>>,
    /// Stable facts for the reader; written as comments, without effect.
    pub notes: Vec<String>,
    /// Where the policy was read from; `None` if it was generated.
    pub source: Option<Source>,
}

impl Policy {
    /// The rules of one direction; `None` if the policy does not isolate its pods there.
    #[must_use]
    pub fn rules(&self, direction: Direction) -> Option<&[Rule]> {
        match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        }
    }

    /// The same rules without notes and sources.
    #[must_use]
    pub fn bare(&self) -> Self {
        let Self {
            kind,
            namespace,
            name,
            subject,
            ingress,
            egress,
            notes: _,
            source: _,
        } = self;
        Self {
            kind: *kind,
            namespace: namespace.clone(),
            name: name.clone(),
            subject: subject.clone(),
            ingress: ingress.as_deref().map(bare_rules),
            egress: egress.as_deref().map(bare_rules),
            notes: Vec::new(),
            source: None,
        }
    }

    /// Whether both say the same, whatever their notes and sources.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let Self {
            kind,
            namespace,
            name,
            subject,
            ingress,
            egress,
            notes: _,
            source: _,
        } = self;
        let same_rules = |own: &Option<Vec<Rule>>, others: &Option<Vec<Rule>>| match (own, others) {
            (Some(own), Some(others)) => {
                let mut both = own.iter().zip(others);
                own.len() == others.len() && both.all(|(own, other)| own.says_the_same(other))
            }
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        *kind == other.kind
            && *namespace == other.namespace
            && *name == other.name
            && *subject == other.subject
            && same_rules(ingress, &other.ingress)
            && same_rules(egress, &other.egress)
    }
}

/// One allow-rule: any of these peers on any of these ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Who.
    pub peers: Peers,
    /// On which ports.
    pub ports: Ports,
    /// Stable facts for the reader; written as comments, without effect.
    pub notes: Vec<String>,
    /// Where the rule was read from; `None` if it was generated.
    pub source: Option<Source>,
}

impl Rule {
    /// A rule without notes and source.
    #[must_use]
    pub const fn new(peers: Peers, ports: Ports) -> Self {
        Self {
            peers,
            ports,
            notes: Vec::new(),
            source: None,
        }
    }

    /// Whether both say the same, whatever their notes and sources.
    fn says_the_same(&self, other: &Self) -> bool {
        let Self {
            peers,
            ports,
            notes: _,
            source: _,
        } = self;
        *peers == other.peers && *ports == other.ports
    }
}

/// The peers of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peers {
    /// Everybody, inside and outside the cluster. In the API: no `from` or `to`.
    Any,
    /// Only these.
    Of(OneOrMore<Peer>),
}

/// One peer of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Pods by label.
    Pods {
        /// The namespaces to look in; `None` is the namespace of the policy.
        namespaces: Option<Selector>,
        /// Which pods there.
        pods: Selector,
    },
    /// Addresses, of whomever.
    Block {
        /// The prefix.
        cidr: Cidr,
        /// Parts of the prefix that are left out; each strictly inside it.
        except: Vec<Cidr>,
    },
    /// Whom NetworkPolicy has no word for, and other kinds have one.
    Entity(Entity),
}

/// Ends of connections that are known by what they are, and not by label. None of them is a pod with a network of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entity {
    /// Every node of the cluster, and what is on its network.
    Nodes,
    /// The API server, wherever it runs.
    ApiServer,
    /// Addresses that no pod and no node of the cluster has.
    Outside {
        /// The prefix.
        cidr: Cidr,
        /// Parts of the prefix that are left out; each strictly inside it.
        except: Vec<Cidr>,
    },
    /// What is outside the cluster and has this DNS name, which is in lower case and without a dot at its end.
    Name(String),
}

impl Peer {
    /// Pods of the policy's own namespace.
    #[must_use]
    pub const fn pods(pods: Selector) -> Self {
        Self::Pods { namespaces: None, pods }
    }

    /// Pods of the selected namespaces.
    #[must_use]
    pub const fn pods_in(namespaces: Selector, pods: Selector) -> Self {
        Self::Pods {
            namespaces: Some(namespaces),
            pods,
        }
    }

    /// Everything in `cidr`.
    #[must_use]
    pub const fn block(cidr: Cidr) -> Self {
        Self::Block {
            cidr,
            except: Vec::new(),
        }
    }

    /// `cidr` without `except`, sorted and deduplicated; `None` if an exception is not strictly inside the prefix,
    /// which the API refuses.
    pub fn block_except(cidr: Cidr, except: impl IntoIterator<Item = Cidr>) -> Option<Self> {
        let mut except: Vec<Cidr> = except.into_iter().collect();
        except.sort_unstable();
        except.dedup();
        let inside = except.iter().all(|&hole| hole != cidr && cidr.covers(hole));
        inside.then_some(Self::Block { cidr, except })
    }
}

/// The ports of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ports {
    /// Every port of every protocol. In the API: no `ports`.
    Any,
    /// Only these.
    Of(OneOrMore<PortRule>),
}

/// Ports of one protocol.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortRule {
    /// The protocol.
    pub protocol: Protocol,
    /// Which of its ports.
    pub port: PortMatch,
}

impl PortRule {
    /// Whether it names this port by its number.
    #[must_use]
    pub fn takes(&self, protocol: Protocol, port: u16) -> bool {
        let by_number = match &self.port {
            PortMatch::Any => true,
            PortMatch::Range(range) => range.contains(port),
            PortMatch::Named(_) => false,
        };
        self.protocol == protocol && by_number
    }
}

/// Which ports of a protocol.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortMatch {
    /// All of them.
    Any,
    /// Those in the range; one number is a range of one.
    Range(PortRange),
    /// The container port of this name on the destination pod.
    Named(String),
}

/// Why policies do not make a set.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PolicySetError {
    /// Two policies of one kind with the same namespace and name: a cluster would hold only the last one applied.
    #[error(
        "{} `{namespace}/{name}` is defined twice{}, keep one of them",
        described_kind(*kind),
        described_places(first.as_ref(), second.as_ref())
    )]
    Duplicate {
        /// Of which kind both are.
        kind: PolicyKind,
        /// The namespace.
        namespace: String,
        /// The name.
        name: String,
        /// Where the first one is.
        first: Option<Source>,
        /// Where the other one is.
        second: Option<Source>,
    },
    /// Two policies of the cluster with the same kind and name.
    #[error(
        "{kind} `{name}` is defined twice{}, keep one of them",
        described_places(first.as_ref(), second.as_ref())
    )]
    DuplicateOfCluster {
        /// The kind.
        kind: &'static str,
        /// The name.
        name: String,
        /// Where the first one is.
        first: Option<Source>,
        /// Where the other one is.
        second: Option<Source>,
    },
    /// A policy that isolates in no direction. The API has no way to write it: without `policyTypes` it would deny all
    /// ingress.
    #[error("policy `{namespace}/{name}` isolates neither ingress nor egress, give it at least one")]
    NoDirection {
        /// The namespace.
        namespace: String,
        /// The name.
        name: String,
    },
}

fn described_kind(kind: PolicyKind) -> &'static str {
    match kind {
        PolicyKind::NetworkPolicy => "policy",
        PolicyKind::CalicoNetworkPolicy
        | PolicyKind::CiliumNetworkPolicy
        | PolicyKind::StagedKubernetesNetworkPolicy => kind.name(),
    }
}

fn described_places(first: Option<&Source>, second: Option<&Source>) -> String {
    match (first, second) {
        (Some(first), Some(second)) => format!(" (`{first}` and `{second}`)"),
        (Some(place), None) | (None, Some(place)) => format!(" (once in `{place}`)"),
        (None, None) => String::new(),
    }
}

/// A set of policies with unique (namespace, name, kind), in that order, and the policies of the cluster around them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicySet {
    policies: Vec<Policy>,
    of_cluster: Vec<ClusterPolicy>,
}

impl PolicySet {
    /// Sorts `policies` and checks that each (namespace, name, kind) occurs once and isolates in some direction.
    pub fn new(policies: impl IntoIterator<Item = Policy>) -> Result<Self, PolicySetError> {
        let mut by_name: BTreeMap<(String, String, PolicyKind), Policy> = BTreeMap::new();
        for policy in policies {
            let key = (policy.namespace.clone(), policy.name.clone(), policy.kind);
            if policy.ingress.is_none() && policy.egress.is_none() {
                let (namespace, name, _) = key;
                return Err(PolicySetError::NoDirection { namespace, name });
            }
            if let Some(first) = by_name.get(&key) {
                let (namespace, name, kind) = key;
                return Err(PolicySetError::Duplicate {
                    kind,
                    namespace,
                    name,
                    first: first.source.clone(),
                    second: policy.source,
                });
            }
            by_name.insert(key, policy);
        }
        Ok(Self {
            policies: by_name.into_values().collect(),
            of_cluster: Vec::new(),
        })
    }

    /// The same policies with these of the cluster around them, of which each kind and name occurs once. They are asked in the
    /// order of their tiers and priorities; of equal ones, for which the API has no order, in that of kind and name.
    pub fn with_cluster(self, policies: impl IntoIterator<Item = ClusterPolicy>) -> Result<Self, PolicySetError> {
        let mut of_cluster: Vec<ClusterPolicy> = policies.into_iter().collect();
        of_cluster.sort_by(|left, right| (left.kind, &left.name).cmp(&(right.kind, &right.name)));
        for pair in of_cluster.windows(2) {
            let [first, second] = pair else { continue };
            if (first.kind, &first.name) == (second.kind, &second.name) {
                return Err(PolicySetError::DuplicateOfCluster {
                    kind: first.kind.name(),
                    name: first.name.clone(),
                    first: first.source.clone(),
                    second: second.source.clone(),
                });
            }
        }
        of_cluster.sort_by_key(|policy| (policy.tier, policy.priority));
        Ok(Self { of_cluster, ..self })
    }

    /// The policies of the cluster in the order in which they are asked.
    #[must_use]
    pub fn of_cluster(&self) -> &[ClusterPolicy] {
        &self.of_cluster
    }

    /// The set with only those of its namespaced policies that are wanted.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(&Policy) -> bool) -> Self {
        Self {
            policies: self.policies.iter().filter(|policy| wanted(policy)).cloned().collect(),
            of_cluster: self.of_cluster.clone(),
        }
    }

    /// The policies by namespace, then name.
    #[must_use]
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// The policies by namespace, name and kind.
    pub fn iter(&self) -> std::slice::Iter<'_, Policy> {
        self.policies.iter()
    }

    /// The policy of this kind, namespace and name.
    #[must_use]
    pub fn get(&self, kind: PolicyKind, namespace: &str, name: &str) -> Option<&Policy> {
        let key = (namespace, name, kind);
        let at = self
            .policies
            .binary_search_by(|policy| (policy.namespace.as_str(), policy.name.as_str(), policy.kind).cmp(&key));
        at.ok().map(|index| &self.policies[index])
    }

    /// The policy that has the kind, namespace and name of another one.
    #[must_use]
    pub fn namesake(&self, other: &Policy) -> Option<&Policy> {
        self.get(other.kind, &other.namespace, &other.name)
    }

    /// The policies of one kind.
    #[must_use]
    pub fn of_kind(mut self, kind: PolicyKind) -> Self {
        self.policies.retain(|policy| policy.kind == kind);
        self
    }

    /// The same policies, with another peer in the place of each that policies of one kind name.
    #[must_use]
    pub(super) fn with_peers(mut self, kind: PolicyKind, replace: impl Fn(&Peer) -> Peer) -> Self {
        for policy in self.policies.iter_mut().filter(|policy| policy.kind == kind) {
            for rule in [&mut policy.ingress, &mut policy.egress]
                .into_iter()
                .flatten()
                .flatten()
            {
                if let Peers::Of(listed) = &rule.peers
                    && let Some(replaced) = OneOrMore::new(listed.iter().map(&replace))
                {
                    rule.peers = Peers::Of(replaced);
                }
            }
        }
        self
    }

    /// Every rule, with the policy it stands in.
    pub fn rules(&self) -> impl Iterator<Item = (&Policy, &Rule)> {
        let sections = self.policies.iter().flat_map(|policy| {
            let both = [Direction::Ingress, Direction::Egress].into_iter();
            both.map(move |direction| (policy, policy.rules(direction).unwrap_or_default()))
        });
        sections.flat_map(|(policy, rules)| rules.iter().map(move |rule| (policy, rule)))
    }

    /// Every rule of a policy of the cluster, with the policy it stands in.
    pub fn rules_of_cluster(&self) -> impl Iterator<Item = (&ClusterPolicy, &ClusterRule)> {
        let both = |policy| [Direction::Ingress, Direction::Egress].map(|direction| (policy, direction));
        let sections = self.of_cluster.iter().flat_map(both);
        sections.flat_map(|(policy, direction)| policy.rules(direction).iter().map(move |rule| (policy, rule)))
    }

    /// Whether there is no policy: everything is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty() && self.of_cluster.is_empty()
    }

    /// The policies by namespace, name and kind.
    #[must_use]
    pub fn into_policies(self) -> Vec<Policy> {
        self.policies
    }

    /// The same rules without notes and sources: what two sets are compared by.
    #[must_use]
    pub fn bare(&self) -> Self {
        Self {
            policies: self.policies.iter().map(Policy::bare).collect(),
            of_cluster: self.of_cluster.iter().map(ClusterPolicy::bare).collect(),
        }
    }
}

impl<'a> IntoIterator for &'a PolicySet {
    type Item = &'a Policy;
    type IntoIter = std::slice::Iter<'a, Policy>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn bare_rules(rules: &[Rule]) -> Vec<Rule> {
    let bare = |Rule {
                    peers,
                    ports,
                    notes: _,
                    source: _,
                }: &Rule| Rule::new(peers.clone(), ports.clone());
    rules.iter().map(bare).collect()
}
