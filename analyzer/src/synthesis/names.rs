//! Names of policies: stable, and derived from what they are about.

use std::collections::BTreeMap;

use crate::identity::Workload;

/// The name of each workload's policy: the workload's own, followed by its kind where two kinds share one.
pub(super) fn of_workloads<'a>(workloads: impl Iterator<Item = &'a Workload>) -> BTreeMap<Workload, String> {
    let mut by_name: BTreeMap<(&str, &str), Vec<&Workload>> = BTreeMap::new();
    for workload in workloads {
        by_name
            .entry((&workload.namespace, &workload.name))
            .or_default()
            .push(workload);
    }
    let mut names = BTreeMap::new();
    for sharing in by_name.into_values() {
        for workload in &sharing {
            let name = match sharing.len() {
                1 => workload.name.clone(),
                _ => format!("{}-{}", workload.name, workload.kind.to_lowercase()),
            };
            names.insert((*workload).clone(), name);
        }
    }
    names
}
