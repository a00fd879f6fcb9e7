//! Which selector stands for a workload, and whether it selects exactly that workload's pods.

use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::cluster::WorkloadRow;
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

use super::volatile::{is_controlled, is_volatile};
use crate::counted::counted;
use crate::findings::{Code, Findings};
use crate::identity::Workload;
use crate::identity::cluster::{Cluster, Pod};
use crate::policy::names;
use crate::policy::one_or_more::OneOrMore;
use crate::policy::select::{Labels, Requirement, Selector, Test};

/// What a selector rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chosen {
    /// What an owner says: its selector, or its template.
    ByOwner,
    /// Nothing but the labels of the pods that the tape has.
    OfPods,
}

/// Selectors of workloads, each chosen and proved once.
#[derive(Debug)]
pub(super) struct Selectors<'a> {
    of: BTreeMap<&'a Workload, OfWorkload>,
}

/// The selector of a workload, and what there is to know about it.
#[derive(Debug)]
struct OfWorkload {
    /// `None` if no label of its pods can serve.
    selector: Option<Selector>,
    /// Others whose pods it also selects.
    overlaps: BTreeSet<Workload>,
    /// What is to be said if it is used.
    findings: Findings,
}

impl<'a> Selectors<'a> {
    /// Those of these workloads.
    pub(super) fn new(cluster: &Cluster, workloads: &[&'a Workload]) -> Self {
        let of = |workload: &&'a Workload| (*workload, OfWorkload::new(cluster, workload));
        let chosen: Vec<_> = workloads.par_iter().map(of).collect();
        Self {
            of: chosen.into_iter().collect(),
        }
    }

    /// The selector of a workload; `None` if no label of its pods can serve.
    pub(super) fn of(&self, workload: &Workload) -> Option<&Selector> {
        self.of.get(workload)?.selector.as_ref()
    }

    /// Reports what there is to know about the selectors of workloads that were asked for, and gives each of them with
    /// another whose pods its selector also selects.
    pub(super) fn report(&self, asked: BTreeSet<Workload>, findings: &mut Findings) -> BTreeSet<(Workload, Workload)> {
        let mut overlaps = BTreeSet::new();
        for workload in asked {
            if let Some(known) = self.of.get(&workload) {
                findings.absorb(known.findings.clone());
                overlaps.extend(known.overlaps.iter().map(|other| (workload.clone(), other.clone())));
            }
        }
        overlaps
    }
}

impl OfWorkload {
    fn new(cluster: &Cluster, workload: &Workload) -> Self {
        let mut findings = Findings::default();
        let mut overlaps = BTreeSet::new();
        let (selector, chosen) = choose(cluster, workload).unzip();
        let fault = selector.as_ref().and_then(|selector| fault(workload, selector));
        let selector = selector.filter(|_| fault.is_none());
        match &selector {
            Some(selector) => {
                if chosen == Some(Chosen::OfPods) && workload.kind != "Pod" {
                    let count = cluster.pods_of(workload).count();
                    let message = format!(
                        "the selector of {workload} is what the labels of its {} have in common",
                        counted(count, "pod", "pods")
                    );
                    findings.report(Code::SelectorOfPods, message);
                }
                overlaps = prove(cluster, workload, selector, &mut findings);
            }
            None if fault.is_some() => findings.report(
                Code::Unselectable,
                format!("{workload} has a name or labels that no API server takes, so no policy can be written"),
            ),
            None => findings.report(
                Code::Unselectable,
                format!("{workload} has no label that could select its pods"),
            ),
        }
        Self {
            selector,
            overlaps,
            findings,
        }
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

/// The workload's own selector, or the one that those have which it makes anew; otherwise the labels common to all its
/// pods and its template.
fn choose(cluster: &Cluster, workload: &Workload) -> Option<(Selector, Chosen)> {
    let row = cluster.owners.row(workload);
    if let Some(own) = row.and_then(own_selector).or_else(|| inherited(cluster, workload)) {
        return Some((own, Chosen::ByOwner));
    }
    let template = row.map(|row| &row.template_labels).filter(|labels| !labels.is_empty());
    let of_pods = cluster.pods_of(workload).flat_map(Pod::all_labels);
    let common = of_pods.chain(template).cloned().reduce(|mut common, labels| {
        common.retain(|key, value| labels.get(key) == Some(value));
        common
    });
    let stable: Labels = common?.into_iter().filter(|(key, _)| !is_volatile(key)).collect();
    let chosen = if template.is_some() {
        Chosen::ByOwner
    } else {
        Chosen::OfPods
    };
    (!stable.is_empty()).then(|| (Selector::from_labels(stable), chosen))
}

/// The selector of what a workload makes anew, as ReplicaSets are, where all agree: who makes them gives them its own
/// selector, less what tells revisions apart. It stands for owners that the metadata lacks, or that have none themselves.
fn inherited(cluster: &Cluster, workload: &Workload) -> Option<Selector> {
    let selector_of = |pod: &Pod| own_selector(cluster.owners.by_uid(pod.owner_uid.as_deref()?)?);
    let mut selectors = cluster.pods_of(workload).map(selector_of);
    let first = selectors.next()??;
    selectors.all(|other| other.as_ref() == Some(&first)).then_some(first)
}

/// What an owner selects by, less what a controller put there for one revision or run; `None` if nothing is left.
fn own_selector(row: &WorkloadRow) -> Option<Selector> {
    let labels = row.match_labels.iter().flatten().filter(|(key, _)| !is_controlled(key));
    let mut requirements: Vec<Requirement> = labels.map(|(key, value)| Requirement::equals(key, value)).collect();
    for expression in row
        .match_expressions
        .iter()
        .filter(|expression| !is_controlled(&expression.key))
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
    requirements.iter().any(positive).then(|| Selector::new(requirements))
}

/// Reports pods of the workload that the selector misses, and pods of others that it also selects, with whatever labels
/// they had at some time. Gives those others.
fn prove(cluster: &Cluster, workload: &Workload, selector: &Selector, findings: &mut Findings) -> BTreeSet<Workload> {
    // By name: pods of an earlier revision can bear labels that the template no longer has.
    let mut others: BTreeSet<Workload> = BTreeSet::new();
    for pod in cluster.pods_in(&workload.namespace).filter(|pod| !pod.host_network) {
        let own = pod.workload == *workload;
        if !own && pod.all_labels().any(|labels| selector.matches(labels)) {
            others.insert(pod.workload.clone());
        }
        let missed = pod.all_labels().filter(|labels| !selector.matches(labels)).count();
        if own && missed > 0 {
            let pod_name = format!("{}/{}", pod.namespace, pod.name);
            let message = if missed > pod.earlier_labels.len() {
                format!("the selector of {workload} misses its pod {pod_name}")
            } else {
                format!(
                    "the selector of {workload} missed its pod {pod_name} for a part of the window: its labels changed"
                )
            };
            findings.report(Code::SelectorOverlap, message);
        }
    }
    for (other, row) in cluster.owners.templates_in(&workload.namespace) {
        let same = other.kind == workload.kind && other.name == workload.name;
        if !same && !other.host_network && selector.matches(&row.template_labels) {
            others.insert(other.clone());
        }
    }
    for other in &others {
        findings.report(
            Code::SelectorOverlap,
            format!("the selector of {workload} also selects pods of {other}"),
        );
    }
    others
}
