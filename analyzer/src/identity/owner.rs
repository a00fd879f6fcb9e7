//! From a pod to the workload that stays the same over revisions, runs and restarts.

use std::collections::BTreeMap;

use flowtape_schemas::cluster::{PodRow, WorkloadRow};

use super::Workload;

/// A chain of owners in real clusters has two steps; more than this is a loop in broken metadata.
const MAX_STEPS: usize = 8;

/// Kinds that their owner makes anew for each revision or run, so that the owner is the workload: ReplicaSets of
/// Deployments, Argo Rollouts and others, Jobs of CronJobs and others, ReplicationControllers of OpenShift's deployment
/// configurations. What owns a Deployment or a StatefulSet, as operators do, stays the same as well, but often owns
/// several that have nothing to do with each other.
const MADE_ANEW: [(&str, &str); 3] = [("apps", "ReplicaSet"), ("batch", "Job"), ("", "ReplicationController")];

/// What owns pods, by UID.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    by_uid: BTreeMap<String, WorkloadRow>,
    /// The UID that a namespace, kind and name stood for last.
    by_name: BTreeMap<(String, String, String), String>,
    /// Workloads with the UID of a pod template of theirs, by namespace.
    templates: BTreeMap<String, Vec<(Workload, String)>>,
}

/// The next owner up: its UID, kind and name.
struct Owner<'a> {
    uid: &'a str,
    kind: &'a str,
    name: &'a str,
}

impl Owners {
    /// Collects the workloads of a tape; of several versions the last counts.
    #[must_use]
    pub fn new(rows: &[WorkloadRow]) -> Self {
        let mut versions: Vec<&WorkloadRow> = rows.iter().collect();
        versions.sort_by_key(|row| row.valid_from);
        let name = |row: &WorkloadRow| (row.namespace.clone(), row.kind.clone(), row.name.clone());
        let by_name = versions.iter().map(|row| (name(row), row.uid.clone())).collect();
        let by_uid = versions.into_iter().map(|row| (row.uid.clone(), row.clone())).collect();
        Self {
            by_name,
            templates: templates(&by_uid),
            by_uid,
        }
    }

    /// The workload of a pod: its owner, or the owner of that where it is made anew for each revision or run. Also an
    /// owner that is named and that the metadata lacks, if there is one.
    #[must_use]
    pub fn workload_of(&self, pod: &PodRow) -> (Workload, Option<String>) {
        let workload = |kind: &str, name: &str| Workload {
            namespace: pod.namespace.clone(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            host_network: pod.host_network,
        };
        let Some(mut owner) = owner_of_pod(pod) else {
            return (workload("Pod", &pod.name), None);
        };
        // The mirror pod of a static pod is owned by its node, which is no workload. The kubelet names it after its
        // manifest and that node (`pkg/kubelet/config` generatePodName), and nodes that have the manifest share it.
        if owner.kind == "Node" {
            let of_node = pod
                .name
                .strip_suffix(owner.name)
                .and_then(|name| name.strip_suffix('-'));
            return (
                workload("Pod", of_node.filter(|name| !name.is_empty()).unwrap_or(&pod.name)),
                None,
            );
        }
        for _ in 0..MAX_STEPS {
            let Some(row) = self.by_uid.get(owner.uid) else {
                let missing = format!("{} `{}/{}`", owner.kind, pod.namespace, owner.name);
                return (workload(owner.kind, owner.name), Some(missing));
            };
            let Some(next) = owner_of_workload(row) else {
                return (workload(&row.kind, &row.name), None);
            };
            owner = next;
        }
        (workload(owner.kind, owner.name), None)
    }

    /// The metadata of a workload, if the tape has it.
    #[must_use]
    pub fn row(&self, workload: &Workload) -> Option<&WorkloadRow> {
        let Workload {
            namespace, kind, name, ..
        } = workload;
        let uid = self.by_name.get(&(namespace.clone(), kind.clone(), name.clone()))?;
        self.by_uid.get(uid)
    }

    /// The metadata of an owner.
    #[must_use]
    pub fn by_uid(&self, uid: &str) -> Option<&WorkloadRow> {
        self.by_uid.get(uid)
    }

    /// The pod templates of workloads: what a workload makes anew has a copy, which counts only where the workload itself is
    /// not in the metadata.
    pub fn templates(&self) -> impl Iterator<Item = (&Workload, &WorkloadRow)> {
        self.templates.keys().flat_map(|namespace| self.templates_in(namespace))
    }

    /// Those of one namespace.
    pub fn templates_in(&self, namespace: &str) -> impl Iterator<Item = (&Workload, &WorkloadRow)> {
        let all = self.templates.get(namespace).into_iter().flatten();
        all.filter_map(|(workload, uid)| Some((workload, self.by_uid.get(uid)?)))
    }
}

fn templates(by_uid: &BTreeMap<String, WorkloadRow>) -> BTreeMap<String, Vec<(Workload, String)>> {
    let mut templates: BTreeMap<String, Vec<(Workload, String)>> = BTreeMap::new();
    for row in by_uid.values() {
        let owner = owner_of_workload(row);
        if owner.as_ref().is_some_and(|owner| by_uid.contains_key(owner.uid)) {
            continue;
        }
        let (kind, name) = owner.map_or((row.kind.as_str(), row.name.as_str()), |owner| (owner.kind, owner.name));
        let workload = Workload {
            namespace: row.namespace.clone(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            host_network: row.template_host_network,
        };
        let beside = templates.entry(row.namespace.clone()).or_default();
        beside.push((workload, row.uid.clone()));
    }
    templates
}

fn owner_of_pod(pod: &PodRow) -> Option<Owner<'_>> {
    Some(Owner {
        uid: pod.owner_uid.as_deref()?,
        kind: pod.owner_kind.as_deref()?,
        name: pod.owner_name.as_deref()?,
    })
}

/// The owner that a workload is made anew by.
fn owner_of_workload(row: &WorkloadRow) -> Option<Owner<'_>> {
    let group = row.api_version.split_once('/').map_or("", |(group, _)| group);
    if !MADE_ANEW.contains(&(group, row.kind.as_str())) {
        return None;
    }
    Some(Owner {
        uid: row.owner_uid.as_deref()?,
        kind: row.owner_kind.as_deref()?,
        name: row.owner_name.as_deref()?,
    })
}
