//! Names of policies: stable, and derived from what they are about.

use std::collections::{BTreeMap, BTreeSet};

use flowtape_schemas::manifest::sha256_hex;

use crate::identity::Workload;

/// The longest name. A policy's may have 253 characters (Kubernetes 1.36, `apimachinery/pkg/util/validation`
/// DNS1123SubdomainMaxLength), and must leave room for a direction, for `.yaml` and for `.tmp` in 255 bytes of a file name.
const LONGEST: usize = 230;

/// Hexadecimal digits of the hash that tells shortened names apart.
const HASH: usize = 10;

/// The name of each workload's policy: the workload's own, followed by its kind where two kinds share one, and by that
/// again where another workload of the namespace already has that name. What is too long ends with a hash of all of it.
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
        .map(|((namespace, name), _)| ((*namespace).to_owned(), fitting(name)))
        .collect();
    let mut names = BTreeMap::new();
    for sharing in by_name.into_values() {
        for workload in &sharing {
            let name = match sharing.len() {
                1 => fitting(&workload.name),
                _ => free_name(workload, &mut taken),
            };
            names.insert((*workload).clone(), name);
        }
    }
    names
}

fn free_name(workload: &Workload, taken: &mut BTreeSet<(String, String)>) -> String {
    let kind: String = workload.kind.chars().filter(char::is_ascii_alphanumeric).collect();
    let kind = if kind.is_empty() { "workload" } else { &kind }.to_ascii_lowercase();
    let mut name = workload.name.clone();
    loop {
        name.push('-');
        name.push_str(&kind);
        let fitting = fitting(&name);
        if taken.insert((workload.namespace.clone(), fitting.clone())) {
            return fitting;
        }
    }
}

/// The name, or its beginning and a hash of all of it.
fn fitting(name: &str) -> String {
    if name.len() <= LONGEST {
        return name.to_owned();
    }
    let hash = sha256_hex(name.as_bytes());
    let ascii = name.chars().filter(char::is_ascii);
    let head: String = ascii.take(LONGEST - HASH - 1).collect();
    format!("{}-{}", head.trim_end_matches(['-', '.']), &hash[..HASH])
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, of_workloads};
    use crate::identity::Workload;
    use crate::policy::names::policy_name_fault;

    fn workload(kind: &str, name: &str) -> Workload {
        Workload {
            namespace: "shop".to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            host_network: false,
        }
    }

    fn names(workloads: &[Workload]) -> Vec<String> {
        let names = of_workloads(workloads.iter());
        workloads.iter().map(|one| names[one].clone()).collect()
    }

    #[test]
    fn names_at_the_limit_are_cut_and_stay_apart() {
        let (a, b) = (format!("{}a", "x".repeat(252)), format!("{}b", "x".repeat(252)));
        let long = [
            workload("Deployment", &a),
            workload("Deployment", &b),
            workload("Job", &a),
        ];
        let found = names(&long);
        for name in &found {
            assert!(name.len() <= LONGEST && policy_name_fault(name).is_none(), "{name}");
        }
        assert!(found[0] != found[1] && found[0] != found[2] && found[1] != found[2]);
        let dots = format!("{}{}z", "y".repeat(LONGEST - 12), ".-".repeat(10));
        assert_eq!(policy_name_fault(&names(&[workload("Deployment", &dots)])[0]), None);
    }

    #[test]
    fn kinds_that_share_a_name_meet_a_workload_of_that_name() {
        let all = [
            workload("Deployment", "web"),
            workload("Job", "web"),
            workload("Pod", "web-job"),
        ];
        assert_eq!(names(&all), ["web-deployment", "web-job-job", "web-job"]);
    }

    #[test]
    fn a_kind_of_a_hostile_tape_makes_no_hostile_name() {
        let all = [
            workload("Job", "web"),
            workload("../A\n: b", "web"),
            workload("\u{202e}", "web"),
        ];
        for name in names(&all) {
            assert_eq!(policy_name_fault(&name), None, "{name}");
        }
    }
}
