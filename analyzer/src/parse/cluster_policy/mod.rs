//! One AdminNetworkPolicy, BaselineAdminNetworkPolicy or ClusterNetworkPolicy as a policy of the model, with the checks of an
//! API server that has their definitions.
//!
//! Source: kubernetes-sigs/network-policy-api, the validation markers of `apis/v1alpha1` (v0.1.7) and of
//! `apis/v1alpha2/clusternetworkpolicy_types.go` (v0.2.0), experimental channel. Stricter than those are two points that the
//! field docs state and no marker checks: a range ends behind its start, and `domainNames` stand in rules that allow.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::policy::cluster::{Action, ClusterKind, ClusterPeer, ClusterPolicy, ClusterRule, Subject, Tier};
use crate::policy::model::{Direction, PortMatch, PortRule, Ports};
use crate::policy::names;
use crate::policy::one_or_more::OneOrMore;
use crate::policy::select::Selector;

use self::fields::{Object, Pod, Pods, Rule, Spec, object};
use super::marked::Node;
use super::network_policy::reader::Reader;
use super::report::{Path, Problem, ProblemKind, Warning, WarningKind};
use super::shape;

mod fields;
mod peers;
mod ports;

/// The highest number of a priority (`Maximum=1000`).
const LAST_PRIORITY: i32 = 1000;

/// The longest name of a rule (`MaxLength=100`).
const RULE_NAME: usize = 100;

/// What became of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The policy, if there is no problem.
    pub policy: Option<ClusterPolicy>,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
    /// What is legal and probably not meant.
    pub warnings: Vec<Warning>,
}

/// The most entries that a list of a kind may have: rules, peers and ports (`MaxItems`).
const fn most(kind: ClusterKind) -> usize {
    match kind {
        ClusterKind::Admin | ClusterKind::BaselineAdmin => 100,
        ClusterKind::Cluster => 25,
    }
}

/// Reads the object `root`, whose `apiVersion` and `kind` have been checked.
#[must_use]
pub fn read(file: &Arc<str>, root: &Node, kind: ClusterKind) -> Outcome {
    let name = root.get("metadata").and_then(|metadata| metadata.get("name"));
    let mut reader = Reader {
        file,
        root,
        object: match name.and_then(Node::text) {
            Some(name) => format!("{} `{name}`", kind.name()),
            None => kind.name().to_owned(),
        },
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    let policy = reader.cluster_object(kind);
    let Reader { problems, warnings, .. } = reader;
    Outcome {
        policy: policy.filter(|_| problems.is_empty()),
        problems,
        warnings,
    }
}

impl Reader<'_> {
    fn cluster_object(&mut self, kind: ClusterKind) -> Option<ClusterPolicy> {
        let value = shape::typed(object(kind), self.root, &Path::default(), self)?;
        match serde_yaml::from_value::<Object>(value) {
            Ok(Object { metadata, spec }) => {
                let name = self.cluster_name(metadata, kind);
                if spec.is_none() {
                    self.invalid(&Path::default().field("spec"), ProblemKind::Required);
                }
                self.cluster_policy(kind, name, spec?)
            }
            Err(error) => {
                let message = error.to_string();
                self.invalid(&Path::default(), ProblemKind::Typed { message });
                None
            }
        }
    }

    fn cluster_name(&mut self, metadata: ObjectMeta, kind: ClusterKind) -> String {
        let path = Path::default().field("metadata");
        let name = metadata.name.unwrap_or_default();
        if name.is_empty() {
            self.invalid(&path.field("name"), ProblemKind::Required);
        } else if kind == ClusterKind::BaselineAdmin && name != "default" {
            self.choice(&path.field("name"), &name, "`default`, of which a cluster has one");
        } else {
            self.check(names::policy_name_fault(&name), &name, &path.field("name"));
        }
        if metadata.namespace.is_some_and(|namespace| !namespace.is_empty()) {
            self.warn(&path.field("namespace"), WarningKind::NamespaceOfCluster);
        }
        self.maps(metadata.labels, metadata.annotations, &path);
        name
    }

    fn cluster_policy(&mut self, kind: ClusterKind, name: String, spec: Spec) -> Option<ClusterPolicy> {
        let path = Path::default().field("spec");
        let Spec {
            tier,
            priority,
            subject,
            ingress,
            egress,
        } = spec;
        let tier = match kind {
            ClusterKind::Admin => Some(Tier::Admin),
            ClusterKind::BaselineAdmin => Some(Tier::Baseline),
            ClusterKind::Cluster => self.tier(tier, &path.field("tier")),
        };
        let priority = match kind {
            ClusterKind::BaselineAdmin => Some(0),
            ClusterKind::Admin | ClusterKind::Cluster => self.priority(priority, &path.field("priority")),
        };
        let subject = self.subject(subject, kind, &path.field("subject"));
        let ingress = self.cluster_section(kind, Direction::Ingress, ingress);
        let egress = self.cluster_section(kind, Direction::Egress, egress);
        Some(ClusterPolicy {
            kind,
            name,
            tier: tier?,
            priority: priority?,
            subject: subject?,
            ingress: ingress?,
            egress: egress?,
            source: Some(self.source(&Path::default())),
        })
    }

    fn tier(&mut self, tier: Option<String>, path: &Path) -> Option<Tier> {
        let Some(name) = tier else {
            self.invalid(path, ProblemKind::Required);
            return None;
        };
        let known = [Tier::Admin, Tier::Baseline]
            .into_iter()
            .find(|tier| tier.name() == name);
        if known.is_none() {
            self.choice(path, &name, "`Admin`, `Baseline`");
        }
        known
    }

    fn priority(&mut self, priority: Option<i32>, path: &Path) -> Option<u16> {
        let Some(value) = priority else {
            self.invalid(path, ProblemKind::Required);
            return None;
        };
        let valid = u16::try_from(value).ok().filter(|_| value <= LAST_PRIORITY);
        if valid.is_none() {
            let last = LAST_PRIORITY;
            self.invalid(path, ProblemKind::Priority { value, last });
        }
        valid
    }

    fn subject(&mut self, subject: Option<Pods>, kind: ClusterKind, path: &Path) -> Option<Subject> {
        let Some(Pods { namespaces, pods }) = subject else {
            self.invalid(path, ProblemKind::Required);
            return None;
        };
        match (namespaces, pods) {
            (Some(namespaces), None) => Some(Subject {
                namespaces: self.selector(namespaces, &path.field("namespaces"))?,
                pods: Selector::everything(),
            }),
            (None, Some(pods)) => {
                let (namespaces, pods) = self.pods_of_namespaces(pods, kind, &path.field("pods"))?;
                Some(Subject { namespaces, pods })
            }
            (None, None) | (Some(_), Some(_)) => {
                let fields = "`namespaces`, `pods`";
                self.invalid(path, ProblemKind::ExactlyOne { fields });
                None
            }
        }
    }

    /// The selectors of namespaces and of pods. Only a ClusterNetworkPolicy may leave out the first, and then means all.
    fn pods_of_namespaces(&mut self, pod: Pod, kind: ClusterKind, path: &Path) -> Option<(Selector, Selector)> {
        let Pod {
            namespace_selector,
            pod_selector,
        } = pod;
        let (namespaces_path, pods_path) = (path.field("namespaceSelector"), path.field("podSelector"));
        if namespace_selector.is_none() && kind != ClusterKind::Cluster {
            self.invalid(&namespaces_path, ProblemKind::Required);
        }
        if pod_selector.is_none() {
            self.invalid(&pods_path, ProblemKind::Required);
        }
        let namespaces = self.selector(namespace_selector.unwrap_or_default(), &namespaces_path);
        let pods = self.selector(pod_selector.unwrap_or_default(), &pods_path);
        Some((namespaces?, pods?))
    }

    fn cluster_section(
        &mut self,
        kind: ClusterKind,
        direction: Direction,
        rules: Vec<Rule>,
    ) -> Option<Vec<ClusterRule>> {
        let path = Path::default().field("spec").field(direction.name());
        self.count(rules.len(), 0, most(kind), &path);
        let read: Vec<Option<ClusterRule>> = rules
            .into_iter()
            .enumerate()
            .map(|(at, rule)| self.cluster_rule(kind, direction, rule, &path.index(at)))
            .collect();
        read.into_iter().collect()
    }

    fn cluster_rule(
        &mut self,
        kind: ClusterKind,
        direction: Direction,
        rule: Rule,
        path: &Path,
    ) -> Option<ClusterRule> {
        let Rule {
            name,
            action,
            from,
            to,
            ports,
            protocols,
        } = rule;
        let length = name.chars().count();
        if length > RULE_NAME {
            let most = RULE_NAME;
            self.invalid(&path.field("name"), ProblemKind::TooLong { length, most });
        }
        let action = self.action(kind, &action, &path.field("action"));
        let (field, peers) = match direction {
            Direction::Ingress => ("from", from),
            Direction::Egress => ("to", to),
        };
        let peers = self.cluster_peers(kind, peers, &path.field(field));
        let ports = match kind {
            ClusterKind::Admin | ClusterKind::BaselineAdmin => self.admin_ports(ports, &path.field("ports")),
            ClusterKind::Cluster => self.protocols(protocols, &path.field("protocols")),
        };
        let (action, peers, ports) = (action?, peers?, ports?);
        let elsewhere = |peer: &ClusterPeer| match peer {
            ClusterPeer::Plain(peer) => matches!(peer, crate::policy::model::Peer::Block { .. }),
            ClusterPeer::Nodes(_) | ClusterPeer::Domains(_) => true,
        };
        if has_names(&ports) && peers.iter().any(elsewhere) {
            self.invalid(path, ProblemKind::NamedPortElsewhere);
        }
        let has_domains = peers.iter().any(|peer| matches!(peer, ClusterPeer::Domains(_)));
        if has_domains && action != Action::Allow {
            self.invalid(path, ProblemKind::DomainsNotAllowed);
        }
        Some(ClusterRule {
            action,
            peers,
            ports,
            source: Some(self.source(path)),
        })
    }

    fn action(&mut self, kind: ClusterKind, action: &str, path: &Path) -> Option<Action> {
        let known = match (kind, action) {
            (ClusterKind::Admin | ClusterKind::BaselineAdmin, "Allow") | (ClusterKind::Cluster, "Accept") => {
                Some(Action::Allow)
            }
            (_, "Deny") => Some(Action::Deny),
            (ClusterKind::Admin | ClusterKind::Cluster, "Pass") => Some(Action::Pass),
            (_, "") => {
                self.invalid(path, ProblemKind::Required);
                return None;
            }
            _ => None,
        };
        if known.is_none() {
            let allowed = match kind {
                ClusterKind::Admin => "`Allow`, `Deny`, `Pass`",
                ClusterKind::BaselineAdmin => "`Allow`, `Deny`",
                ClusterKind::Cluster => "`Accept`, `Deny`, `Pass`",
            };
            self.choice(path, action, allowed);
        }
        known
    }

    fn count(&mut self, found: usize, least: usize, most: usize, path: &Path) {
        if !(least..=most).contains(&found) {
            self.invalid(path, ProblemKind::Count { found, least, most });
        }
    }
}

fn has_names(ports: &Ports) -> bool {
    let is_name = |port: &PortRule| matches!(port.port, PortMatch::Named(_));
    match ports {
        Ports::Any => false,
        Ports::Of(listed) => listed.iter().any(is_name),
    }
}

/// The set of what could be read, if all of it could: a list that lost members must not mean something else.
fn all<T: Ord>(read: Vec<Option<T>>) -> Option<OneOrMore<T>> {
    OneOrMore::new(read.into_iter().collect::<Option<Vec<T>>>()?)
}
