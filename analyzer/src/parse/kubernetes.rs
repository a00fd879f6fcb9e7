//! Kubernetes manifests as a policy set.
//!
//! Takes what `kubectl apply` takes and what `kubectl get -o yaml|json` prints: several documents in a file, and lists.
//! Objects of other kinds are left alone and named in [`Parsed::skipped`].

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

use crate::policy::cluster::{ClusterKind, ClusterPolicy};
use crate::policy::kind::PolicyKind;
use crate::policy::model::{Policy, PolicySet, PolicySetError, Source};

use super::dialect::{self, calico, cilium, staged};
use super::marked::{self, Node, Value};
use super::report::{Path, Problem, ProblemKind, Problems, Refusal, Skipped, Warning};
use super::{cluster_policy, network_policy};

const KIND: &str = "NetworkPolicy";
const VERSION: &str = "networking.k8s.io/v1";
const CALICO: &str = "projectcalico.org/v3";
const CILIUM: &str = "cilium.io/v2";

/// The policies of some files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The policies.
    pub set: PolicySet,
    /// Policies that are not in force, by place.
    pub staged: Vec<Policy>,
    /// Policies of network plugins that say what is not evaluated, each with the first thing of that kind, by place.
    pub refused: Vec<Refusal>,
    /// Objects of other kinds, by version, kind and place.
    pub skipped: Vec<Skipped>,
    /// What is legal and probably not meant, by place.
    pub warnings: Vec<Warning>,
}

/// Whether a file is a kustomization without a kind.
fn is_kustomization(name: &str, text: &str) -> bool {
    let is_called_so = matches!(
        name.rsplit('/').next(),
        Some("kustomization.yaml" | "kustomization.yml")
    );
    is_called_so && !text.lines().any(|line| line.starts_with("kind:"))
}

/// Reads the policies of `files`, given as (name, text). The names occur in messages and in the sources of policies and
/// are not opened. The order of the files does not matter. A `kustomization.yaml` without a kind is left out: Kustomize knows it by its name.
///
/// Either everything is valid, or all problems of all files are returned, by place.
pub fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Parsed, Problems> {
    let files = files.into_iter().filter(|(name, text)| !is_kustomization(name, text));
    let files: Vec<(&str, &str)> = files.collect();
    let read = |&(name, text): &(&str, &str)| {
        let mut found = Found::default();
        found.file(&Arc::from(name), text);
        found
    };
    // Collected in the order of the files, whatever thread read which.
    let all: Vec<Found> = files.par_iter().map(read).collect();
    let mut found = Found::default();
    for one in all {
        found.append(one);
    }
    found.report_duplicates();
    let Found {
        policies,
        of_cluster,
        mut staged,
        mut refused,
        mut skipped,
        mut warnings,
        mut problems,
    } = found;
    problems.sort_by(|left, right| left.place.cmp(&right.place));
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    staged.sort_by(|left, right| left.source.cmp(&right.source));
    refused.sort_by(|left, right| left.place.cmp(&right.place));
    skipped.sort();
    warnings.sort_by(|left, right| left.place.cmp(&right.place));
    let unplaced = Source {
        file: Arc::from(""),
        line: 0,
    };
    let set = PolicySet::new(policies).and_then(|set| set.with_cluster(of_cluster));
    let set = set.map_err(|error| Problems(vec![problem(unplaced, error.into())]))?;
    Ok(Parsed {
        set,
        staged,
        refused,
        skipped,
        warnings,
    })
}

#[derive(Default)]
struct Found {
    policies: Vec<Policy>,
    of_cluster: Vec<ClusterPolicy>,
    staged: Vec<Policy>,
    refused: Vec<Refusal>,
    skipped: Vec<Skipped>,
    warnings: Vec<Warning>,
    problems: Vec<Problem>,
}

impl Found {
    fn append(&mut self, other: Self) {
        let Self {
            policies,
            of_cluster,
            staged,
            refused,
            skipped,
            warnings,
            problems,
        } = other;
        self.policies.extend(policies);
        self.of_cluster.extend(of_cluster);
        self.staged.extend(staged);
        self.refused.extend(refused);
        self.skipped.extend(skipped);
        self.warnings.extend(warnings);
        self.problems.extend(problems);
    }

    fn file(&mut self, name: &Arc<str>, text: &str) {
        let (documents, faults) = marked::documents(text);
        let place = |line| Source {
            file: Arc::clone(name),
            line,
        };
        self.problems
            .extend(faults.into_iter().map(|fault| problem(place(fault.line), fault.what)));
        for document in documents.iter().filter(|document| !document.is_null()) {
            self.object(name, document, None);
        }
    }

    /// One object. `typed_list` is the (version, kind) of its members where a list has said so once for all.
    fn object(&mut self, file: &Arc<str>, node: &Node, typed_list: Option<(&str, &str)>) {
        let place = Source {
            file: Arc::clone(file),
            line: node.line,
        };
        let (list_version, list_kind) = typed_list.unzip();
        let missing = if !matches!(node.value, Value::Map(_)) {
            Some("`apiVersion` and `kind` are")
        } else if text(node, "kind").or(list_kind).is_none() {
            Some("`kind` is")
        } else if text(node, "apiVersion").or(list_version).is_none() {
            Some("`apiVersion` is")
        } else {
            None
        };
        if let Some(missing) = missing {
            self.problems.push(problem(place, ProblemKind::NotAnObject { missing }));
            return;
        }
        let kind = text(node, "kind").or(list_kind).unwrap_or_default();
        let version = text(node, "apiVersion").or(list_version).unwrap_or_default();
        match (version, kind) {
            ("v1", "List") => self.items(file, node, None),
            (VERSION, "NetworkPolicyList") => self.items(file, node, Some((VERSION, KIND))),
            (CALICO, "NetworkPolicyList") => self.items(file, node, Some((CALICO, KIND))),
            (CILIUM, "CiliumNetworkPolicyList") => self.items(file, node, Some((CILIUM, "CiliumNetworkPolicy"))),
            (VERSION, KIND) => self.policy(file, node),
            (_, kind) if let Some(of) = cluster_kind(version, kind) => self.cluster_policy(file, node, of),
            (_, list) if let Some(of) = list.strip_suffix("List").and_then(|kind| cluster_kind(version, kind)) => {
                self.items(file, node, Some((version, of.name())));
            }
            (CALICO, KIND) => self.dialect(calico::read(file, node)),
            (CALICO, "StagedKubernetesNetworkPolicy") => self.dialect(staged::read(file, node)),
            (CILIUM, "CiliumNetworkPolicy") => self.dialect(cilium::read(file, node)),
            (_, KIND) if !is_foreign(version) => {
                self.problems.push(problem(
                    place,
                    ProblemKind::Version {
                        found: version.to_owned(),
                    },
                ));
            }
            // It names files and is never in a cluster.
            (_, "Kustomization") if version.starts_with("kustomize.config.k8s.io/") => {}
            _ => self.skipped.push(Skipped {
                api_version: version.to_owned(),
                kind: kind.to_owned(),
                place,
            }),
        }
    }

    fn items(&mut self, file: &Arc<str>, node: &Node, typed_list: Option<(&str, &str)>) {
        let Some(items) = node.get("items").filter(|items| !items.is_null()) else {
            return;
        };
        match &items.value {
            Value::List(list) => list.iter().for_each(|item| self.object(file, item, typed_list)),
            Value::Scalar(_) | Value::Map(_) => {
                let place = Source {
                    file: Arc::clone(file),
                    line: items.line,
                };
                let what = ProblemKind::Type {
                    expected: "a list",
                    found: items.described(),
                    quote: false,
                };
                self.problems.push(Problem {
                    path: Path::default().field("items"),
                    ..problem(place, what)
                });
            }
        }
    }

    fn policy(&mut self, file: &Arc<str>, node: &Node) {
        let outcome = network_policy::read(file, node);
        self.policies.extend(outcome.policy);
        self.problems.extend(outcome.problems);
        self.warnings.extend(outcome.warnings);
    }

    fn cluster_policy(&mut self, file: &Arc<str>, node: &Node, kind: ClusterKind) {
        let outcome = cluster_policy::read(file, node, kind);
        self.of_cluster.extend(outcome.policy);
        self.problems.extend(outcome.problems);
        self.warnings.extend(outcome.warnings);
    }

    fn dialect(&mut self, outcome: dialect::Outcome) {
        let dialect::Outcome {
            policy,
            refusals,
            problems,
            warnings,
        } = outcome;
        let in_force = policy
            .as_ref()
            .is_none_or(|policy| policy.kind != PolicyKind::StagedKubernetesNetworkPolicy);
        if in_force { &mut self.policies } else { &mut self.staged }.extend(policy);
        self.refused.extend(refusals.into_iter().next());
        self.problems.extend(problems);
        self.warnings.extend(warnings);
    }

    /// Reports every policy whose name another one has already, in the order of their places.
    fn report_duplicates(&mut self) {
        self.policies.sort_by(|left, right| left.source.cmp(&right.source));
        let mut first: BTreeMap<(PolicyKind, &str, &str), &Policy> = BTreeMap::new();
        for policy in &self.policies {
            let key = (policy.kind, policy.namespace.as_str(), policy.name.as_str());
            let Some(earlier) = first.get(&key) else {
                first.insert(key, policy);
                continue;
            };
            let error = PolicySetError::Duplicate {
                kind: policy.kind,
                namespace: policy.namespace.clone(),
                name: policy.name.clone(),
                first: earlier.source.clone(),
                second: policy.source.clone(),
            };
            self.problems
                .extend(policy.source.clone().map(|place| problem(place, error.into())));
        }
        self.of_cluster.sort_by(|left, right| left.source.cmp(&right.source));
        let mut first: BTreeMap<(ClusterKind, &str), &ClusterPolicy> = BTreeMap::new();
        for policy in &self.of_cluster {
            let key = (policy.kind, policy.name.as_str());
            let Some(earlier) = first.get(&key) else {
                first.insert(key, policy);
                continue;
            };
            let error = PolicySetError::DuplicateOfCluster {
                kind: policy.kind.name(),
                name: policy.name.clone(),
                first: earlier.source.clone(),
                second: policy.source.clone(),
            };
            self.problems
                .extend(policy.source.clone().map(|place| problem(place, error.into())));
        }
    }
}

/// The kind of policy of the cluster that an object is. `v1beta1` of a ClusterNetworkPolicy has the fields of `v1alpha2`.
fn cluster_kind(version: &str, kind: &str) -> Option<ClusterKind> {
    let version = version.strip_prefix("policy.networking.k8s.io/")?;
    match (version, kind) {
        ("v1alpha1", "AdminNetworkPolicy") => Some(ClusterKind::Admin),
        ("v1alpha1", "BaselineAdminNetworkPolicy") => Some(ClusterKind::BaselineAdmin),
        ("v1alpha2" | "v1beta1", "ClusterNetworkPolicy") => Some(ClusterKind::Cluster),
        _ => None,
    }
}

/// A group of its own that is not one of Kubernetes, such as `projectcalico.org/v3`, which has a `NetworkPolicy` too.
fn is_foreign(version: &str) -> bool {
    let group = version.split_once('/').map_or("", |(group, _)| group);
    group.contains('.') && !group.ends_with("k8s.io")
}

fn text<'a>(node: &'a Node, field: &str) -> Option<&'a str> {
    node.get(field).and_then(Node::text)
}

fn problem(place: Source, what: ProblemKind) -> Problem {
    Problem {
        place,
        object: String::new(),
        path: Path::default(),
        what,
    }
}
