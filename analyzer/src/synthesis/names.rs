//! Names of policies: stable, and derived from what they are about.

use std::collections::{BTreeMap, BTreeSet};

use crate::identity::Workload;

/// The name of each workload's policy: the workload's own, followed by its kind where two kinds share one, and by that
/// again where another workload of the namespace already has that name.
pub(super) fn of_workloads<'a>(workloads: impl Iterator<Item = &'a Workload>) -> BTreeMap<Workload, String> {
    let mut by_name: BTreeMap<(&str, &str), Vec<&Workload>> = BTreeMap::new();
    for workload in workloads {
        by_name
            .entry((&workload.namespace, &workload.name))
            .or_default()
            .push(workload);
    }
    let alone = by_name.iter().filter(|(_, sharing)| sharing.len() == 1);
    let mut taken: BTreeSet<(String, String)> = alone
        .map(|((namespace, name), _)| ((*namespace).to_owned(), (*name).to_owned()))
        .collect();
    let mut names = BTreeMap::new();
    for sharing in by_name.into_values() {
        for workload in &sharing {
            let name = match sharing.len() {
                1 => workload.name.clone(),
                _ => free_name(workload, &mut taken),
            };
            names.insert((*workload).clone(), name);
        }
    }
    names
}

fn free_name(workload: &Workload, taken: &mut BTreeSet<(String, String)>) -> String {
    let mut name = workload.name.clone();
    loop {
        name.push('-');
        name.push_str(&workload.kind.to_lowercase());
        if taken.insert((workload.namespace.clone(), name.clone())) {
            return name;
        }
    }
}
