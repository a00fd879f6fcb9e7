//! Which selector stands for a workload, and whether it selects exactly that workload's pods.

use std::collections::{BTreeMap, BTreeSet};

use crate::findings::{Code, Findings};
use crate::identity::Workload;
use crate::identity::cluster::Cluster;
use crate::policy::names;
use crate::policy::one_or_more::OneOrMore;
use crate::policy::select::{Labels, Requirement, Selector, Test};

/// Labels that change with a revision, a run or a pod, so that no selector may rest on them.
const VOLATILE: [&str; 12] = [
    // Deployment controller: `apps/v1` DefaultDeploymentUniqueLabelKey.
    "pod-template-hash",
    // StatefulSet and DaemonSet controllers: `apps/v1` ControllerRevisionHashLabelKey, and its predecessor.
    "controller-revision-hash",
    "pod-template-generation",
    // StatefulSet controller: `apps/v1` StatefulSetPodNameLabel, PodIndexLabel.
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    // Job controller: `batch/v1` ControllerUidLabel, JobNameLabel and their predecessors, JobCompletionIndexAnnotation.
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
    "batch.kubernetes.io/job-completion-index",
    "controller-uid",
    "job-name",
    // Argo Rollouts: DefaultRolloutUniqueLabelKey.
    "rollouts-pod-template-hash",
    // OpenShift deployment configurations: the name of one revision.
    "deployment",
];

/// Selectors of workloads, each chosen and proved once.
#[derive(Debug, Default)]
pub(super) struct Selectors {
    chosen: BTreeMap<Workload, Option<Selector>>,
}

impl Selectors {
    /// The selector of a workload; `None` if no label of its pods can serve.
    pub(super) fn of(&mut self, cluster: &Cluster, workload: &Workload, findings: &mut Findings) -> Option<Selector> {
        if let Some(known) = self.chosen.get(workload) {
            return known.clone();
        }
        let selector = choose(cluster, workload);
        let fault = selector.as_ref().and_then(|selector| fault(workload, selector));
        let selector = selector.filter(|_| fault.is_none());
        match &selector {
            Some(selector) => prove(cluster, workload, selector, findings),
            None if fault.is_some() => findings.report(
                Code::Unselectable,
                format!("{workload} has a name or labels that no API server takes, so no policy can be written"),
            ),
            None => findings.report(
                Code::Unselectable,
                format!("{workload} has no label that could select its pods"),
            ),
        }
        self.chosen.insert(workload.clone(), selector.clone());
        selector
    }
}

/// The rule that a policy for this workload would break. An API server lets no such workload in, a tape may claim one.
fn fault(workload: &Workload, selector: &Selector) -> Option<&'static str> {
    let of_values = |values: &OneOrMore<String>| values.iter().find_map(|value| names::label_value_fault(value));
    let of_requirement = |requirement: &Requirement| {
        names::label_key_fault(&requirement.key).or_else(|| match &requirement.test {
            Test::In(values) | Test::NotIn(values) => of_values(values),
            Test::Exists | Test::DoesNotExist => None,
        })
    };
    names::namespace_fault(&workload.namespace)
        .or_else(|| names::policy_name_fault(&workload.name))
        .or_else(|| selector.requirements().iter().find_map(of_requirement))
}

/// The workload's own selector where it has one; otherwise the labels common to its pods or its template.
fn choose(cluster: &Cluster, workload: &Workload) -> Option<Selector> {
    let own = own_requirements(cluster, workload);
    if !own.is_empty() {
        return Some(Selector::new(own));
    }
    let template = cluster.owners.row(workload).map(|row| row.template_labels.clone());
    let labels = common_labels(cluster, workload).or(template)?;
    let stable: Labels = labels.into_iter().filter(|(key, _)| !is_volatile(key)).collect();
    (!stable.is_empty()).then(|| Selector::from_labels(stable))
}

fn is_volatile(key: &str) -> bool {
    VOLATILE.contains(&key)
}

/// Whether a key of a workload's own selector was put there for one revision or run. `deployment` was not: it names a
/// revision only on the pods of an OpenShift deployment configuration, which selects by `deploymentconfig`; others who
/// select by it chose it themselves, as `oc new-app` does.
fn is_volatile_selector(key: &str) -> bool {
    key != "deployment" && is_volatile(key)
}

fn own_requirements(cluster: &Cluster, workload: &Workload) -> Vec<Requirement> {
    let Some(row) = cluster.owners.row(workload) else {
        return Vec::new();
    };
    let labels = row
        .match_labels
        .iter()
        .flatten()
        .filter(|(key, _)| !is_volatile_selector(key));
    let mut requirements: Vec<Requirement> = labels.map(|(key, value)| Requirement::equals(key, value)).collect();
    for expression in row
        .match_expressions
        .iter()
        .filter(|expression| !is_volatile_selector(&expression.key))
    {
        let values = || OneOrMore::new(expression.values.iter().cloned());
        let test = match expression.operator.as_str() {
            "In" => values().map(Test::In),
            "NotIn" => values().map(Test::NotIn),
            "Exists" => Some(Test::Exists),
            "DoesNotExist" => Some(Test::DoesNotExist),
            // An operator this build does not know: the proof will show whom the rest also selects.
            _ => None,
        };
        requirements.extend(test.map(|test| Requirement {
            key: expression.key.clone(),
            test,
        }));
    }
    // A selector of negations alone would select by absence, which any new pod meets.
    let positive = |requirement: &Requirement| matches!(requirement.test, Test::In(_) | Test::Exists);
    if requirements.iter().any(positive) {
        requirements
    } else {
        Vec::new()
    }
}

fn common_labels(cluster: &Cluster, workload: &Workload) -> Option<Labels> {
    cluster
        .pods_of(workload)
        .map(|pod| pod.labels.clone())
        .reduce(|common, labels| {
            common
                .into_iter()
                .filter(|(key, value)| labels.get(key) == Some(value))
                .collect()
        })
}

/// Reports pods of the workload that the selector misses, and pods of others that it also selects.
fn prove(cluster: &Cluster, workload: &Workload, selector: &Selector, findings: &mut Findings) {
    // By name: pods of an earlier revision can bear labels that the template no longer has.
    let mut others: BTreeSet<String> = BTreeSet::new();
    for pod in cluster
        .pods
        .values()
        .filter(|pod| pod.namespace == workload.namespace && !pod.host_network)
    {
        let selected = selector.matches(&pod.labels);
        if selected && pod.workload != *workload {
            others.insert(pod.workload.to_string());
        }
        if !selected && pod.workload == *workload {
            let message = format!(
                "the selector of {workload} misses its pod {}/{}",
                pod.namespace, pod.name
            );
            findings.report(Code::SelectorOverlap, message);
        }
    }
    for row in cluster
        .owners
        .topmost()
        .filter(|row| row.namespace == workload.namespace)
    {
        let same = row.kind == workload.kind && row.name == workload.name;
        if !same && !row.template_host_network && selector.matches(&row.template_labels) {
            others.insert(format!("{}/{}/{}", row.namespace, row.kind, row.name));
        }
    }
    for other in others {
        findings.report(
            Code::SelectorOverlap,
            format!("the selector of {workload} also selects pods of {other}"),
        );
    }
}
