//! From a pod to the workload that stays the same over revisions, runs and restarts.

use std::collections::BTreeMap;

use flowtape_schemas::cluster::{PodRow, WorkloadRow};

use super::Workload;

/// A chain of owners in real clusters has two steps; more than this is a loop in broken metadata.
const MAX_STEPS: usize = 8;

/// What owns pods, by UID.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    by_uid: BTreeMap<String, WorkloadRow>,
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
        Self {
            by_uid: versions.into_iter().map(|row| (row.uid.clone(), row.clone())).collect(),
        }
    }

    /// The topmost known owner of a pod; also an owner that the pod names and the metadata lacks, if there is one.
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
        // The mirror pod of a static pod is owned by its node, which is no workload.
        if owner.kind == "Node" {
            return (workload("Pod", &pod.name), None);
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
        let same = |row: &&WorkloadRow| {
            row.namespace == workload.namespace && row.kind == workload.kind && row.name == workload.name
        };
        self.by_uid.values().find(same)
    }

    /// Workloads that nothing owns: each of them has a pod template of its own.
    pub fn topmost(&self) -> impl Iterator<Item = &WorkloadRow> {
        self.by_uid
            .values()
            .filter(|row| row.owner_uid.as_ref().is_none_or(|uid| !self.by_uid.contains_key(uid)))
    }
}

fn owner_of_pod(pod: &PodRow) -> Option<Owner<'_>> {
    Some(Owner {
        uid: pod.owner_uid.as_deref()?,
        kind: pod.owner_kind.as_deref()?,
        name: pod.owner_name.as_deref()?,
    })
}

fn owner_of_workload(row: &WorkloadRow) -> Option<Owner<'_>> {
    Some(Owner {
        uid: row.owner_uid.as_deref()?,
        kind: row.owner_kind.as_deref()?,
        name: row.owner_name.as_deref()?,
    })
}
